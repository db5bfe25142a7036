"""Texts in which every animal has a favourite colour that only this text tells: the world of chapter 01.

A text is a list of twelve likings of two words, `fox red`. A colour can be predicted only if the text has named it for
that animal before, so the least possible loss is known at every place. In another text the fox likes another colour.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

ANIMALS = ["cow", "fox", "owl", "hen", "pig", "cat"]
COLOURS = ["red", "blue", "green", "white"]
WORDS = [*ANIMALS, *COLOURS, "."]
LIKINGS, NAMED = 12, 4  # likings in a text, and how many animals it is about
LENGTH = 2 * LIKINGS
STOP = WORDS.index(".")


def texts(count: int, seed: int) -> Tensor:
    """Random texts [B,T+1]; each begins with the full stop of a text before."""
    generator = torch.Generator().manual_seed(seed)
    named = torch.rand(count, len(ANIMALS), generator=generator).argsort(dim=1)[:, :NAMED]  # [B,4]
    favourite = torch.randint(len(COLOURS), (count, len(ANIMALS)), generator=generator)  # [B,A]
    steps = torch.randint(
        1, NAMED, (count, LIKINGS), generator=generator
    )  # [B,S]: never the same animal twice in a row
    animal = named.gather(1, steps.cumsum(dim=1) % NAMED)  # [B,S]
    colour = len(ANIMALS) + favourite.gather(1, animal)  # [B,S]
    ids = torch.stack([animal, colour], dim=2).flatten(1)  # [B,T]
    return torch.cat([torch.full((count, 1), STOP), ids], dim=1)


def words_of(ids: Tensor) -> str:
    """Ids as text."""
    return " ".join(WORDS[token] for token in ids.tolist())


def least_loss(place: int) -> float:
    """The least possible mean loss, in nats, at the colour of liking 0, 1, 2, …: ln 4 if the animal is new, else 0.

    The second animal is always new. Of those that are not named yet, each later liking names one of three.
    """
    return (1 - 1 / (NAMED - 1)) ** max(place - 1, 0) * math.log(len(COLOURS))


def at_colours(losses: Tensor) -> Tensor:
    """Of the losses of all predictions [B,T], those at the colours [B,S]."""
    return losses[:, 1::2]
