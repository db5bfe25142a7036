"""metrics.jsonl: what a run measured, one JSON object a line, in the order it happened. Every stage writes it so."""

import json
import math
from pathlib import Path
from typing import Any

from minigpt.runs.checkpoint import append_jsonl, sync_jsonl, write_text
from minigpt.runs.errors import UserError

Row = dict[str, Any]


class RunLog:
    """Appends rows that carry a "step". A step is written once, also in a run that was stopped and resumed."""

    def __init__(self, path: Path, resume_step: int | None) -> None:
        """Start an empty file, or with `resume_step` keep the rows up to that step.

        A run that was killed is resumed from its last saved state and repeats the steps after it; their old rows, and a
        last line that was cut short, must go.
        """
        self.path = path
        self.rows: list[Row] = []
        if resume_step is not None and path.exists():
            self.rows = [row for row in read_metrics(path, allow_cut=True) if row["step"] <= resume_step]
        write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in self.rows))

    def append(self, row: Row) -> None:
        """Write a row to the end of the file. Raises ValueError if its step does not come after the last one."""
        if self.rows and row["step"] <= self.rows[-1]["step"]:
            raise ValueError(f"{self.path}: step {row['step']} after step {self.rows[-1]['step']}")
        # JSON has no NaN and no infinity; Python would write them all the same, and other readers fail on such a file.
        row = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
        self.rows.append(row)
        append_jsonl(self.path, row)

    def sync(self) -> None:
        """Call it before a state is saved: the run that resumes from it does not write these rows again, so a power cut
        must not take them."""
        sync_jsonl(self.path)


def read_metrics(path: Path, allow_cut: bool = False) -> list[Row]:
    """The rows of a metrics.jsonl. With `allow_cut`, a damaged last line is left out: a killed run can leave one.

    Raises UserError if the file is missing, or names the line that is not a JSON object with a "step".
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
        if isinstance(row, dict) and isinstance(row.get("step"), int):
            rows.append(row)
        elif not (allow_cut and number == len(lines)):
            raise UserError(f'{path}, line {number}: expected a JSON object with a "step"; delete it and run again')
    return rows
