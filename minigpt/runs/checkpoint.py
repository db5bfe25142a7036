"""Files that are either whole or absent, and checkpoints that say what they are.

A checkpoint is one torch.save archive of tensors and plain values, in float32:

    format     version of this layout, written by save_checkpoint
    kind       "gpt", "reward_model", "value_model", ...
    config     the model's configuration, as config.to_dict gives it
    model      its state_dict
    tokenizer  fingerprint of the tokenizer whose ids it speaks
    ...        whatever else its writer needs: optimizer, step, rng, extra
"""

import io
import json
import os
import pickle
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import nn

from minigpt.scale.distributed import is_main
from minigpt.runs.errors import UserError

FORMAT = 1
TEMPORARY = ".tmp"  # how the name of a file that is not yet whole ends
REQUIRED = ("kind", "config", "model", "tokenizer")

# What zipfile and torch.load raise on a file whose bytes were changed: found by flipping every bit of one.
UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError, LookupError, OSError, AssertionError)


# ---- Whole files -------------------------------------------------------------------------------------------------


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
    """Delete the temporary files of saves that were killed. Nobody else may be writing there: call it as a run begins."""
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


# ---- Checkpoints -------------------------------------------------------------------------------------------------


def save_checkpoint(path: str | Path, payload: Mapping[str, Any]) -> None:
    """Write a checkpoint, whole or not at all.

    Raises ValueError if `payload` lacks a key that makes it self-describing, UserError if the disk refuses it.
    """
    missing = [key for key in REQUIRED if key not in payload]
    if missing:
        raise ValueError(f"a checkpoint must describe itself, and this payload lacks {', '.join(missing)}")
    if not is_main():
        return  # atomic_file would drop it all the same, but after all the work of writing it
    with atomic_file(path) as file:
        try:
            torch.save({**payload, "format": FORMAT}, file)
        except RuntimeError as error:
            # When the disk is full, torch's writer buries the OSError that says so under an error of its own.
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise
    _sync_folder(Path(path).parent)


def _sync_folder(folder: Path) -> None:
    """A name is kept in its folder, so that must reach the disk too. Otherwise a power cut could undo the renaming of
    the new checkpoint and keep the removal of the old one that came after it."""
    if os.name == "nt":
        return  # Windows does not open folders
    with suppress(OSError):  # some network file systems refuse it; the file itself is written
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def load_checkpoint(
    path: str | Path, *, kind: str | None = None, fingerprint: str | None = None, made_by: str = "", remedy: str = ""
) -> dict[str, Any]:
    """Read a checkpoint onto the CPU and check that it is whole and the one asked for.

    `kind` and `fingerprint` are compared unless None. `made_by` is the command that makes the file ("make stage1"),
    and `remedy` what to do about a damaged one instead of making it again; both are for the message. Raises UserError
    for a file that is missing, truncated, damaged, able to run code, of another format or kind, or trained with another
    tokenizer.
    """
    path = Path(path)
    remedy = remedy or (f"make it again with `{made_by}`" if made_by else "make it again")
    if not path.is_file():
        first = f"; run `{made_by}` first" if made_by else ""
        raise UserError(f"{path} is missing: this command starts from it{first}")
    _check_archive(path, remedy)
    try:
        # weights_only: an ordinary pickle can run any code while it loads, and students exchange checkpoints.
        payload = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise UserError(
            f"{path} is refused: it holds Python objects other than tensors and plain values, and loading those could "
            f"run code; {remedy}"
        ) from None
    except UNREADABLE as error:
        raise UserError(f"{path} is damaged or not a checkpoint of this project; {remedy}") from error
    _check_contents(path, payload, remedy, kind, fingerprint)
    return payload


def load_weights(model: nn.Module, payload: Mapping[str, Any], path: str | Path, made_by: str = "") -> None:
    """Put the weights of a checkpoint into the model that its config describes. Raises UserError if they do not fit."""
    found = payload["model"]
    expected = model.state_dict()
    wrong = [
        name
        for name in dict.fromkeys([*expected, *found])
        if name not in found or name not in expected or found[name].shape != expected[name].shape
    ]
    if wrong:
        raise UserError(
            f"{path}: the weights {wrong[0]} do not fit the configuration beside them, so that the file was written by "
            "another version of this code or put together from two; make it again"
            + (f" with `{made_by}`" if made_by else "")
        )
    model.load_state_dict(found)


def _check_archive(path: Path, remedy: str) -> None:
    """torch.load reads flipped bits without complaint; the archive's CRCs, which it does not check, catch them."""
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except UNREADABLE as error:
        raise UserError(f"{path} is truncated, damaged or not a checkpoint of this project; {remedy}") from error
    if damaged is not None:
        raise UserError(f"{path} is damaged: the checksum of its part {damaged} does not match; {remedy}")


def _check_contents(path: Path, payload: Any, remedy: str, kind: str | None, fingerprint: str | None) -> None:
    if not isinstance(payload, dict) or "format" not in payload:
        raise UserError(f"{path} is not a checkpoint of this project: it has no `format` entry; {remedy}")
    if payload["format"] != FORMAT:
        raise UserError(f"{path} has format {payload['format']!r}, and this code reads format {FORMAT}; {remedy}")
    missing = [key for key in REQUIRED if key not in payload]
    if missing:
        raise UserError(f"{path} is incomplete: it lacks {', '.join(missing)}; {remedy}")
    if kind is not None and payload["kind"] != kind:
        raise UserError(f"{path} holds a {payload['kind']!r}, but a {kind!r} was expected here; give the right file")
    if fingerprint is not None and payload["tokenizer"] != fingerprint:
        raise UserError(
            f"{path} was trained with another tokenizer (fingerprint {payload['tokenizer'][:12]}, this run has "
            f"{fingerprint[:12]}), so its ids mean other texts; use that tokenizer, or {remedy}"
        )
