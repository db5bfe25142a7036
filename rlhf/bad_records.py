"""Records that cannot be used: the first one stops the command or, with --skip-bad, all are left out and counted.

bad = BadRecords(skip=config.skip_bad)
for where, data in objects(path, bad):  # data_formats/sources; where is "mine.jsonl, line 17"
    with bad.tolerated():
        ...  # a UserError here is about this record
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from minigpt.runs.errors import UserError

SHOWN_REASONS = 3
MOST = 0.9  # the context to recommend holds this share of the records


class TooLongError(UserError):
    """A record that has more tokens than fit into the model's context."""

    def __init__(self, message: str, tokens: int, context: int) -> None:
        super().__init__(message)
        self.tokens, self.context = tokens, context


class BadRecords:
    """Counts the records that are left out with --skip-bad; without it, the first of them stops the command. A record
    that is longer than the model's context is treated in the same way."""

    def __init__(self, skip: bool = False) -> None:
        self.skip, self.count = skip, 0
        self.reasons: list[str] = []  # of the first few
        self.lengths: list[int] = []  # in tokens, of all records that were encoded, whether they fit or not
        self.too_long, self.context = 0, 0

    def refuse(self, error: UserError) -> None:
        """Raises `error`, or counts it."""
        if not self.skip:
            raise error
        self.count += 1
        if isinstance(error, TooLongError):
            self.lengths.append(error.tokens)
            self.too_long, self.context = self.too_long + 1, error.context
        if len(self.reasons) < SHOWN_REASONS:
            self.reasons.append(str(error))

    def fits(self, tokens: int) -> None:
        """Records the length, in tokens, of a record that fits into the context."""
        self.lengths.append(tokens)

    @contextmanager
    def tolerated(self) -> Iterator[None]:
        """A block that makes one record; a UserError that is raised in it is about that record."""
        try:
            yield
        except UserError as error:
            self.refuse(error)

    def check_left(self, path: Path | str, kept: int) -> None:
        """Raises UserError if no record of the file is left."""
        if kept:
            return
        if not self.count:
            raise UserError(f"{path} has no records; expected one JSON object a line.")
        longer = f"; {self.advice()}" if self.mostly_too_long() else ""
        raise UserError(
            f"{path}: nothing is left, --skip-bad left out all {self.count}; the first: {self.reasons[0]}{longer}"
        )

    def finish(self, path: Path | str, kept: int) -> None:
        """Prints to stderr what was left out, if anything was. Raises UserError if nothing is left."""
        self.check_left(path, kept)
        if self.count:
            shown = "".join(f"\n  {reason}" for reason in self.reasons)
            more = f"\n  and {self.count - len(self.reasons)} more" if self.count > len(self.reasons) else ""
            print(f"{path}: {kept} records kept, {self.count} left out (--skip-bad):{shown}{more}", file=sys.stderr)
        if self.mostly_too_long():
            print(f"warning: {path}: most of the data does not fit: {self.advice()}", file=sys.stderr)

    def mostly_too_long(self) -> bool:
        """True if more than half of the encoded records are longer than the context."""
        return 2 * self.too_long > len(self.lengths)

    def advice(self) -> str:
        """The end of a message: the count of what does not fit, and the context that would hold 90 % of the records."""
        needed = sorted(self.lengths)[math.ceil(MOST * len(self.lengths)) - 1]
        return (
            f"{self.too_long} of {len(self.lengths)} records are longer than the context of {self.context}; a context "
            f"of {needed} would hold {MOST:.0%} of them (python -m minigpt.pretrain --context {needed})"
        )
