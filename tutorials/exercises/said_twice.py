"""Texts that say everything twice: the world of chapter 01.

A text is a list of eight random colours and then the same list again. Nothing helps to predict the first eight; each of
the others stands eight words further back. So the least possible loss is known at every place: ln 6, and then 0.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

COLOURS = ["red", "blue", "green", "black", "white", "pink"]
WORDS = [*COLOURS, "."]
LIST = 8  # colours in a list
LENGTH = 2 * LIST
STOP = WORDS.index(".")


def texts(count: int, seed: int) -> Tensor:
    """Random texts [B,T+1]; each begins with the full stop of a text before."""
    once = torch.randint(len(COLOURS), (count, LIST), generator=torch.Generator().manual_seed(seed))  # [B,8]
    return torch.cat([torch.full((count, 1), STOP), once, once], dim=1)


def words_of(ids: Tensor) -> str:
    """Ids as text."""
    return " ".join(WORDS[token] for token in ids.tolist())


def least_loss(place: int) -> float:
    """The least possible mean loss, in nats, at place 0, 1, 2, … of a text."""
    return math.log(len(COLOURS)) if place < LIST else 0.0
