"""Runs the checks of one exercise on a student's file."""

from __future__ import annotations

from tutorials.exercises.checks import CHECKS
from tutorials.exercises.judging import run_checks
from tutorials.exercises.own_work import complaint
from tutorials.exercises.registry import ROOT, Exercise
from tutorials.exercises.subject import StudentError, StudentStoppedError, Subject, Transport
from tutorials.exercises.work import GATE, Outcome, Work


def check_exercise(exercise: Exercise, work: Work, transport: Transport, seed: str) -> list[Outcome]:
    """The outcome of each check of the exercise. A file that cannot be checked at all fails `can_be_checked` alone."""
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
        transport,
        work.folder / exercise.file,
        exercise.function,
        answers.get(exercise.id, {}),
        measured if isinstance(measured, dict) else {},
        text,
        original,
        exercise.id,
        exercise.ban,
    )
    try:
        subject.load()
    except StudentError as error:
        line = f", line {error.line}" if error.line else ""
        return [Outcome(GATE, f"{exercise.file}{line} cannot be imported: {error.kind}: {error.text}", "raised")]
    except StudentStoppedError as stopped:
        return [Outcome(GATE, f"{exercise.file} cannot be imported: {stopped}", "stopped")]
    return run_checks(subject, CHECKS[exercise.id], seed)
