"""The two laws of over-optimisation: what is gained at a distance d = √KL from the starting policy (Gao et al. 2022,
arXiv 2210.10760, section 3.1):

    best-of-n                R(d) = d·(a − b·d)
    reinforcement learning   R(d) = d·(a − b·log d)

Both are linear in a and b, so that least squares finds them in one step.
"""

from __future__ import annotations

import math

import numpy as np

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
    the law has no highest point."""
    if b <= 0:
        return None
    return a / (2 * b) if kind == "best_of_n" else math.exp(a / b - 1)
