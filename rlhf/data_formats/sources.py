"""The objects of a file, whatever holds them: JSON lines, a JSON list, JSON over several lines, CSV, or Parquet.

All but Parquet may be compressed by gzip. CSV has a line of field names first; its separator is a comma, a semicolon
(as Excel writes it in much of Europe) or a tab. Parquet needs the package pyarrow.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from minigpt.corpora import json_lines
from minigpt.corpora.json_lines import DamagedError, decode_line, open_file, parse_object
from minigpt.runs.errors import UserError
from rlhf.bad_records import BadRecords

PARQUET_MAGIC = b"PAR1"  # Apache Parquet, "File format"
BLANK, SEPARATORS = re.compile(r"\s*"), re.compile(r"[\s,]*")
ROWS = 1000  # of a Parquet file, at once
# cells of a table that hold lists of messages or of numbers, as JSON
STRUCTURED = {"messages", "conversations", "chosen", "rejected", "responses", "ranks", "scores", "ended", "gold"}
STRUCTURED |= {"history", "completions", "conversation_a", "conversation_b", "completion"}


def objects(path: Path, bad: BadRecords) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each object of a file as ("FILE, line N", object). What is none goes to `bad`, with its place; raises UserError
    for a file that cannot be read."""
    kind = container(path)
    if kind == "JSON lines":
        for where, line in numbered_lines(path, bad):
            with bad.tolerated():
                data = parse_object(line, where)
                yield where, data
        return
    reader = {"CSV": csv_objects, "Parquet": parquet_objects, "JSON list": json_objects, "JSON": json_objects}[kind]
    yield from reader(path, bad)


def numbered_lines(path: Path, bad: BadRecords) -> Iterator[tuple[str, bytes]]:
    """The lines of json_lines.numbered_lines. Where compressed data breaks off, what comes before is given, and the
    rest is one bad line."""
    try:
        yield from json_lines.numbered_lines(path)
    except DamagedError as error:
        bad.refuse(error)


def container(path: Path) -> str:
    """The kind of a file, such as "JSON lines": by its first bytes and, for CSV, by its name."""
    try:
        with open_file(path) as file:
            head = file.read(1 << 16).removeprefix(codecs.BOM_UTF8)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return "JSON lines"  # where it breaks off is found again, and said
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}.") from error
    if head.startswith(PARQUET_MAGIC):
        return "Parquet"
    if path.name.removesuffix(".gz").lower().endswith((".csv", ".tsv")):
        return "CSV"
    lines = [line.strip() for line in head.lstrip().splitlines()[:2]]
    if lines and lines[0].startswith(b"["):
        return "JSON list"
    if len(lines) == 2 and lines[0] == b"{" and lines[1].startswith((b'"', b"}")):
        return "JSON"
    return "JSON lines"


# ---- JSON that is not one object a line --------------------------------------------------------------------------


def json_objects(path: Path, bad: BadRecords) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of a JSON list, as Alpaca has them, or of objects written over several lines. What follows a place
    that is not JSON cannot be told apart, and is one bad record."""
    try:
        text = _whole_text(path)
    except UserError as error:
        bad.refuse(error)
        return
    decoder = json.JSONDecoder()
    begins = BLANK.match(text).end()
    is_list = text[begins : begins + 1] == "["
    place, counted, line, number = begins + is_list, 0, 1, 0
    while True:
        place = SEPARATORS.match(text, place).end()
        if place == len(text) or (is_list and text[place] == "]"):
            break
        number += 1
        line, counted = line + text.count("\n", counted, place), place
        where = f"{path}, record {number} (line {line})"
        try:
            _, end = decoder.raw_decode(text, place)
        except json.JSONDecodeError as error:
            reason = f"not valid JSON ({error.msg} at line {error.lineno}, column {error.colno})"
            bad.refuse(UserError(f"{where}: {reason}; the rest of the file cannot be read."))
            return
        except (ValueError, RecursionError):
            bad.refuse(UserError(f"{where}: a number is too long, or lists are nested too deeply."))
            return
        with bad.tolerated():
            yield where, parse_object(text[place:end].encode("utf-8"), where)
        place = end
    if text[place + 1 :].strip():
        bad.refuse(UserError(f"{path}: something follows the list that ends at line {line}; a file holds one list."))


def _whole_text(path: Path) -> str:
    try:
        with open_file(path) as file:
            data = file.read()
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        return decode_line(data.split(b"\n")[number - 1], f"{path}, line {number}")  # raises, and names the byte
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(
            f"{path}: the compressed data is truncated or damaged ({error}); fetch the file again."
        ) from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}.") from error


# ---- Tables ------------------------------------------------------------------------------------------------------


def csv_objects(path: Path, bad: BadRecords) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of a table, by the names in its first line."""
    csv.field_size_limit(1 << 30)  # the default would refuse an answer of 131,072 characters
    try:
        with io.TextIOWrapper(open_file(path), encoding="utf-8-sig", newline="") as file:
            names = file.readline()
            separator = max(",;\t", key=names.count)
            header = next(csv.reader([names], delimiter=separator), [])
            if len(set(header)) < len(header):
                raise UserError(f"{path}, line 1: a name stands twice in the first line, {header}; keep one of them.")
            for number, row in enumerate(csv.reader(file, delimiter=separator), start=1):
                where = f"{path}, record {number}"
                with bad.tolerated():
                    if row and len(row) != len(header):
                        raise UserError(f"{where}: {len(row)} cells, but the first line names {len(header)}.")
                    if row:
                        yield where, {name: _cell(name, text) for name, text in zip(header, row, strict=True)}
    except (csv.Error, UnicodeDecodeError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        bad.refuse(UserError(f"{path}: not a table that can be read ({_reason(error)}); save it as CSV in UTF-8."))


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _cell(name: str, text: str) -> Any:
    """The text of a cell or, where its field may be a list, the list that it spells."""
    if text.startswith(("[", "{")) and (name in STRUCTURED or name == "prompt"):
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return text
        messages = isinstance(value, list) and all(isinstance(each, dict) for each in value)
        return value if name in STRUCTURED or messages else text
    return text


def parquet_objects(path: Path, bad: BadRecords) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of a Parquet file. Raises UserError if pyarrow, which reads it, is not installed."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise UserError(
            f"{path} is Parquet, which the package pyarrow reads: `pip install pyarrow`, or save it as JSON lines."
        ) from None
    number = 0
    try:
        for batch in pyarrow.parquet.ParquetFile(path).iter_batches(batch_size=ROWS):
            for row in batch.to_pylist():
                number += 1
                with bad.tolerated():
                    yield f"{path}, record {number}", row
    except (pyarrow.ArrowException, OSError) as error:
        bad.refuse(UserError(f"{path}: Parquet that is damaged after record {number} ({_reason(error)})."))
