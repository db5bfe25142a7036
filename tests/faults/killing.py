"""Kill a training command at random moments, look at what it left, and give it again: is it still the same run?

A kill (SIGKILL; TerminateProcess on Windows) cannot be caught: no handler runs, no file is closed, no temporary file
removed. What the operating system has stays, so this is not yet a power cut: tests/minigpt/runs/test_checkpoint.py has
what guards against that.
"""

from __future__ import annotations

import random
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from minigpt.runs.checkpoint import load_checkpoint
from minigpt.runs.errors import UserError
from minigpt.runs.log.metrics import Row, read_metrics, row_number
from minigpt.runs.resume import is_stopped, resume_paths
from tests.faults.commands import TrainingCommand

PATIENCE = 120.0  # seconds that a command may take to begin; then something is wrong
TIMES = ("seconds", "tokens_per_second", "eps")
RESUMING = re.compile(r"resuming after \w+ (\d+) from")


@dataclass(frozen=True)
class Reference:
    """The uninterrupted run: its weights, its rows without times, its samples, and how long it trained."""

    weights: dict[str, torch.Tensor]
    rows: list[Row]
    samples: bytes
    seconds: float


@dataclass(frozen=True)
class Kill:
    """One kill: after which step, inside a save or not, and the step that the command must go on from (0: afresh).
    `trouble` says what was not as it must be, "" if all was."""

    number: int
    step: int
    in_save: bool
    goes_on_from: int
    trouble: str


# ---- A process ---------------------------------------------------------------------------------------------------


def begin(command: TrainingCommand, output: Path) -> subprocess.Popen[bytes]:
    """Start the command and wait until it has taken up its saved state, when it writes config.json."""
    path = command.stage_dir / "config.json"
    before = path.stat().st_mtime_ns if path.exists() else None
    process = command.start(output)
    deadline = time.monotonic() + PATIENCE
    while not path.exists() or path.stat().st_mtime_ns == before:
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise UserError(f"{command.module} did not begin: {output.read_text(encoding='utf-8')}")
        time.sleep(0.001)
    return process


def kill(process: subprocess.Popen[bytes], command: TrainingCommand, seconds: float, in_save: bool) -> bool:
    """Kill the process so many seconds later or, with `in_save`, in the next save after them. False if it has ended."""
    deadline = time.monotonic() + seconds
    while process.poll() is None and (time.monotonic() < deadline or (in_save and not half_written(command))):
        time.sleep(0.0001 if in_save else 0.001)
    if process.poll() is None:
        process.kill()
        return process.wait() != 0  # it may have ended in this very moment
    return False


def half_written(command: TrainingCommand) -> list[Path]:
    """The temporary files of saves: one that is there after the process is dead proves that a save was under way."""
    return list(command.stage_dir.glob(".resume-*.tmp"))


# ---- What it left ------------------------------------------------------------------------------------------------


def timeless(rows: list[Row]) -> list[Row]:
    """Rows without what a clock decides."""
    return [{k: v for k, v in row.items() if k not in TIMES and not k.startswith("time/")} for row in rows]


def look(command: TrainingCommand) -> dict[str, Any]:
    """The result of a run that has ended."""
    folder = command.stage_dir
    return {
        "weights": load_checkpoint(folder / "checkpoint.pt", kind="gpt")["model"],
        "rows": timeless(read_metrics(folder / "metrics.jsonl")),
        "samples": (folder / "samples.md").read_bytes(),
    }


def last_step(command: TrainingCommand) -> int:
    """The last step that was logged."""
    path = command.stage_dir / "metrics.jsonl"
    rows = read_metrics(path, allow_cut=True) if path.exists() else []
    return row_number(rows[-1]) if rows else 0


def goes_on_from(command: TrainingCommand) -> int:
    """The step of the newest saved state, 0 if there is none or the run has ended."""
    paths = resume_paths(command.stage_dir) if is_stopped(command.stage_dir) else []
    return load_checkpoint(paths[-1], kind="resume")["step"] if paths else 0


