"""exercises.toml as dataclasses, with every mistake in it named."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from minigpt.runs.errors import UserError, did_you_mean

ROOT = Path(__file__).resolve().parents[2]  # of the repository, or of the folder that was handed out
REGISTER = Path(__file__).with_name("exercises.toml")
ANSWERS = "tutorials/exercises/answers.toml"
TYPES = {"A": "rebuild", "B": "variation", "C": "predict, measure", "D": "bug hunt, test"}
HINTS = 3
ACCEPTS = "accepts_what_is_right"  # the check that is first among those of a student's own test


@dataclass(frozen=True)
class Exercise:
    """One entry of the register; exercises.toml says what each field means."""

    id: str
    chapter: str
    title: str
    type: str
    difficulty: int
    importance: int
    minutes: int
    points: int
    needs: tuple[str, ...]
    file: str
    function: str
    plug: str
    ban: tuple[str, ...]
    hints: tuple[str, ...]
    person_points: int = 0

    @property
    def original(self) -> str:
        """The untouched copy of a bug hunt's file; "" for other exercises."""
        folder, _, name = self.file.rpartition("/")
        return f"{folder}/originals/{name}" if folder.endswith("/bugs") else ""


def score(exercise: Exercise, checks: Mapping[str, bool]) -> int:
    """The points for what passed, without those that a person gives: all or none.

    A test of the student's own is the exception: it earns the share of the wrong attentions that it catches, and
    nothing if it rejects a right one.
    """
    points = exercise.points - exercise.person_points
    if ACCEPTS not in checks:
        return points if checks and all(checks.values()) else 0
    caught = [passed for name, passed in checks.items() if name != ACCEPTS]
    return points * sum(caught) // len(caught) if checks[ACCEPTS] else 0


def load_register(path: Path = REGISTER) -> dict[str, Exercise]:
    """All exercises by id, in the order of the file. Raises UserError for an entry that is incomplete or wrong."""
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8"))["exercise"]
    except FileNotFoundError:
        raise UserError(f"{path} is missing; take it from the hand-out again") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, KeyError) as error:
        raise UserError(f"{path} is no register of exercises ({error}); take it from the hand-out again") from None
    exercises: dict[str, Exercise] = {}
    for number, entry in enumerate(entries, start=1):
        exercise = _exercise(entry, f"{path}, exercise {entry.get('id', number)}")
        if exercise.id in exercises:
            raise UserError(f"{path}: two exercises have the id {exercise.id}")
        exercises[exercise.id] = exercise
    for exercise in exercises.values():
        for needed in exercise.needs:
            if needed not in exercises:
                raise UserError(f"{path}, exercise {exercise.id}: it needs {needed}, which does not exist")
    return exercises


def _exercise(entry: dict[str, Any], where: str) -> Exercise:
    known = {field.name: field for field in fields(Exercise)}
    for key in entry:
        if key not in known:
            raise UserError(f"{where}: unknown key {key!r}{did_you_mean(key, known)}")
    missing = [name for name in known if name not in entry and name != "person_points"]
    if missing:
        raise UserError(f"{where}: {', '.join(missing)} missing")
    values = {}
    for name, value in entry.items():
        expected = {"str": str, "int": int, "tuple[str, ...]": list}[str(known[name].type)]
        if type(value) is not expected:
            raise UserError(f"{where}: {name} is {value!r}, expected {known[name].type}")
        values[name] = tuple(value) if expected is list else value
    exercise = Exercise(**values)
    if exercise.type not in TYPES:
        raise UserError(f"{where}: type is {exercise.type!r}, expected one of {', '.join(TYPES)}")
    if len(exercise.hints) != HINTS:
        raise UserError(f"{where}: {len(exercise.hints)} hints, expected {HINTS}")
    if not (1 <= exercise.difficulty <= 5 and 1 <= exercise.importance <= 5):
        raise UserError(f"{where}: difficulty and importance are numbers from 1 to 5")
    if not 0 <= exercise.person_points < exercise.points:
        raise UserError(f"{where}: person_points must be a part of the {exercise.points} points")
    return exercise


def find_exercise(exercises: dict[str, Exercise], name: str) -> Exercise:
    """The exercise with this id. Raises UserError that suggests the nearest one."""
    if name not in exercises:
        raise UserError(
            f"there is no exercise {name!r}{did_you_mean(name, exercises)}; choose from {', '.join(exercises)}"
        )
    return exercises[name]


def chapter_page(exercise: Exercise) -> str:
    """The name of the file of the exercise's chapter."""
    pages = sorted((ROOT / "tutorials").glob(f"{exercise.chapter}-*.md"))
    return pages[0].name if pages else "README.md"
