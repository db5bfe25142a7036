"""Files that are either whole or absent, and logs to which a line is added at a time.

Needs nothing but Python, so that a command which only reads and writes small files starts at once.
"""

import io
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from minigpt.runs.errors import UserError

TEMPORARY = ".tmp"  # how the name of a file that is not yet whole ends


def is_main() -> bool:
    """True in the one process that writes files: the first of a torchrun job. Without torch there is one process."""
    distributed = sys.modules.get("torch.distributed")
    return distributed is None or not distributed.is_initialized() or distributed.get_rank() == 0


@contextmanager
def atomic_file(path: str | Path) -> Iterator[BinaryIO]:
    """A file open for writing that appears at `path` only when the block ends well.

    The bytes go to a temporary file in the same folder (a rename is atomic only within one file system), reach the
    disk (fsync, or a power cut could leave the new name on an empty file), and then take the old file's place in one
    step. Whatever interrupts this, Ctrl-C included, leaves the old file whole and removes the temporary one; only a
    kill leaves that behind, for remove_leftovers. What the disk refuses (full, read-only, no permission) becomes a
    UserError. Of several processes (`distributed`) the first one writes, and what the others write goes nowhere.
    """
    if not is_main():
        yield io.BytesIO()
        return
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"{path} could not be written: {error.strerror}; an older file is unchanged") from error
    finally:
        with suppress(OSError):  # after a success it has already moved; a folder that cannot be written has none
            temporary.unlink()


def remove_leftovers(folder: str | Path) -> None:
    """Delete the temporary files of saves that were killed. No other process may be writing there: call it as a run
    begins."""
    for path in Path(folder).glob(f".*.*{TEMPORARY}") if is_main() else ():
        path.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a UTF-8 text file, whole or not at all, with "\\n" line ends on every system."""
    with atomic_file(path) as file:
        file.write(text.encode("utf-8"))


def write_json(path: str | Path, data: object) -> None:
    """Write a JSON file a person can read, whole or not at all."""
    write_text(path, json.dumps(data, indent=2, ensure_ascii=False) + "\n")


def append_jsonl(path: str | Path, record: Mapping[str, object]) -> None:
    """Add one line to a JSONL log. It is flushed at once, so a run that dies keeps everything it logged."""
    if not is_main():
        return
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with Path(path).open("a", encoding="utf-8", newline="\n") as file:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
    except OSError as error:
        raise UserError(f"{path} could not be written: {error.strerror}") from error


def sync_jsonl(path: str | Path) -> None:
    """Make sure that every line added so far is on the disk, where a power cut does not take it."""
    if not is_main():
        return
    try:
        with Path(path).open("ab") as file:
            os.fsync(file.fileno())
    except OSError as error:
        raise UserError(f"{path} could not be written: {error.strerror}") from error


# ---- Reading what another command has written ----------------------------------------------------------------------


def load_json(path: Path, made_by: str) -> dict[str, Any]:
    """A JSON object. Raises UserError naming the file, and the command that makes it."""
    return parse_object(read_made(path, made_by), str(path), made_by)


def read_made(path: Path, made_by: str) -> str:
    """The text of a file. Raises UserError with the command that makes it."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{path} is missing; run `{made_by}` first") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({error}); run `{made_by}` again") from None


def parse_object(text: str, where: str, made_by: str) -> dict[str, Any]:
    """A JSON object. Raises UserError, naming `where`, if it is none."""
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"{where}: not valid JSON ({error.msg}); run `{made_by}` again") from None
    if not isinstance(data, dict):
        raise UserError(f"{where}: expected a JSON object; run `{made_by}` again")
    return data
