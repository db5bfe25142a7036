"""Fences: the blocks of a page between two lines of backticks, and what each kind of them means.

The first word after the opening backticks is what a code host colours; the words after it are ours. Fences begin at the
start of a line: one inside a list would be seen by some Markdown readers and not by others.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from minigpt.runs.errors import UserError

# kind -> (the first words of its info string, the attributes it must have, those it may have)
KINDS: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "run": ("python", (), ()),  # executed, one namespace a chapter
    "excerpt": ("python", ("from",), ("doc",)),  # equals the source of that name
    "shown": ("python .noeval", ("reason",), ()),  # neither executed nor compared
    "out": ("text out", (), ()),  # what the executed block above prints
    "quoted": ("text", ("run",), ()),  # a field of tutorials/numbers/*.json
    "diagram": ("text diagram", (), ()),  # drawn with letters
    "console": ("console", (), ()),  # commands that the real command lines accept
    "math": ("math", (), ()),  # a display equation
    "mermaid": ("mermaid", (), ()),  # a diagram that the code host draws
}

OPENING = re.compile(r"^(?P<ticks>`{3,})(?P<info>[^`]*)$")
ANY_FENCE = re.compile(r"^[\s>]*(?:[-*+]|\d+[.)])?\s*(?:`{3,}|~{3,})")
ATTRIBUTE = re.compile(r'(?P<name>[a-z]+)="(?P<value>[^"]*)"')


@dataclass(frozen=True)
class Fence:
    """One fenced block. `line` and `last` are the lines of its opening and closing backticks, counted from 1."""

    info: str
    body: str
    line: int
    last: int

    @cached_property
    def attributes(self) -> dict[str, str]:
        return {match["name"]: match["value"] for match in ATTRIBUTE.finditer(self.info)}

    @cached_property
    def kind(self) -> str:
        """A key of KINDS. Raises ValueError for an info string that means nothing, saying which ones do."""
        words = " ".join(ATTRIBUTE.sub(" ", self.info).split())
        for kind, (first, needed, allowed) in KINDS.items():
            given = set(self.attributes)
            if words == first and set(needed) <= given <= {*needed, *allowed}:
                return kind
        raise ValueError(f"the fence ```{self.info} means nothing; {known_fences()}")


def known_fences() -> str:
    """The info strings there are, for an error message."""
    shown = [" ".join([first, *(f'{name}="…"' for name in needed)]) for first, needed, _ in KINDS.values()]
    return f"write one of: {', '.join(shown)}"


def read_fences(text: str, where: str) -> tuple[Fence, ...]:
    """Every fence of a page. Raises UserError for one that never ends, or is not at the start of its lines."""
    fences: list[Fence] = []
    ticks, info, opened = "", "", 0
    body: list[str] = []
    for number, line in enumerate(text.split("\n"), start=1):
        closes = bool(ticks) and line.strip().startswith(ticks) and not line.strip().strip("`")
        if ticks and not closes:
            body.append(line)
        elif ticks and line.startswith("`"):
            fences.append(Fence(info, "".join(f"{part}\n" for part in body), opened, number))
            ticks = ""
        elif not ticks and (match := OPENING.match(line)):
            ticks, info, opened, body = match["ticks"], match["info"].strip(), number, []
        elif ticks or ANY_FENCE.match(line):
            raise UserError(f"{where}:{number}: a fence begins and ends at the start of a line, with backticks")
    if ticks:
        raise UserError(f"{where}:{opened}: the fence ```{info} is never closed; add a line of backticks after it")
    return tuple(fences)
