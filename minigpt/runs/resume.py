"""Saved states: the files from which a stopped run is resumed. The last two are always whole.

    runs/small/pretrain/resume-000600.pt    resume-001200.pt

A save writes a new file, and the oldest is deleted only when the new one is whole and on the disk. One name that is
written over would leave a moment in which a kill finds fewer than two. If the newest is damaged all the same (disks
are), the user deletes it and the run is resumed from the one before.

A run is resumed with the settings and the data that it was begun with, or not at all: weights that were learned half
with one learning rate and half with another are the result of neither.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from minigpt.runs.checkpoint import load_checkpoint, save_checkpoint
from minigpt.runs.errors import DivergedError, UserError
from minigpt.runs.files import is_main

KIND = "resume"
KEPT = 2  # saved states
RESULT = "checkpoint.pt"
UNFINISHED = "unfinished"  # in a stage's folder: where a run writes while the result of an earlier run is there
NAME = re.compile(r"resume-(\d+)\.pt")
# Settings that may differ from one session to the next: where the folder lies, how processes divide the model, and
# whether it is compiled.
DECIDE_NOTHING = ("runs", "shard", "compile")
LONGEST_SHOWN = 40  # characters of a setting in a message; a fingerprint is longer and says nothing


def working_folder(stage_dir: Path) -> Path:
    """The folder in which a run of this stage writes: the stage's own, or UNFINISHED in it while a result is there."""
    return stage_dir / UNFINISHED if (stage_dir / RESULT).exists() else stage_dir


def resume_paths(folder: Path) -> list[Path]:
    """The saved states in a folder, the oldest first; there need not be any, nor the folder."""
    found = [(int(match[1]), path) for path in folder.glob("resume-*.pt") if (match := NAME.fullmatch(path.name))]
    return [path for _, path in sorted(found)]


def is_stopped(stage_dir: Path) -> bool:
    """True if a stopped run of this stage can be resumed. A run that has written its checkpoint.pt has ended: saved
    states beside it are left over from a kill just before they were removed."""
    folder = working_folder(stage_dir)
    return bool(resume_paths(folder)) and not (folder / RESULT).exists()


def load_state(folder: Path, describe: Mapping[str, Any], unit: str = "step") -> dict[str, Any] | None:
    """The last saved state in `folder`, or None. Writes nothing and deletes nothing.

    Raises UserError if the newest file is damaged, or belongs to a run with other settings than `describe`.
    """
    paths = resume_paths(folder)
    if not paths or (folder / RESULT).exists():
        return None
    *before, newest = paths
    remedy = f"delete it to resume from {before[-1].name}" if before else "delete it to start afresh"
    saved = load_checkpoint(newest, kind=KIND, remedy=remedy)
    changed = list(differences(saved["describe"], describe))
    if changed:
        raise UserError(
            f"{newest} belongs to a run with other settings ({', '.join(changed)}): resume with those of "
            f"{folder / 'config.json'}, or delete {folder / 'resume-*.pt'} to start afresh"
        )
    print(f"resuming after {unit} {saved['step']} from {newest}")
    return saved


def save_state(folder: Path, step: int, payload: Mapping[str, Any], describe: Mapping[str, Any]) -> None:
    """Write the state after `step` as the newest saved state. Raises DivergedError if a weight is not finite."""
    check_weights(payload)
    save_checkpoint(
        folder / f"resume-{step:06d}.pt", {**payload, "kind": KIND, "step": step, "describe": dict(describe)}
    )
    remove(*resume_paths(folder)[:-KEPT])


def recovery_hint(folder: Path, unit: str = "step") -> str:
    """The end of a sentence: the saved state from which a run that went wrong can be resumed."""
    paths = resume_paths(folder)
    if not paths:
        return "no earlier state of this run was saved"
    step = int(paths[-1].stem.removeprefix("resume-"))
    return (
        f"the last saved state is {unit} {step} in {paths[-1]}: the same command resumes from it, "
        f"and one with other settings starts afresh once {folder / 'resume-*.pt'} are deleted"
    )


def remove(*paths: Path) -> None:
    """Delete files that may be missing; of several processes the first one does."""
    for path in paths if is_main() else ():
        path.unlink(missing_ok=True)


def check_weights(payload: Mapping[str, Any]) -> None:
    """Raises DivergedError if a weight is not finite: the last update can destroy them, and no loss was computed
    since."""
    for part in ("model", "value_model"):
        for name, tensor in payload.get(part, {}).items():
            if isinstance(tensor, Tensor) and not tensor.isfinite().all():
                raise DivergedError(f"the weights {name} are not finite numbers any more")


def differences(old: Any, new: Any, name: str = "") -> Iterator[str]:
    """The settings in which two descriptions differ, by their dotted names."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys([*old, *new]):
            yield from differences(old.get(key), new.get(key), f"{name}.{key}" if name else key)
    elif old != new and name.split(".")[-1] not in DECIDE_NOTHING:
        shown = max(len(str(old)), len(str(new))) <= LONGEST_SHOWN
        yield f"{name} was {old} and is {new}" if shown else f"{name} has changed"
