"""A student's progress: hints taken, results, measurements. It is kept in runs/tutorials/exercises/."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from minigpt.runs.errors import UserError
from minigpt.runs.files import write_json
from tutorials.exercises.registry import ANSWERS, REGISTER, ROOT, Exercise
from tutorials.exercises.work import Outcome, Work, read_measured

FOLDER = Path("runs/tutorials/exercises")
# Files that a result depends on, beside checks/, specs/ and the register.
JUDGES = ("checking", "judging", "measure", "own_work", "showing", "mistakes", "subject", "work", "worker")


@dataclass(frozen=True)
class Result:
    """The outcome of an exercise's checks, and a digest of all that they read."""

    digest: str
    checks: dict[str, bool]
    first_report: str  # of the first check that failed; "" if all passed

    @property
    def passed(self) -> bool:
        return all(self.checks.values())

    @property
    def failing(self) -> str:
        """The first check that failed, "" for none."""
        return next((name for name, passed in self.checks.items() if not passed), "")


@dataclass
class Progress:
    """By exercise: how many hints were taken, the last result, and whether it was plugged in."""

    path: Path
    hints: dict[str, int] = field(default_factory=dict)
    results: dict[str, Result] = field(default_factory=dict)
    plugged: list[str] = field(default_factory=list)

    def save(self) -> None:
        data = asdict(self)
        del data["path"]
        write_json(self.path, data)


def load_progress(root: Path = ROOT) -> Progress:
    """The progress kept below `root`; none yet is no error. Raises UserError if the file is damaged."""
    path = root / FOLDER / "progress.json"
    if not path.exists():
        return Progress(path)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        results = {name: Result(**result) for name, result in data["results"].items()}
        return Progress(path, dict(data["hints"]), results, list(data["plugged"]))
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        raise UserError(f"{path} is damaged; delete it, only the count of hints is lost") from None


def load_work(root: Path = ROOT) -> Work:
    """The student's files below `root`, with what was measured."""
    return Work(root, read_measured(root / FOLDER / "measured.json"))


def save_measured(exercise: Exercise, measured: dict[str, Any], root: Path = ROOT) -> None:
    """Keep what `plug` has measured, beside earlier measurements."""
    path = root / FOLDER / "measured.json"
    write_json(path, {**read_measured(path), exercise.id: measured})


def digest(exercise: Exercise, work: Work) -> str:
    """A fingerprint of whatever the checks of this exercise read: the student's files, checks, specifications."""
    parts = [work.text(exercise.file), json.dumps(work.measured.get(exercise.id, {}), sort_keys=True)]
    if exercise.type == "C":
        parts.append(work.text(ANSWERS))
    here = Path(__file__).parent
    judges = [here / f"{name}.py" for name in JUDGES]
    for path in sorted([REGISTER, *judges, *here.glob("checks/*.py"), *here.glob("specs/*.py")]):
        parts.append(path.read_text(encoding="utf-8"))
    return hashlib.sha256("\0".join(part or "" for part in parts).encode("utf-8")).hexdigest()


def to_result(outcomes: Sequence[Outcome], fingerprint: str) -> Result:
    """Outcomes as they are kept."""
    reports = [outcome.report for outcome in outcomes if not outcome.passed]
    return Result(fingerprint, {o.check: o.passed for o in outcomes}, reports[0] if reports else "")
