"""What the plugs of several chapters need: the student's function, a place to put it, a run that nobody keeps."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import math
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from tutorials.exercises.registry import ROOT, Exercise

Function = Callable[..., Any]


def student_function(exercise: Exercise) -> Function:
    """The function itself, in this process: it is their machine, and it has passed its checks."""
    return getattr(student_module(exercise), exercise.function)


def student_module(exercise: Exercise) -> Any:
    """The student's file as a module."""
    spec = importlib.util.spec_from_file_location("student", ROOT / exercise.file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def installed(place: Any, name: str, replacement: Function) -> Iterator[None]:
    """`replacement` as `place.name` until the block ends."""
    before = getattr(place, name)
    setattr(place, name, replacement)
    try:
        yield
    finally:
        setattr(place, name, before)


@contextlib.contextmanager
def scratch_run() -> Iterator[Path]:
    """A folder for a run that nobody keeps; its messages are dropped. One thread, so that sums are the same."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            yield Path(folder)
    finally:
        torch.set_num_threads(threads)


def losses(stage_dir: Path) -> list[float]:
    """The training loss of every step."""
    lines = (stage_dir / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [row["loss"] for row in map(json.loads, lines) if "loss" in row]


def print_curves(yours: list[float], ours: list[float], unit: str, rows: int = 8) -> None:
    """Two losses side by side, each row the mean of a stretch of steps: one step alone is noise."""
    size = math.ceil(len(ours) / rows)
    print(f"{'steps':>12}{'the package':>14}{'yours':>10}      {unit}")
    for start in range(0, len(ours), size):
        theirs, mine = ours[start : start + size], yours[start : start + size]
        last = start + len(theirs)
        print(f"{start + 1:6d} –{last:4d}{sum(theirs) / len(theirs):14.3f}{sum(mine) / len(mine):10.3f}")
