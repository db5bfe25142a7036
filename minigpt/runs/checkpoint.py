"""Checkpoints that say what they are.

A checkpoint is one torch.save archive of tensors and plain values, in float32:

    format     version of this layout, written by save_checkpoint
    kind       "gpt", "reward_model", "value_model", ...
    config     the model's configuration, as config.to_dict gives it
    model      its state_dict
    tokenizer  fingerprint of the tokenizer whose ids it uses
    ...        whatever else its writer needs: optimizer, step, rng, extra
"""

import os
import pickle
import zipfile
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import nn

from minigpt.runs.errors import UserError
from minigpt.runs.files import atomic_file, is_main

FORMAT = 1
REQUIRED = ("kind", "config", "model", "tokenizer")

# What zipfile and torch.load raise on a file whose bytes were changed: found by flipping every bit of one.
UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError, LookupError, OSError, AssertionError)


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
