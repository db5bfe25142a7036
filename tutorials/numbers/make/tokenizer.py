"""tokenizer.json: what chapter 02 quotes. The merges of preset tiny, and what texts cost with few and many of them.

    python -m tutorials.numbers.make.tokenizer

A few seconds on one core.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch

from minigpt.pretrain import PRESETS
from minigpt.runs.config import Settings, parse
from minigpt.runs.errors import run_main
from minigpt.tokenizer import Tokenizer, printable
from minigpt.toyworld import documents
from tutorials.exercises.stories import CHINESE, CODE, OTHER
from tutorials.numbers.make.record import commit, record

PRESET = PRESETS["tiny"]
OTHER_TOKENS = 256 + 5  # bytes and special tokens
MERGES = (0, 16, 32, 64, 128, 256, 512, PRESET["vocab_size"] - OTHER_TOKENS)
UNSEEN = 100  # documents of another seed
SHOWN = 18
SPELLINGS = (" banana", "banana", " Banana", " BANANA", " strawberry", " Strawberry")


@dataclass(frozen=True)
class TokenizerConfig(Settings):
    """Nothing to choose."""


def merges_in_rows(tokens: list[str], first: int) -> str:
    """Tokens as text, six in a row, each row with the id of its first."""
    rows = [tokens[start : start + 6] for start in range(0, len(tokens), 6)]
    lines = [f"{first + 6 * n:4d}  " + "".join(f"{token:<10}" for token in row) for n, row in enumerate(rows)]
    return "\n".join(line.rstrip() for line in lines)


def spellings(tokenizer: Tokenizer) -> str:
    """A few spellings of two words, as pieces and as ids."""
    lines = []
    for word in SPELLINGS:
        ids = tokenizer.encode(word)
        pieces = " ".join(printable(tokenizer.token_bytes(token)) for token in ids)
        lines.append(f"{word!r:<15}{pieces:<24}{' '.join(map(str, ids))}")
    return "\n".join(lines)


def bytes_a_token(tokenizer: Tokenizer, texts: list[str]) -> float:
    """The bytes that one token holds on average."""
    return sum(len(text.encode("utf-8")) for text in texts) / sum(map(len, tokenizer.encode_batch(texts)))


def main(argv: list[str]) -> None:
    """Learns the merges once, cuts them short, and writes the file."""
    parse(TokenizerConfig, argv, description=__doc__, presets={})
    at, started = commit("tutorials/exercises/stories.py"), time.monotonic()
    trained = Tokenizer.train(documents(PRESET["documents"], 0), PRESET["vocab_size"])
    tokens = [printable(left + right) for left, right in trained.merges]
    texts: dict[str, list[str]] = {
        "documents": list(documents(UNSEEN, 1)),
        "story": [OTHER],
        "code": [CODE],
        "chinese": [CHINESE],
    }
    cut = [Tokenizer(trained.merges[:count]) for count in MERGES]
    curve: dict[str, Any] = {"merges": list(MERGES)}
    curve |= {name: [bytes_a_token(tokenizer, given) for tokenizer in cut] for name, given in texts.items()}
    fields = {
        "first": merges_in_rows(tokens[:SHOWN], 256),
        "last": merges_in_rows(tokens[-SHOWN:], 256 + len(tokens) - SHOWN),
        "spellings": spellings(trained),
        "merges": len(tokens),
        "begin_with_space": sum(token.startswith("Ġ") for token in tokens) / len(tokens),
        "curve": curve,
    }
    record(
        "tokenizer",
        fields,
        command="python -m tutorials.numbers.make.tokenizer",
        commit=at,
        seeds=[0],
        threads=torch.get_num_threads(),
        seconds=time.monotonic() - started,
        code=[
            "minigpt/bpe.py",
            "minigpt/tokenizer.py",
            "minigpt/toyworld/documents.py",
            "tutorials/exercises/stories.py",
        ],
    )


if __name__ == "__main__":
    run_main(main)
