"""Lines of JSON in files that people wrote, plain or compressed: what is wrong with one is a sentence that names it.

    for where, line in numbered_lines(path):  # where is "mine.jsonl, line 17"
        data = parse_object(line, where)

Lines are decoded one at a time, so that a byte that is not UTF-8 spoils its line and not the file.
"""

from __future__ import annotations

import codecs
import gzip
import json
import reprlib
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from minigpt.runs.errors import UserError

GZIP_MAGIC = b"\x1f\x8b"  # RFC 1952, section 2.3.1

SHORT = reprlib.Repr()  # a line of one megabyte must not become a message of one megabyte
SHORT.maxstring = SHORT.maxother = SHORT.maxlong = 60


class DamagedError(UserError):
    """Compressed data that breaks off or is no longer what it was: what came before it may be used."""


def open_file(path: Path) -> BinaryIO:
    """A file open for reading its bytes; gzip is decompressed. Known by how it begins and not by its name: a browser
    may decompress a download and keep the .gz."""
    with path.open("rb") as file:
        compressed = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
    return gzip.open(path, "rb") if compressed else path.open("rb")


def numbered_lines(path: Path) -> Iterator[tuple[str, bytes]]:
    """Each line that is not blank as ("FILE, line N", bytes), without a byte-order mark; gzip is decompressed.

    Lines end with b"\\n" only: str.splitlines would also cut at U+2028, which may stand in a JSON text. Raises
    UserError for a file that cannot be read, and DamagedError where compressed data breaks off.
    """
    number = 0
    try:
        with open_file(path) as file:
            for number, line in enumerate(file, start=1):
                text = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
                if text.strip():
                    yield f"{path}, line {number}", text
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        damage = f"from here on the compressed data is truncated or damaged ({error})"
        raise DamagedError(f"{path}, line {number + 1}: {damage}; fetch the file again.") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}.") from error


def decode_line(line: bytes, where: str) -> str:
    """The text of a line. Raises UserError, naming `where`, if it is not UTF-8."""
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        byte = f"byte {error.start + 1} of the line is 0x{line[error.start]:02x}"
        raise UserError(f"{where}: not UTF-8 text ({byte}); save the file as UTF-8.") from error


def parse_object(line: bytes, where: str) -> dict[str, Any]:
    """The JSON object of one line. Raises UserError, naming `where`, if it is none, if a key stands in it twice, or if
    it cannot be written as UTF-8."""
    text = decode_line(line, where)
    try:
        data = json.loads(text, object_pairs_hook=unique_keys)
    except json.JSONDecodeError as error:
        raise UserError(f"{where}: not valid JSON ({error.msg} at column {error.colno}).") from error
    except DuplicateKeyError as error:
        raise UserError(f"{where}: {error}.") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: a number is too long, or lists are nested too deeply.") from error
    return check_object(data, where)


def check_object(data: Any, where: str) -> dict[str, Any]:
    """The same object. Raises UserError, naming `where`, if it is none or cannot be written as UTF-8."""
    try:
        json.dumps(data, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        raise UserError(f"{where}: half of a surrogate pair is not a character; write the whole.") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: a number is too long, or lists are nested too deeply.") from error
    if not isinstance(data, dict):
        raise UserError(f"{where}: expected a JSON object, got {type(data).__name__}.")
    return data


class DuplicateKeyError(ValueError):
    """A key that stands twice in one object: of its two values json.loads would take the last and say nothing."""


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these keys and values, for `object_pairs_hook`. Raises DuplicateKeyError."""
    data = dict(pairs)
    if len(data) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))
        raise DuplicateKeyError(f"the key {shown(twice)} stands twice in one object; keep one of them")
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
