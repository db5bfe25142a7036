"""Texts whose first word is asked for later: the world of chapter 01.

A text names an animal, goes on with random colours, and at some place asks `?`, which the animal answers:
`fox red blue red ? fox green …` Everything but the answer is chance, and the answer is certain for whoever remembers
the first word.
"""

from __future__ import annotations

import torch
from torch import Tensor

ANIMALS = ["cow", "fox", "owl", "hen", "pig", "cat"]
COLOURS = ["red", "blue", "green", "black", "white", "pink"]
WORDS = [*ANIMALS, *COLOURS, "?", "."]
LENGTH = 16  # words of a text
ASK, STOP = WORDS.index("?"), WORDS.index(".")
PLACES = range(2, LENGTH - 1)  # where the question may stand, counted from 1; the animal has place 1


def texts(count: int, seed: int) -> Tensor:
    """Random texts [B,T+1]; each begins with the full stop of a text before."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(len(ANIMALS), len(ANIMALS) + len(COLOURS), (count, LENGTH + 1), generator=generator)  # [B,T+1]
    animal = torch.randint(len(ANIMALS), (count,), generator=generator)  # [B]
    asked = torch.randint(PLACES.start, PLACES.stop, (count,), generator=generator)  # [B]
    rows = torch.arange(count)
    ids[:, 0], ids[:, 1] = STOP, animal
    ids[rows, asked], ids[rows, asked + 1] = ASK, animal
    return ids


def answers(ids: Tensor) -> Tensor:
    """Which predictions of these texts [B,T+1] are answers: [B,T] bool, one True a row."""
    return ids[:, :-1] == ASK


def words_of(ids: Tensor) -> str:
    """Ids as text."""
    return " ".join(WORDS[token] for token in ids.tolist())
