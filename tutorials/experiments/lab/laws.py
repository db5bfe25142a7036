"""The two laws of over-optimisation: what is gained at a distance d = √KL from the starting policy (Gao et al. 2022,
arXiv 2210.10760, section 3.1):

    best-of-n                R(d) = d·(a − b·d)
    reinforcement learning   R(d) = d·(a − b·log d)

Both are linear in a and b, so that least squares finds them in one step.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

FARTHEST = 1000.0  # √nats: no policy comes there, and a law that rises so far rises for ever
SHAPES = {"best_of_n": lambda d: d, "reinforcement": np.log}


def law(kind: str, d: np.ndarray, a: float, b: float) -> np.ndarray:
    """R at the distances d [N], all above 0: there log d has no value, and R is 0."""
    return d * (a - b * SHAPES[kind](d))


def fit_law(kind: str, d: np.ndarray, gain: np.ndarray) -> tuple[float, float]:
    """(a, b) of the law that is nearest to the gains at d, [N] each, by least squares. R(0) = 0: gains are measured
    from the starting policy, and d = 0 says nothing."""
    away = d > 0
    d, gain = d[away], gain[away]  # [M] each
    columns = np.stack([d, -d * SHAPES[kind](d)], axis=1)  # [M,2]
    a, b = np.linalg.lstsq(columns, gain, rcond=None)[0]
    return float(a), float(b)


def peak(kind: str, a: float, b: float) -> float | None:
    """The distance at which most is gained, where the derivative is 0: a/(2b), and e^(a/b − 1). None if b <= 0, when
    the law has no highest point, or one beyond FARTHEST."""
    if b <= 0:
        return None
    top = a / (2 * b) if kind == "best_of_n" else math.exp(min(a / b - 1, 100))  # e^100 is beyond it as well
    return top if top < FARTHEST else None


def fit_each(kind: str, d: np.ndarray, gains: np.ndarray) -> dict[str, list[Any]]:
    """d and gains [R,S,N] of R reward models in S seeds at N distances: for each of them the law of all its points,
    where that is highest ("none" if nowhere), and how far the points lie from it: the root of the mean square."""
    laws = [fit_law(kind, x.ravel(), gain.ravel()) for x, gain in zip(d, gains, strict=True)]
    tops = [peak(kind, a, b) for a, b in laws]
    missed = [
        np.sqrt(np.mean((law(kind, x[x > 0], a, b) - gain[x > 0]) ** 2))
        for x, gain, (a, b) in zip(d, gains, laws, strict=True)
    ]
    return {"": laws, "_peak": ["none" if top is None else f"{top:.2f}" for top in tops], "_residual": missed}


def peaks_in_words(fits: dict[str, list[Any]], prompts: Sequence[int]) -> str:
    """Where the laws of `fit_each` are highest, for reward models that learned from so many prompts each, and whether
    more of them move the peak out."""
    tops = [math.inf if top == "none" else float(top) for top in fits["_peak"]]
    order = "in" if all(one < more for one, more in itertools.pairwise(tops)) else "not in"
    missed = ", ".join(f"{residual:.3f}" for residual in fits["_residual"])
    peaks = ", ".join(f"{top} ({data:,} prompts)" for top, data in zip(fits["_peak"], prompts, strict=True))
    return f"{peaks}, {order} the order of the data (points lie {missed} from them)"
