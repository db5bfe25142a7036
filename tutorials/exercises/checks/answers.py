"""Checks of answers.toml that several exercises share."""

from __future__ import annotations

from collections.abc import Sequence

from tutorials.exercises.judging import CheckError
from tutorials.exercises.showing import show
from tutorials.exercises.subject import Subject

LEAST_WORDS = 6


def expect_choice(subject: Subject, name: str, choices: Sequence[str]) -> None:
    """`name` holds one of the choices. Which one is not judged: a prediction may be wrong."""
    value = subject.answers.get(name, "")
    if value not in choices:
        what = f"answers.toml: write a prediction into {name}"
        raise CheckError(what, expected=" or ".join(choices), got=repr(value))


def expect_measured(subject: Subject, name: str, measured: float) -> None:
    """`name` holds what was measured, to the third decimal."""
    value = subject.answers.get(name)
    if type(value) not in (int, float) or not abs(value - measured) <= 0.0011:
        raise CheckError(
            f"answers.toml: {name} must be what your function gives",
            expected=show(measured),
            got=show(value),
            likely="copy it from `python -m tutorials.exercises plug` again; was the function changed since?",
        )


def expect_sentence(subject: Subject) -> None:
    """`because` holds at least a few words."""
    value = subject.answers.get("because", "")
    if not isinstance(value, str) or len(value.split()) < LEAST_WORDS:
        raise CheckError(
            f"answers.toml: because must be a sentence of {LEAST_WORDS} words or more", got=value, expected="why"
        )
