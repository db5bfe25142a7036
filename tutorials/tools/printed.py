"""Compares what a block prints with what the page says it prints.

Words and whole numbers must be the same. A number with decimals may differ by 1 in the last digit that the page shows:
another processor adds in another order, and 0.1235 is 0.123 on one machine and 0.124 on the next. The page decides how
many digits are a promise. `…` inside a line stands for anything; a line that is only `…` stands for any lines. Blanks
count only as "there are some", so that a column may move when a minus sign comes or goes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

TOKEN = re.compile(
    r"""
      (?P<ellipsis> … )
    | (?P<word>     \d+ (?:\.\d+){2,} | \d+ [eE] [-+]? \d+ )            # a version; a power of ten without decimals
    | (?P<float>    (?<![\w.]) [-+−]? \d* \.\d+ (?:[eE][-+]?\d+)? )
    | (?P<int>      (?<![\w.]) [-+−]? \d+ (?!\w) )
    | (?P<other>    \w+ | [^\w\s] )
    """,
    re.VERBOSE,
)


def tokens(line: str) -> list[tuple[str, str]]:
    """A line as (kind, text): its words, numbers and signs; blanks only part them."""
    return [(str(match.lastgroup), match[0]) for match in TOKEN.finditer(line)]


def same_token(expected: tuple[str, str], got: tuple[str, str]) -> bool:
    """Equal, or two numbers with decimals at most one apart in the last digit that `expected` shows."""
    if expected[0] == got[0] == "float":
        wanted, found = (Decimal(text.replace("−", "-")) for text in (expected[1], got[1]))
        return abs(wanted - found) <= Decimal(1).scaleb(wanted.as_tuple().exponent)  # type: ignore[arg-type]
    return expected == got


def same_line(expected: Sequence[tuple[str, str]], got: Sequence[tuple[str, str]]) -> bool:
    """Token by token; an ellipsis swallows any number of tokens."""
    if not expected:
        return not got
    if expected[0][0] == "ellipsis":
        return any(same_line(expected[1:], got[start:]) for start in range(len(got) + 1))
    return bool(got) and same_token(expected[0], got[0]) and same_line(expected[1:], got[1:])


def same_lines(expected: Sequence[str], got: Sequence[str]) -> bool:
    """Line by line; a line that is only an ellipsis swallows any number of lines."""
    if not expected:
        return not got
    if expected[0].strip() == "…":
        return any(same_lines(expected[1:], got[start:]) for start in range(len(got) + 1))
    return bool(got) and same_line(tokens(expected[0]), tokens(got[0])) and same_lines(expected[1:], got[1:])


def difference(expected: str, got: str) -> str:
    """ "" if they are the same in the sense above; else what the page says beside what was printed, the first line that
    differs marked."""
    wanted, found = expected.rstrip().splitlines(), got.rstrip().splitlines()
    if same_lines(wanted, found):
        return ""
    first = next(
        (
            number
            for number, (want, have) in enumerate(zip(wanted, found, strict=False))
            if want.strip() == "…" or not same_line(tokens(want), tokens(have))
        ),
        min(len(wanted), len(found)),
    )

    def marked(lines: Sequence[str]) -> str:
        shown = [f"{'>' if number == first else ' '} {line}" for number, line in enumerate(lines)]
        return "\n".join(shown if len(lines) > first else [*shown, "> (nothing)"])

    return f"the page says\n{marked(wanted)}\nthe block above prints\n{marked(found)}"


def keep_the_same(old: str, new: str) -> str:
    """The text that `update` writes: the page's own text where that is right, so that ellipses and rounding stay."""
    return old if not difference(old, new) else new
