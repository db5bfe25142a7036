"""A student's files, and what the checks said of them. Nothing here needs torch: `status` starts at once."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tutorials.exercises.registry import ANSWERS

PUBLIC_SEED = "public"
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


def read_measured(path: Path) -> dict[str, Any]:
    """The measurements of `plug` by exercise; empty if there is no such file or it cannot be read."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


@dataclass(frozen=True)
class Outcome:
    """The outcome of one check: `report` is "" if it passed. `kind` is why it did not: the answer was "wrong", the code
    "raised" an exception, the function is "unwritten", the process has "stopped", or the file is "refused" unread."""

    check: str
    report: str
    kind: str = "wrong"

    @property
    def passed(self) -> bool:
        return not self.report
