"""One exercise of one student: their file, their answers, the checks, and what came out."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tutorials.exercises.checks import CHECKS
from tutorials.exercises.judging import Outcome, run_checks
from tutorials.exercises.own_work import complaint
from tutorials.exercises.registry import ANSWERS, ROOT, Exercise
from tutorials.exercises.subject import StudentError, StudentStoppedError, Subject, Transport

LARGEST_FILE = 200_000  # bytes of a student's file
GATE = "can_be_checked"  # the name under which a file that cannot be checked at all is reported


@dataclass
class Work:
    """A folder with a student's files, in the places where the register says they are, and what `plug` measured."""

    folder: Path
    measured: Mapping[str, Any] = field(default_factory=dict)  # by exercise

    def text(self, file: str) -> str | None:
        """The text of a file; None if it is missing, too large or no text."""
        path = self.folder / file
        try:
            if path.stat().st_size > LARGEST_FILE:
                return None
            return path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError):
            return None

    def answers(self) -> tuple[dict[str, Any], str]:
        """(answers.toml by exercise, what is wrong with it, "" if nothing is)."""
        text = self.text(ANSWERS)
        return ({}, f"{ANSWERS} is missing, too large, or no UTF-8 text") if text is None else parse_answers(text)


def parse_answers(text: str) -> tuple[dict[str, Any], str]:
    """(answers.toml by exercise, what is wrong with it, "" if nothing is)."""
    try:
        answers = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        return {}, f"{ANSWERS} cannot be read: {error}"
    return {name: part for name, part in answers.items() if isinstance(part, dict)}, ""


def check_exercise(exercise: Exercise, work: Work, transport: Transport, seed: str) -> list[Outcome]:
    """What each check of the exercise says. A file that cannot be checked at all fails `can_be_checked` alone."""
    text = work.text(exercise.file)
    if text is None:
        return [Outcome(GATE, f"{exercise.file} is missing, too large, or no UTF-8 text", "refused")]
    trouble = complaint(text, exercise)
    answers, wrong = work.answers() if exercise.type == "C" else ({}, "")
    if trouble or wrong:
        return [Outcome(GATE, trouble or wrong, "refused")]
    original = (ROOT / exercise.original).read_text(encoding="utf-8") if exercise.original else ""
    measured = work.measured.get(exercise.id, {})
    subject = Subject(
        transport, work.folder / exercise.file, exercise.function, answers.get(exercise.id, {}),
        measured if isinstance(measured, dict) else {}, text, original,
    )  # fmt: skip
    try:
        subject.load()
    except StudentError as error:
        line = f", line {error.line}" if error.line else ""
        return [Outcome(GATE, f"{exercise.file}{line} cannot be imported: {error.kind}: {error.text}", "raised")]
    except StudentStoppedError as stopped:
        return [Outcome(GATE, f"{exercise.file} cannot be imported: {stopped}", "stopped")]
    return run_checks(subject, CHECKS[exercise.id], seed)


def read_measured(path: Path) -> dict[str, Any]:
    """What `plug` has measured, by exercise; nothing if there is no such file or it cannot be read."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}
