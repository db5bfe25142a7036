"""The trained stages that a person can talk to, found on the disk. A client names one of them and never a path."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TITLES = {
    "base": "base: pretrained on documents",
    "sft": "SFT: stage 1, demonstrations",
    "ppo": "PPO: stage 3, against the reward model",
    "dpo": "DPO: instead of stage 3, on the rankings",
    "grpo": "GRPO: instead of stage 3, without a value model",
    "class": "class: PPO against the reward model of this class",
}
FOLDERS = {"base": "pretrain", "sft": "sft", "ppo": "ppo", "dpo": "dpo", "grpo": "grpo"}
NO_POLICIES = ("reward_model", "evaluation", "unfinished")


@dataclass(frozen=True)
class Stage:
    """A policy on the disk. name: how clients call it. folder: where its checkpoint.pt lies. run_dir: the run with its
    tokenizer, and with the reward model that scores it. plain: it has never seen a chat token, as a base model."""

    name: str
    title: str
    folder: Path
    run_dir: Path
    plain: bool = False

    @property
    def reward_model_dir(self) -> Path | None:
        """The folder of the run's reward model; None if it has none."""
        folder = self.run_dir / "reward_model"
        return folder if (folder / "checkpoint.pt").is_file() else None


def class_run_dir(runs: str | Path, preset: str) -> Path:
    """The run that is trained on the labels of the class, in a folder of its own: runs/tiny-class/tiny."""
    return Path(runs) / f"{preset}-class" / preset


def stages(runs: str | Path, preset: str) -> dict[str, Stage]:
    """The stages of runs/<preset> by name, then the class's, then those of all other runs as "small/ppo"."""
    runs = Path(runs)
    own, taught = runs / preset, class_run_dir(runs, preset)
    found = {}
    for name, folder in FOLDERS.items():
        if _is_policy(own / folder):
            found[name] = Stage(name, TITLES[name], own / folder, own, plain=name == "base")
    if _is_policy(taught / "ppo"):
        found["class"] = Stage("class", TITLES["class"], taught / "ppo", taught)
    listed = {stage.folder for stage in found.values()}
    for folder in _policies(own, runs):
        if folder not in listed:
            short = folder.name if folder.parent == own else folder.relative_to(runs).as_posix()
            found[short] = Stage(short, short, folder, folder.parent, plain=folder.name == "pretrain")
    return found


def _policies(own: Path, runs: Path) -> Iterator[Path]:
    runs_found = [own, *sorted(path for path in _folders(runs) if path != own and (path / "tokenizer.json").is_file())]
    for run_dir in runs_found:
        yield from sorted(path for path in _folders(run_dir) if _is_policy(path))


def _folders(path: Path) -> list[Path]:
    return [child for child in path.iterdir() if child.is_dir()] if path.is_dir() else []


def _is_policy(folder: Path) -> bool:
    return folder.name not in NO_POLICIES and (folder / "checkpoint.pt").is_file()
