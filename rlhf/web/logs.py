"""The logs of runs, also of those that are training: metrics.jsonl a part at a time, and samples.md as text.

A client names a log and never a path: the names are those of `logs`.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minigpt.runs.log.curves import NOT_CURVES
from minigpt.runs.log.metrics import UNITS, row_number
from minigpt.runs.resume import UNFINISHED
from rlhf.web.stages import class_run_dir

METRICS, SAMPLES = "metrics.jsonl", "samples.md"
LONGEST_PART = 2**20  # bytes of metrics in one answer; the rest comes in the next
LONGEST_SAMPLES = 2**18  # characters, from the end
STILL_TRAINING = 30.0  # seconds since the last line


@dataclass(frozen=True)
class Log:
    """The log of a stage. name: how clients call it. folder: where metrics.jsonl lies."""

    name: str
    folder: Path

    @property
    def live(self) -> bool:
        """True if something was written in the last seconds."""
        try:
            return time.time() - (self.folder / METRICS).stat().st_mtime < STILL_TRAINING
        except OSError:
            return False


def logs(runs: str | Path, preset: str) -> dict[str, Log]:
    """The logs of this run by name, as "ppo", then the class's, as "class/ppo", then those of all other runs."""
    runs = Path(runs)
    taught = class_run_dir(runs, preset)
    found = {}
    for prefix, run_dir in [("", runs / preset), ("class/", taught), *_other_runs(runs, preset)]:
        for name, folder in _logs_of(run_dir):
            found[prefix + name] = Log(prefix + name, folder)
    return found


def _other_runs(runs: Path, preset: str) -> Iterator[tuple[str, Path]]:
    for path in sorted(runs.iterdir()) if runs.is_dir() else []:
        if path.is_dir() and path.name not in (preset, f"{preset}-class"):
            yield f"{path.name}/", path


def _logs_of(run_dir: Path) -> Iterator[tuple[str, Path]]:
    """A stage that is trained again has two: its result's, and the one of the run that is not finished."""
    for folder in sorted(run_dir.iterdir()) if run_dir.is_dir() else []:
        if (folder / METRICS).is_file():
            yield folder.name, folder
        if (folder / UNFINISHED / METRICS).is_file():
            yield f"{folder.name} (again)", folder / UNFINISHED


def read_part(log: Log, start: int, file_id: int) -> dict[str, Any]:
    """The metrics from byte `start` on, as columns: {"file", "next", "more", "x", "series": {name: values}}.

    file_id: the "file" of the part before, 0 at first. If another file lies there now, or the same one has been
    shortened, it is read from its beginning. A last line without its end is left for the next time.
    """
    with (log.folder / METRICS).open("rb") as file:
        status = os.fstat(file.fileno())
        if status.st_ino != file_id or start > status.st_size:
            start = 0
        file.seek(start)
        data = file.read(LONGEST_PART)
    whole = data[: data.rfind(b"\n") + 1]
    rows = list(_rows(whole))
    names = dict.fromkeys(name for row in rows for name, value in row.items() if is_curve(name, value))
    return {
        "file": status.st_ino,
        "from": start,
        "next": start + len(whole),
        "more": start + len(data) < status.st_size,
        "x": [row_number(row) for row in rows],
        "series": {name: [_number(row.get(name)) for row in rows] for name in names},
    }


def _rows(data: bytes) -> Iterator[dict[str, Any]]:
    for line in data.splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue  # a line that a killed run left
        if isinstance(row, dict) and any(isinstance(row.get(unit), int) for unit in UNITS):
            yield row


def is_curve(name: str, value: object) -> bool:
    """True for a metric that is drawn: a number, and not one that only counts on."""
    return name not in NOT_CURVES and _number(value) is not None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(f"{value:.5g}")


def read_samples(log: Log) -> list[dict[str, str]]:
    """The sections of samples.md in their order: {"title", "text"}. The text is plain, whatever it holds."""
    try:
        page = (log.folder / SAMPLES).read_text(encoding="utf-8", errors="replace")[-LONGEST_SAMPLES:]
    except OSError:
        return []
    sections: list[dict[str, str]] = []
    lines: list[str] = []
    fenced = False
    for line in page.splitlines():
        if line.startswith("~~~"):
            fenced = not fenced
        elif line.startswith("## ") and not fenced:
            lines = []
            sections.append({"title": line[3:], "text": ""})
        else:
            lines.append(line.rstrip())
        if sections:
            sections[-1]["text"] = "\n".join(lines).strip()
    return sections
