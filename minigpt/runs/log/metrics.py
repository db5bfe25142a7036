"""metrics.jsonl: what a run measured, one JSON object a line, in the order it happened, in every stage."""

import json
import math
from pathlib import Path
from typing import Any

from minigpt.runs.errors import UserError
from minigpt.runs.files import append_jsonl, sync_jsonl, write_text

Row = dict[str, Any]
UNITS = ("step", "iteration")  # what rows are counted in; PPO's iteration is a rollout and many optimiser steps


class RunLog:
    """The rows of a run, each with its number under `unit`. A number is written once, also in a run that is resumed."""

    def __init__(self, path: Path, resume_step: int | None, unit: str = "step") -> None:
        """Start an empty file, or with `resume_step` keep the rows up to that number.

        A run that was killed is resumed from its last saved state and repeats the steps after it; their old rows, and a
        last line that was cut short, must go.
        """
        self.path, self.unit = path, unit
        self.rows: list[Row] = []
        if resume_step is not None and path.exists():
            self.rows = [row for row in read_metrics(path, allow_cut=True) if row_number(row) <= resume_step]
        write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in self.rows))

    def append(self, row: Row) -> None:
        """Write a row to the end of the file. Raises ValueError if its number does not come after the last one."""
        number, unit = row[self.unit], self.unit
        if self.rows and number <= self.rows[-1][unit]:
            raise ValueError(f"{self.path}: {unit} {number} after {unit} {self.rows[-1][unit]}")
        # JSON has no NaN and no infinity; Python would write them all the same, and other readers fail on such a file.
        row = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
        self.rows.append(row)
        append_jsonl(self.path, row)

    def sync(self) -> None:
        """Force the rows onto the disk. Call it before a state is saved: a run that is resumed from that state does not
        write these rows again, so a power cut must not lose them."""
        sync_jsonl(self.path)


def row_number(row: Row) -> int:
    """The step or the iteration that a row is about."""
    return row["iteration"] if "iteration" in row else row["step"]


def read_metrics(path: Path, allow_cut: bool = False) -> list[Row]:
    """The rows of a metrics.jsonl. With `allow_cut`, a damaged last line is left out: a killed run can leave one.

    Raises UserError if the file is missing, or names the line that is not a JSON object with a "step" or an
    "iteration".
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; it is written by the stage that trains, run that first") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: is not UTF-8 text, so it is not a metrics file; delete it and run again") from None
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            row = None
        if isinstance(row, dict) and any(isinstance(row.get(unit), int) for unit in UNITS):
            rows.append(row)
        elif not (allow_cut and number == len(lines)):
            raise UserError(f'{path}, line {number}: expected a JSON object with a "step"; delete it and run again')
    return rows
