"""A disk that fills up in the middle of a save, and one that can only be read: a real one, of two megabytes.

    unshare --mount python -m tests.faults.disk FOLDER

tests/test_faults.py runs this in a mount namespace of its own, so that the disk is there for this process only and gone
after it. Prints what pretraining said on it, and what became of its files, as one JSON object.
"""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
from pathlib import Path

import torch

from minigpt import pretrain
from minigpt.objective import LanguageModelObjective
from minigpt.runs.checkpoint import load_checkpoint
from minigpt.runs.errors import run_main
from minigpt.runs.resume import resume_paths
from tests.faults.commands import CORPUS

FLAGS = (
    "--layers=1",
    "--channels=16",
    "--heads=2",
    "--context=32",
    "--vocab-size=300",
    "--batch-size=4",
    "--steps=8",
    "--checkpoint-every=2",
    "--evaluate-every=0",
    "--device=cpu",
)
LEFT = 30_000  # bytes that the full disk still has: enough for a line of the log, not for a saved state


def command(runs: Path) -> tuple[int, str]:
    """Exit status of pretraining and what it said on stderr."""
    sys.argv = ["pretrain", "--corpus", str(runs / "corpus.txt"), "--runs", str(runs), *FLAGS]
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        try:
            run_main(pretrain.main)
        except SystemExit as stop:
            return int(stop.code or 0), said.getvalue()
    return 0, said.getvalue()


def stop_after(runs: Path, steps: int) -> None:
    """Ctrl-C after so many steps."""
    batches = LanguageModelObjective.micro_batches

    def stopped(self: LanguageModelObjective, step: int) -> list[tuple]:
        if step == steps:
            raise KeyboardInterrupt
        return batches(self, step)

    LanguageModelObjective.micro_batches = stopped
    command(runs)
    LanguageModelObjective.micro_batches = batches


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def fill(disk: Path) -> Path:
    """A file that leaves LEFT bytes of the disk."""
    ballast = disk / "ballast"
    free = int(subprocess.check_output(["stat", "--file-system", "--format=%a", str(disk)]))
    size = int(subprocess.check_output(["stat", "--file-system", "--format=%S", str(disk)]))
    ballast.write_bytes(b"\0" * (free * size - LEFT))
    return ballast


def weights(runs: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(runs / "small" / "pretrain" / "checkpoint.pt", kind="gpt")["model"]


def main(disk: Path) -> dict[str, object]:
    """Stop a run after two saves; go on with it on a full disk, on one that can only be read, and on a sound one."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)], check=True)
    for runs in (disk, disk / "whole"):
        runs.mkdir(exist_ok=True)
        (runs / "corpus.txt").write_text(CORPUS, encoding="utf-8")
    command(disk / "whole")
    stop_after(disk, 4)
    stage = disk / "small" / "pretrain"
    saved = {path.name: path.read_bytes() for path in resume_paths(stage)}
    ballast = fill(disk)
    full, after_full = command(disk), files(stage)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    read_only, after_read_only = command(disk), files(stage)
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    ballast.unlink()
    sound = command(disk)
    whole, resumed = weights(disk / "whole"), weights(disk)
    return {
        "saved": sorted(saved),
        "full": full,
        "read_only": read_only,
        "sound": sound[0],
        "saved states changed on the full disk": [name for name, data in saved.items() if after_full.get(name) != data],
        "half written on the full disk": [name for name in after_full if name.endswith(".tmp")],
        "changed on the read-only disk": after_read_only != after_full,
        "weights that differ at the end": [name for name in whole if not torch.equal(whole[name], resumed[name])],
    }


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
