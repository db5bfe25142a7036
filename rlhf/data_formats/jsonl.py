"""JSON lines that people wrote: every complaint names its line, and bad lines may be left out instead of stopping.

    bad = BadLines(skip=config.skip_bad)
    for where, line in numbered_lines(path, bad):  # where is "mine.jsonl, line 17"
        with bad.tolerated():
            data = parse_object(line, where)

Lines are decoded one at a time, so that a byte that is not UTF-8 spoils its line and not the file.
"""

from __future__ import annotations

import codecs
import gzip
import json
import reprlib
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from minigpt.runs.errors import UserError

GZIP_MAGIC = b"\x1f\x8b"  # RFC 1952, section 2.3.1
SHOWN_REASONS = 3

SHORT = reprlib.Repr()  # a line of one megabyte must not become a message of one megabyte
SHORT.maxstring = SHORT.maxother = SHORT.maxlong = 60


class BadLines:
    """What becomes of a line that is no record: the first one stops the command or, with `skip` (--skip-bad), each is
    left out and counted. A record that is longer than the model's context is treated in the same way."""

    def __init__(self, skip: bool = False) -> None:
        self.skip, self.count = skip, 0
        self.reasons: list[str] = []  # of the first few

    def refuse(self, error: UserError) -> None:
        """Raises `error`, or counts it."""
        if not self.skip:
            raise error
        self.count += 1
        if len(self.reasons) < SHOWN_REASONS:
            self.reasons.append(str(error))

    @contextmanager
    def tolerated(self) -> Iterator[None]:
        """A block that turns one line into a record; the UserError it may raise is that of the line."""
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
        raise UserError(f"{path}: nothing is left, --skip-bad left out all {self.count}; the first: {self.reasons[0]}")

    def finish(self, path: Path | str, kept: int) -> None:
        """Says on stderr what was left out, if anything was. Raises UserError if nothing is left."""
        self.check_left(path, kept)
        if self.count:
            shown = "".join(f"\n  {reason}" for reason in self.reasons)
            more = f"\n  and {self.count - len(self.reasons)} more" if self.count > len(self.reasons) else ""
            print(f"{path}: {kept} records kept, {self.count} left out (--skip-bad):{shown}{more}", file=sys.stderr)


def numbered_lines(path: Path, bad: BadLines) -> Iterator[tuple[str, bytes]]:
    """Each line that is not blank as ("FILE, line N", bytes), without a byte-order mark; .gz is decompressed.

    Lines end with b"\\n" only: str.splitlines would also cut at U+2028, which may stand in a JSON text. Raises
    UserError for a file that cannot be read; where compressed data breaks off, what comes before is yielded, and the
    rest is one bad line.
    """
    number = 0
    try:
        with _open(path) as file:
            for number, line in enumerate(file, start=1):
                text = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
                if text.strip():
                    yield f"{path}, line {number}", text
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        damage = f"from here on the compressed data is truncated or damaged ({error})"
        bad.refuse(UserError(f"{path}, line {number + 1}: {damage}; fetch the file again."))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}.") from error


def _open(path: Path) -> BinaryIO:
    # by how the file begins, not by its name: a browser may decompress a download and keep the .gz
    with path.open("rb") as file:
        compressed = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
    return gzip.open(path, "rb") if compressed else path.open("rb")


def parse_object(line: bytes, where: str) -> dict[str, Any]:
    """The JSON object of one line. Raises `UserError` naming `where` if it is none, or cannot be written as UTF-8."""
    try:
        data = json.loads(line.decode("utf-8"))
        json.dumps(data, ensure_ascii=False).encode("utf-8")
    except json.JSONDecodeError as error:
        raise UserError(f"{where}: not valid JSON ({error.msg} at column {error.colno}).") from error
    except UnicodeDecodeError as error:
        byte = f"byte {error.start + 1} of the line is 0x{line[error.start]:02x}"
        raise UserError(f"{where}: not UTF-8 text ({byte}); save the file as UTF-8.") from error
    except UnicodeEncodeError as error:
        raise UserError(f"{where}: half of a surrogate pair is not a character; write the whole.") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: a number is too long, or lists are nested too deeply.") from error
    if not isinstance(data, dict):
        raise UserError(f"{where}: expected a JSON object, got {type(data).__name__}.")
    return data


# ---- Fields ------------------------------------------------------------------------------------------------------


def shown(value: object) -> str:
    """A value in an error message: on one line, and cut where it is long."""
    return SHORT.repr(value)


def field(data: dict[str, Any], name: str, where: str) -> Any:
    """Raises UserError if the object has no such field."""
    if name not in data:
        raise UserError(f'{where}: the field "{name}" is missing.')
    return data[name]


def text_field(data: dict[str, Any], name: str, where: str) -> str:
    """Raises UserError unless the field is there and a text, which may be empty."""
    value = field(data, name, where)
    if not isinstance(value, str):
        raise UserError(f'{where}: "{name}" must be a text, got {shown(value)}.')
    return value
