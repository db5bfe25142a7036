"""Measures of agreement between people: pure functions of their ranks.

Of pairs, the share that two people order alike, as InstructGPT reports it (Ouyang et al. 2022, section 3.4); and
Krippendorff's alpha, which corrects it for what chance would do, and takes any number of people and missing values
(Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability").

Ranks are of K answers to one prompt, 0 for the best and equal for a tie; only their order within the prompt counts.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

# ---- Two people --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PairCounts:
    """Pairs of answers that two people judged: ordered alike, ordered differently, a tie for one of them, for both."""

    same: int = 0
    opposite: int = 0
    one_tied: int = 0
    both_tied: int = 0

    def __add__(self, other: PairCounts) -> PairCounts:
        return PairCounts(
            self.same + other.same,
            self.opposite + other.opposite,
            self.one_tied + other.one_tied,
            self.both_tied + other.both_tied,
        )

    @property
    def pairs(self) -> int:
        return self.same + self.opposite + self.one_tied + self.both_tied

    @property
    def agreement(self) -> float:
        """The share ordered alike of the pairs that neither ties; NaN if there is none. Chance is 1/2."""
        decided = self.same + self.opposite
        return self.same / decided if decided else math.nan

    @property
    def agreement_with_ties(self) -> float:
        """The share of all pairs, where two ties are agreement and a tie against an order is half of one."""
        return (self.same + self.both_tied + 0.5 * self.one_tied) / self.pairs if self.pairs else math.nan


def compare(first: Sequence[float], second: Sequence[float]) -> PairCounts:
    """All pairs of the answers to one prompt, as two people have ranked them."""
    counts: Counter[str] = Counter()
    for i, j in itertools.combinations(range(len(first)), 2):
        mine, theirs = order(first, i, j), order(second, i, j)
        if mine and theirs:
            counts["same" if mine == theirs else "opposite"] += 1
        else:
            counts["one_tied" if mine or theirs else "both_tied"] += 1
    return PairCounts(**counts)


def order(ranks: Sequence[float], i: int, j: int) -> int:
    """-1 if answer i is better than j, 1 if it is worse, 0 for a tie."""
    return (ranks[i] > ranks[j]) - (ranks[i] < ranks[j])


# ---- Any number of people ----------------------------------------------------------------------------------------


def krippendorff_alpha(units: Iterable[Sequence[float]], level: str = "nominal") -> float:
    """1 − D_observed / D_expected: 1 is perfect agreement, 0 is what chance would do, below 0 is worse than chance.

    units: for each thing that was judged, the values that it got, in any order and without the missing ones. level:
    "nominal", two values are equal or not; "ordinal", they are as far apart as there are values between them. NaN if no
    unit has two values, or if all values are equal, so that nothing could have differed.

    With o(c, k) = Σ over units of (pairs of values c and k in the unit) / (m_u − 1), where m_u is the number of its
    values, and n_c = Σ_k o(c, k), n = Σ_c n_c:

        D_observed = 1/n · Σ o(c, k) δ²(c, k)        D_expected = 1/(n (n − 1)) · Σ n_c n_k δ²(c, k)
    """
    coincidences = coincidence_matrix(units)
    totals: Counter[float] = Counter()
    for (value, _), weight in coincidences.items():
        totals[value] += weight
    n = sum(totals.values())
    distance = ordinal_distance(totals) if level == "ordinal" else nominal_distance(totals)
    observed = sum(weight * distance[pair] for pair, weight in coincidences.items())
    expected = sum(totals[c] * totals[k] * distance[c, k] for c in totals for k in totals)
    return 1 - (n - 1) * observed / expected if expected else math.nan


def coincidence_matrix(units: Iterable[Sequence[float]]) -> dict[tuple[float, float], float]:
    """o(c, k), for the pairs of values that occur. A unit with one value tells nothing about agreement."""
    matrix: Counter[tuple[float, float]] = Counter()
    for values in units:
        counts = Counter(values)
        for c, k in itertools.product(counts, repeat=2):
            pairs = counts[c] * (counts[k] - (c == k))
            if pairs:
                matrix[c, k] += pairs / (len(values) - 1)
    return matrix


def nominal_distance(totals: Mapping[float, float]) -> dict[tuple[float, float], float]:
    """δ²(c, k) = 1 if c ≠ k, else 0."""
    return {(c, k): float(c != k) for c in totals for k in totals}


def ordinal_distance(totals: Mapping[float, float]) -> dict[tuple[float, float], float]:
    """δ²(c, k) = (Σ_{g=c}^{k} n_g − (n_c + n_k)/2)²: the values between the two, both ends counted half."""
    ordered = sorted(totals)
    before, running = {}, 0.0  # how many values lie before the middle of each
    for value in ordered:
        before[value] = running + totals[value] / 2
        running += totals[value]
    return {(c, k): (before[c] - before[k]) ** 2 for c in totals for k in totals}


# ---- Units made of rankings --------------------------------------------------------------------------------------


def pair_units(rankings: Iterable[Sequence[Sequence[float]]]) -> Iterator[list[float]]:
    """A unit for each pair of answers: who is better by each person's ranks, -1, 0 or 1. rankings: for each prompt, the
    ranks of all who ranked it. For the nominal level. Each pair comes in both orders: which answer is called the first
    means nothing, and if the first were always better, chance would seem to agree as well."""
    for people in rankings:
        for i, j in itertools.permutations(range(len(people[0])) if people else (), 2):
            yield [order(ranks, i, j) for ranks in people]


def rank_units(rankings: Iterable[Sequence[Sequence[float]]]) -> Iterator[list[float]]:
    """A unit for each answer: the ranks that it got. For the ordinal level."""
    for people in rankings:
        yield from ([ranks[i] for ranks in people] for i in range(len(people[0]) if people else 0))
