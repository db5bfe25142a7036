"""Simulated annotators: people who see the gold total through noise, and each on a scale of their own.

An annotator sees `gold + noise`. Asked to *rank* answers, they order these noisy scores. Asked for a *score* from 1 to
7, they report `offset + scale * noisy score`, and the offset and the scale are theirs alone: one is strict, one uses
only the middle of the scale. Rankings are free of that inconsistency, which is why InstructGPT ranks.

The noise is calibrated so that two annotators agree on about 74.5 % of pairs: InstructGPT reports 72.6 +- 1.5 % between
training labelers and 77.3 +- 1.3 % between held-out ones (Ouyang et al. 2022, section 3.4).
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

TARGET_AGREEMENT = 0.745
LIKERT = (1, 7)


@dataclass(frozen=True)
class Annotator:
    """One person. noise: standard deviation in units of the gold total; offset and scale: points of the 1-7 scale."""

    noise: float
    offset: float
    scale: float

    def noisy_scores(self, gold_totals: Sequence[float], rng: random.Random) -> list[float]:
        """The gold total of each answer plus this person's noise, drawn anew."""
        return [gold + rng.gauss(0.0, self.noise) for gold in gold_totals]

    def rank(self, gold_totals: Sequence[float], rng: random.Random) -> list[int]:
        """Ranks of K answers, 0 for the best; equal ranks are ties (they occur only without noise)."""
        noisy = self.noisy_scores(gold_totals, rng)
        return [sum(other > mine for other in noisy) for mine in noisy]

    def score(self, gold_totals: Sequence[float], rng: random.Random) -> list[int]:
        """Each answer on the 1-7 scale, as this person uses it."""
        low, high = LIKERT
        seen = self.noisy_scores(gold_totals, rng)
        return [min(high, max(low, round(self.offset + self.scale * value))) for value in seen]


def make_annotators(count: int, noise: float, seed: int, inconsistency: float = 1.0) -> list[Annotator]:
    """`count` annotators with the same noise, and each an offset and a scale of their own.

    inconsistency: how many times further than usual those lie apart; with 0 all use the 1-7 scale alike.
    """
    rng, far = random.Random(f"annotators {seed}"), inconsistency
    return [
        Annotator(noise, rng.gauss(2.0, 0.8 * far), 4.0 * math.exp(rng.gauss(0.0, 0.3 * far))) for _ in range(count)
    ]


def expected_agreement(groups: Iterable[Sequence[float]], noise: float) -> float:
    """The share of pairs within a group that two annotators order alike, in expectation over their noise.

    groups: the gold totals of the K answers to each prompt. With Gaussian noise of standard deviation s on each answer,
    one annotator prefers the better of a pair with gap g with probability p = Phi(g / (s * sqrt(2))); two agree with
    probability p^2 + (1 - p)^2, so on a gold tie half of the time.
    """
    agreements = []
    for gold_totals in groups:
        for index, gold in enumerate(gold_totals):
            for other in gold_totals[index + 1 :]:
                p = 0.5 * (1.0 + math.erf(abs(gold - other) / (2.0 * noise)))
                agreements.append(p * p + (1.0 - p) * (1.0 - p))
    if not agreements:
        raise ValueError("no pair of answers: every group needs at least two")
    return sum(agreements) / len(agreements)


def calibrate_noise(groups: Sequence[Sequence[float]], target: float = TARGET_AGREEMENT) -> float:
    """The noise at which `expected_agreement` is the target, by bisection (it falls as noise grows).

    Raises ValueError if so many answers are gold ties that even careful annotators would agree less often.
    """
    low, high = 1e-3, 10.0
    reachable = expected_agreement(groups, low)
    if reachable < target:
        raise ValueError(f"annotators without noise agree on {reachable:.3f} of these pairs, less than {target}")
    for _ in range(50):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if expected_agreement(groups, middle) > target else (low, middle)
    return 0.5 * (low + high)


def measured_agreement(first: Iterable[Sequence[int]], second: Iterable[Sequence[int]]) -> float:
    """The share of pairs that two sets of rankings of the same answers order alike; ties in either do not count."""
    same = pairs = 0
    for mine, theirs in zip(first, second, strict=True):
        for i in range(len(mine)):
            for j in range(i + 1, len(mine)):
                if mine[i] != mine[j] and theirs[i] != theirs[j]:
                    pairs += 1
                    same += (mine[i] < mine[j]) == (theirs[i] < theirs[j])
    return same / pairs if pairs else float("nan")
