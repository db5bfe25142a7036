"""Random numbers of a run: one generator for each purpose, from the run's one seed."""

import hashlib

import torch


def seed_of(seed: int, purpose: str, *numbers: int) -> int:
    """A seed for one purpose of a run, as "epoch order" 3: a function of all arguments, the same in every process.

    The purpose is part of it by name, so that two uses of a run's seed never draw the same numbers. A sum would not do:
    with seed + epoch, epoch 1 of seed 0 would be epoch 0 of seed 1, and two runs would share their data.
    """
    digest = hashlib.sha256(repr((seed, purpose, *numbers)).encode()).digest()  # hash() is no fixed function
    return int.from_bytes(digest[:7], "big")


def seeded_generator(seed: int, purpose: str, *numbers: int) -> torch.Generator:
    """A CPU generator for one purpose of a run, see seed_of."""
    return torch.Generator().manual_seed(seed_of(seed, purpose, *numbers))


def epoch_order(n: int, seed: int, epoch: int) -> torch.Tensor:
    """The order [n] in which this epoch visits n examples: a permutation of 0..n-1."""
    return torch.randperm(n, generator=seeded_generator(seed, "epoch order", epoch))  # [n]
