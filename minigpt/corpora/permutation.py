"""A permutation of 0..n-1 that is a formula: its value at any place, without the values at the others.

A Feistel network (Luby & Rackoff 1988) is one of 0..4^h-1, whatever the function in its rounds: each round keeps one
half of the number's bits and adds to the other half a function of it, which can be undone. What it sends outside of
0..n-1 is sent again until it is inside (cycle walking; Black & Rogaway 2002, section 3), and that permutes the n.
"""

import numpy as np
import torch
from torch import Tensor

ROUNDS = 6


def keyed_permutation(places: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """The values [B] at these places [B], each in 0..n-1, of the permutation that the generator chooses."""
    keys = torch.randint(2**62, (ROUNDS,), generator=generator).numpy().astype(np.uint64)  # [ROUNDS]
    half_bits = max(1, ((n - 1).bit_length() + 1) // 2)
    values = _feistel(places.numpy().astype(np.uint64), half_bits, keys)  # [B]
    while (outside := values >= n).any():  # the network has fewer than 4n values: a few times on average
        values[outside] = _feistel(values[outside], half_bits, keys)
    return torch.from_numpy(values.astype(np.int64))  # [B]


def _feistel(values: np.ndarray, half_bits: int, keys: np.ndarray) -> np.ndarray:
    shift, mask = np.uint64(half_bits), np.uint64((1 << half_bits) - 1)
    left, right = values >> shift, values & mask  # [B]
    for key in keys:
        left, right = right, left ^ (_mix(right + key) & mask)
    return (left << shift) | right


def _mix(values: np.ndarray) -> np.ndarray:
    """The last steps of splitmix64 (Steele, Lea & Flood 2014): each bit depends on all; uint64 wraps around."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
