"""A measurement: its ratio to a yardstick of the same run; in a table, and with circumstances in a file."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[2]
CODE = ("minigpt", "rlhf", "tests/benchmarks/*.py")  # what decides the figures, and not the files that hold them
PACKAGES = ("torch", "numpy", "tiktoken", "transformers", "tokenizers")


@dataclass(frozen=True)
class Options:
    """Options of every part: small sizes that only show that it runs, and the text of tinyshakespeare if there."""

    quick: bool
    text: Path | None


@dataclass(frozen=True)
class Result:
    """One line of the table: what was measured, by how much it differs from the yardstick, and what it should be.

    `ratio` is value/yardstick: where both were measured in rounds, the median of the rounds' ratios, which need not be
    the quotient of the two medians. `rounds`: these ratios; where some reach the goal and some do not, the hour was too
    noisy to decide.
    `goal` is the ratio to reach, from below if `at_most`; None where the issue asks for none.
    """

    what: str
    value: float
    unit: str
    yardstick: str
    yardstick_value: float
    ratio: float
    goal: float | None = None
    at_most: bool = False
    rounds: tuple[float, ...] = ()

    def reaches(self, ratio: float) -> bool:
        """True if a ratio reaches the goal; there must be one."""
        return ratio <= self.goal if self.at_most else ratio >= self.goal

    @property
    def met(self) -> bool | None:
        """True if the goal is reached; None without one, and where the rounds disagree."""
        if self.goal is None or len({self.reaches(ratio) for ratio in self.rounds}) == 2:
            return None
        return self.reaches(self.ratio)

    @property
    def verdict(self) -> str:
        """ "met", "MISSED", "undecided: the rounds disagree", or "" without a goal."""
        if self.goal is None:
            return ""
        return {True: "met", False: "MISSED", None: "undecided: the rounds disagree"}[self.met]


@dataclass(frozen=True)
class Part:
    """The result of one benchmark: lines of the table, remarks under it, and data for the drawings."""

    results: list[Result]
    remarks: list[str] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)


# ---- The table ---------------------------------------------------------------------------------------------------


def number(value: float) -> str:
    """Three digits, and thousands with commas."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def in_rounds(ratios: Sequence[float]) -> str:
    """The lowest and the highest ratio of the rounds, in brackets; "" of one round."""
    return f" ({number(min(ratios))} to {number(max(ratios))})" if len(ratios) > 1 else ""


def table(results: Sequence[Result]) -> list[str]:
    """The lines of the table: what · measured · yardstick · ratio (lowest to highest of the rounds) · goal."""
    rows = [["what", "measured", "yardstick", "ratio", "goal", ""]]
    for result in results:
        goal = "–" if result.goal is None else f"{'≤' if result.at_most else '≥'} {number(result.goal)}"
        rows.append(
            [
                result.what,
                f"{number(result.value)} {result.unit}",
                f"{number(result.yardstick_value)} {result.yardstick}",
                number(result.ratio) + in_rounds(result.rounds),
                goal,
                result.verdict,
            ]
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


# ---- The file ----------------------------------------------------------------------------------------------------


def circumstances() -> dict[str, Any]:
    """All that one needs to judge or repeat a measurement, except the command."""
    return {
        "date": time.strftime("%Y-%m-%d"),
        "commit": commit(),
        "machine": {
            "processor": processor(),
            "cores": cores(),
            "threads": torch.get_num_threads(),
            "system": platform.platform(),
        },
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
    }


def commit() -> str:
    """The commit measured, with "+" if the code differs from it; "unknown" outside of git."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(ROOT), *arguments]
        return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=True).stdout.strip()

    try:
        return git("rev-parse", "--short=12", "HEAD") + ("+" if git("status", "--porcelain", "--", *CODE) else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def cores() -> int:
    """The number of cores that this process may use, which in a container may be less than the machine's."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor() -> str:
    """The processor's name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def section(part: Part, seconds: float, command: str) -> dict[str, Any]:
    """The entry of one part in results.json."""
    results = [{**asdict(result), "met": result.met} for result in part.results]
    return {
        **circumstances(),
        "command": command,
        "seconds": round(seconds, 1),
        "results": results,
        "remarks": part.remarks,
        "data": part.data,
    }
