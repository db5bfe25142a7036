"""Win rates with intervals: how often one policy's answers are better than another's, prompt by prompt.

Ties are told apart and left out of the rate: wins / (wins + losses), the share of the *decided* prompts. The interval
is a percentile bootstrap over prompts (Efron 1979), since the prompts are what another test set would change.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass

BOOTSTRAP_SAMPLES = 2000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class WinRate:
    """Counts of prompts, and the share of decided prompts that were won with its 95 % interval."""

    wins: int
    ties: int
    losses: int
    rate: float
    low: float
    high: float

    def as_dict(self) -> dict[str, float]:
        """For results.json."""
        return asdict(self)


def win_rate(first: Sequence[float], second: Sequence[float], seed: int = 0) -> WinRate:
    """The win rate of `first` over `second`; both hold one gold total a prompt, in the same order. Without any decided
    prompt the rate is 1/2 and the interval [0, 1]."""
    outcomes = [(a > b) - (a < b) for a, b in zip(first, second, strict=True)]  # 1 won, 0 tied, -1 lost
    low, high = bootstrap_interval(outcomes, seed)
    return WinRate(outcomes.count(1), outcomes.count(0), outcomes.count(-1), _rate(outcomes), low, high)


def _rate(outcomes: Sequence[int]) -> float:
    wins, losses = outcomes.count(1), outcomes.count(-1)
    return wins / (wins + losses) if wins + losses else 0.5


def bootstrap_interval(outcomes: Sequence[int], seed: int) -> tuple[float, float]:
    """The 95 % interval of the rate when the prompts are drawn again with replacement."""
    if not any(outcomes):
        return 0.0, 1.0
    rng = random.Random(f"bootstrap {seed}")
    rates = sorted(_rate(rng.choices(outcomes, k=len(outcomes))) for _ in range(BOOTSTRAP_SAMPLES))
    cut = round((1.0 - CONFIDENCE) / 2.0 * BOOTSTRAP_SAMPLES)
    return rates[cut], rates[-1 - cut]
