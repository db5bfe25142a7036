"""Chapter 19 in plain loops: one prompt, one resample at a time."""

import math

import torch
from torch import Tensor


def rate_of(outcomes: list[int]) -> float:
    """won / (won + lost), ½ if nothing is decided; 1 won, 0 tied, -1 lost."""
    won, lost = outcomes.count(1), outcomes.count(-1)
    return won / (won + lost) if won + lost else 0.5


def win_rate(first: Tensor, second: Tensor, draws: Tensor) -> Tensor:
    """Exercise 19.1."""
    outcomes = [(a > b) - (a < b) for a, b in zip(first.tolist(), second.tolist(), strict=True)]
    if not any(outcomes):
        return torch.tensor([0.5, 0.0, 1.0])
    rates = sorted(rate_of([outcomes[prompt] for prompt in drawn]) for drawn in draws.tolist())
    cut = round(len(rates) / 40)
    return torch.tensor([rate_of(outcomes), rates[cut], rates[len(rates) - 1 - cut]])


def wilson(won: int, lost: int, z: float) -> tuple[float, float]:
    """Exercise 19.2, by halving: where does the surprise pass z?"""
    n = won + lost
    if n == 0:
        return 0.0, 1.0
    share = won / n

    def surprising(p: float) -> bool:
        return abs(share - p) > z * math.sqrt(p * (1 - p) / n)

    ends = []
    for far in (0.0, 1.0):
        inside, outside = share, far
        if not surprising(far):
            ends.append(far)
            continue
        for _ in range(60):
            middle = (inside + outside) / 2
            inside, outside = (inside, middle) if surprising(middle) else (middle, outside)
        ends.append(inside)
    return ends[0], ends[1]


def one_looks_better(n: int, least: int) -> float:
    """Exercise 19.3: the distribution of the number of wins, prompt by prompt."""
    chances = [1.0]  # of 0, 1, … wins
    for _ in range(n):
        chances = [(a + b) / 2 for a, b in zip([*chances, 0.0], [0.0, *chances], strict=True)]
    return sum(chances[least:]) + sum(chances[: n - least + 1])