def trouble_after_kill(command: TrainingCommand, reference: Reference) -> str:
    """The fault in the files of a run that was killed, "" if there is none: the last two saved states that must be
    there are there and whole, and what was logged is what the uninterrupted run logged."""
    if (command.stage_dir / "checkpoint.pt").exists():
        return ""  # the run had ended; the next one begins anew
    saved = [load_checkpoint(path, kind="resume")["step"] for path in resume_paths(command.stage_dir)]
    # a row is written after the save of the step before it, so these saves are done; one more may be
    due = list(range(command.every, last_step(command), command.every))[-2:]
    if len(saved) < len(due) or any(have < must for have, must in zip(saved[-2:], due, strict=False)):
        return f"the saved states {saved} are there, and {due} or later ones must be"
    path = command.stage_dir / "metrics.jsonl"
    rows = timeless(read_metrics(path, allow_cut=True)) if path.exists() else []
    different = [row_number(row) for row, other in zip(rows, reference.rows, strict=False) if row != other]
    return f"the row of step {different[0]} is not that of the uninterrupted run" if different else ""


def trouble_at_end(command: TrainingCommand, reference: Reference) -> str:
    """The difference between a run that has ended and the uninterrupted one, "" if there is none."""
    found = look(command)
    if found["rows"] != reference.rows:
        return "metrics.jsonl is not that of the uninterrupted run"
    if found["samples"] != reference.samples:
        return "samples.md is not that of the uninterrupted run"
    different = [name for name, weight in reference.weights.items() if not torch.equal(found["weights"][name], weight)]
    if different:
        return f"the weights {different[0]} are not those of the uninterrupted run"
    left = [path.name for path in command.stage_dir.iterdir() if path.name.startswith((".", "resume-"))]
    return f"{left[0]} was left behind" if left else ""


# ---- The trial ---------------------------------------------------------------------------------------------------


def run_to_the_end(command: TrainingCommand, output: Path) -> float:
    """Seconds from when it has begun. Raises UserError if it fails."""
    process, started = begin(command, output), time.monotonic()
    check_ended_well(command, process, output)
    return time.monotonic() - started


def check_ended_well(command: TrainingCommand, process: subprocess.Popen[bytes], output: Path) -> None:
    """Raises UserError, with what it said, unless the command ends with status 0."""
    if process.wait() != 0:
        raise UserError(f"{command.module} failed by itself: {output.read_text(encoding='utf-8')}")


def run_uninterrupted(command: TrainingCommand, output: Path) -> Reference:
    """The run that all others must equal."""
    seconds = run_to_the_end(command, output)
    return Reference(**look(command), seconds=seconds)


def kill_repeatedly(
    command: TrainingCommand, reference: Reference, kills: int, rng: random.Random, output: Path
) -> Iterator[Kill]:
    """Kill the command so many times, every other time in a save, giving it again after each. A run that ends before
    its time has come must equal the uninterrupted one, and another begins."""
    slot = 1.5 * reference.seconds / kills  # the kills spread over three quarters of a run
    number = expected = 0
    while number < kills:
        process = begin(command, output)
        said = RESUMING.search(output.read_text(encoding="utf-8"))
        found = int(said[1]) if said else 0
        if not kill(process, command, rng.uniform(0, slot), in_save=number % 2 == 1):
            check_ended_well(command, process, output)
            if trouble_at_end(command, reference):
                raise UserError(f"{command.module}: {trouble_at_end(command, reference)}")
            command.clear()
            expected = 0
            continue
        number += 1
        trouble = f"it went on from step {found} and not {expected}" if found != expected else ""
        trouble = trouble or trouble_after_kill(command, reference)
        expected = goes_on_from(command)
        yield Kill(number, last_step(command), bool(half_written(command)), expected, trouble)
