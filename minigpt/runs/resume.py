"""Stopping and going on: the resume files of a run, of which the last two are always whole.

    runs/small/pretrain/resume-000600.pt    resume-001200.pt

A save makes a new file, and only when that is whole and on the disk does the oldest go. One name written over, or
renamed to make room, would leave a moment in which a kill finds fewer than two. Should the newest be damaged all the
same (disks are), it is deleted and the run goes on from the one before.

A run goes on with the settings and the data it was begun with, or not at all: weights that were learned half with one
learning rate and half with another are the result of neither, and nobody could make them again.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from minigpt.runs.checkpoint import load_checkpoint, remove_leftovers, save_checkpoint, write_json
from minigpt.scale.distributed import barrier, is_main
from minigpt.runs.errors import DivergedError, UserError

KIND = "resume"
KEPT = 2  # of the resume files
RESULT = "checkpoint.pt"
NAME = re.compile(r"resume-(\d+)\.pt")
# Settings that may differ from one session to the next: where the folder lies, how processes divide the model, and
# whether it is compiled.
DECIDE_NOTHING = ("runs", "shard", "compile")
LONGEST_SHOWN = 40  # characters of a setting in a message; a fingerprint is longer and says nothing


def resume_paths(stage_dir: Path) -> list[Path]:
    """The resume files of a folder, the oldest first; there need not be any, nor the folder."""
    found = [(int(match[1]), path) for path in stage_dir.glob("resume-*.pt") if (match := NAME.fullmatch(path.name))]
    return [path for _, path in sorted(found)]


def is_stopped(stage_dir: Path) -> bool:
    """Whether a run waits there to be gone on with. One that has its checkpoint.pt has ended: if resume files are there
    too, a kill came just before they were removed."""
    return bool(resume_paths(stage_dir)) and not (stage_dir / RESULT).exists()


class ResumeFiles:
    """The files by which one run is stopped, gone on with and ended. Call load, begin, save as often as you like, end.

    `describe` is all that decides the result, as JSON: the stage's config and fingerprints of its data. It becomes
    config.json, and a saved state is gone on with only if its own is equal. `unit` is what the run counts, "step".
    """

    def __init__(self, stage_dir: Path, describe: Mapping[str, Any], unit: str = "step") -> None:
        self.stage_dir, self.unit = stage_dir, unit
        self.describe = json.loads(json.dumps(describe))  # as it will come back from a file: tuples become lists

    def load(self) -> dict[str, Any] | None:
        """The last saved state, None if there is none to go on from. Writes nothing and deletes nothing.

        Raises UserError if the newest file is damaged, or belongs to a run with other settings.
        """
        if not is_stopped(self.stage_dir):
            return None
        *before, newest = resume_paths(self.stage_dir)
        remedy = f"delete it to go on from {before[-1].name}" if before else "delete it to start afresh"
        saved = load_checkpoint(newest, kind=KIND, remedy=remedy)
        changed = list(_differences(saved["describe"], self.describe))
        if changed:
            raise UserError(
                f"{newest} belongs to a run with other settings ({', '.join(changed)}): go on with those of "
                f"{self.stage_dir / 'config.json'}, or delete {self.stage_dir / 'resume-*.pt'} to start afresh"
            )
        print(f"resuming after {self.unit} {saved['step']} from {newest}")
        return saved

    def begin(self, fresh: bool) -> None:
        """Write config.json, and remove what nobody needs any more: temporary files of a save that was killed and, if
        the run starts afresh, the files of an earlier one, which would pass for its own result if it is stopped."""
        barrier()  # of several processes, all have looked for a saved state before the first one changes anything
        remove_leftovers(self.stage_dir)
        write_json(self.stage_dir / "config.json", self.describe)  # on a full disk no earlier result is removed
        if fresh:
            # before checkpoint.pt: without it the resume files would wait to be gone on with
            _remove(*resume_paths(self.stage_dir))
            _remove(*(self.stage_dir / name for name in (RESULT, "samples.md", "curves.svg")))

    def save(self, step: int, payload: Mapping[str, Any]) -> None:
        """Write the state after `step` as the newest resume file. Raises DivergedError if it is not worth keeping."""
        _check_weights(payload)
        path = self.stage_dir / f"resume-{step:06d}.pt"
        save_checkpoint(path, {**payload, "kind": KIND, "step": step, "describe": self.describe})
        _remove(*resume_paths(self.stage_dir)[:-KEPT])

    def end(self, step: int, payload: Mapping[str, Any]) -> None:
        """Write checkpoint.pt, the result; only when it is on the disk do the resume files go."""
        _check_weights(payload)
        save_checkpoint(self.stage_dir / RESULT, {**payload, "step": step, "extra": {"describe": self.describe}})
        _remove(*resume_paths(self.stage_dir))
        barrier()  # now the file is there for every process

    def go_back(self) -> str:
        """Where a run that went wrong can be taken up again, as the end of a sentence."""
        paths = resume_paths(self.stage_dir)
        if not paths:
            return "no earlier state of this run was saved"
        return (
            f"the last saved state is {self.unit} {_step(paths[-1])} in {paths[-1]}: the same command goes on from it, "
            f"and one with other settings starts afresh once {self.stage_dir / 'resume-*.pt'} are deleted"
        )


def _remove(*paths: Path) -> None:
    for path in paths if is_main() else ():
        path.unlink(missing_ok=True)


def _step(path: Path) -> int:
    return int(path.stem.removeprefix("resume-"))


def _check_weights(payload: Mapping[str, Any]) -> None:
    """The last update may be the one that destroys the weights, and no loss was computed since."""
    for part in ("model", "value_model"):
        for name, tensor in payload.get(part, {}).items():
            if isinstance(tensor, Tensor) and not tensor.isfinite().all():
                raise DivergedError(f"the weights {name} are not finite numbers any more")


def _differences(old: Any, new: Any, name: str = "") -> Iterator[str]:
    """The settings in which two descriptions differ, by their dotted names."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys([*old, *new]):
            yield from _differences(old.get(key), new.get(key), f"{name}.{key}" if name else key)
    elif old != new and name.split(".")[-1] not in DECIDE_NOTHING:
        shown = max(len(str(old)), len(str(new))) <= LONGEST_SHOWN
        yield f"{name} was {old} and is {new}" if shown else f"{name} has changed"
