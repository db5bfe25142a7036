"""Token ids in a file: uint16, or uint32 for a large vocabulary, one after another and nothing else.

That is what nanoGPT's prepare.py leaves as train.bin and val.bin. The file is mapped into memory: of a stream that is
larger than memory, only the pages that a batch reads are there, and several processes share them.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from minigpt.runs.errors import UserError
from minigpt.runs.files import atomic_file

CHUNK_TOKENS = 1 << 22


def token_dtype(vocab_size: int) -> np.dtype:
    """The least of the two types, little-endian, that holds every id."""
    return np.dtype("<u2" if vocab_size <= 1 << 16 else "<u4")


def write_tokens(path: Path, blocks: Iterable[np.ndarray]) -> None:
    """Writes the blocks one after another, whole or not at all."""
    with atomic_file(path) as file:
        for block in blocks:
            file.write(block.tobytes())


def map_tokens(path: Path, vocab_size: int) -> np.ndarray:
    """The ids [N] of a file, mapped into memory and read-only. Raises UserError if it is missing or cannot be ids of a
    vocabulary of this size."""
    dtype = token_dtype(vocab_size)
    try:
        size = path.stat().st_size
        if size == 0 or size % dtype.itemsize:
            raise UserError(f"{path} has {size} bytes and is no file of token ids: each takes {dtype.itemsize}")
        return np.memmap(path, dtype, mode="r")
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); give a file of token ids") from None


def check_tokens(path: Path, vocab_size: int) -> str:
    """SHA-256 of the ids in a file. Raises UserError if one is none of the vocabulary's. They are read, not mapped: a
    page that was mapped counts as memory of this process until the system takes it back."""
    digest, start = hashlib.sha256(), 0
    with path.open("rb") as file:
        while len(chunk := np.fromfile(file, token_dtype(vocab_size), CHUNK_TOKENS)):
            if int(chunk.max()) >= vocab_size:
                place = int((chunk >= vocab_size).argmax())
                raise UserError(
                    f"{path}: token {start + place} is {int(chunk[place])}, but the tokenizer has {vocab_size} tokens: "
                    "the file was made with another one; name the right one with --tokenizer"
                )
            digest.update(chunk)
            start += len(chunk)
    return digest.hexdigest()
