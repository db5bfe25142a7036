"""The laws of over-optimisation: fits recover what made the numbers, and peaks are where a search finds them."""

import numpy as np
import pytest

from tutorials.experiments.lab.laws import fit_law, law, peak

D = np.linspace(0.2, 6.0, 40)


@pytest.mark.parametrize(("kind", "a", "b"), [("best_of_n", 0.4, 0.07), ("reinforcement", 0.3, 0.18)])
def test_a_fit_recovers_the_law_that_made_the_numbers(kind, a, b):
    exact = np.array([d * (a - b * (d if kind == "best_of_n" else np.log(d))) for d in D])
    assert fit_law(kind, D, exact) == pytest.approx((a, b), rel=1e-9)
    with_start = fit_law(kind, np.concatenate([[0.0], D]), np.concatenate([[0.5], exact]))
    assert with_start == pytest.approx((a, b), rel=1e-9), "d = 0 says nothing about a and b"
    noise = np.random.default_rng(0).normal(0, 0.02, len(D))
    assert fit_law(kind, D, exact + noise) == pytest.approx((a, b), abs=0.02)


def test_a_fit_is_the_one_of_least_squares():
    """Two parameters and three points: moving either way makes the squares larger."""
    d, gain = np.array([0.5, 1.0, 3.0]), np.array([0.3, 0.1, 0.2])
    a, b = fit_law("reinforcement", d, gain)

    def squares(a, b):
        return float(((law("reinforcement", d, a, b) - gain) ** 2).sum())

    assert all(squares(a, b) < squares(a + x, b + y) for x, y in ((1e-3, 0), (-1e-3, 0), (0, 1e-3), (0, -1e-3)))


@pytest.mark.parametrize(("kind", "a", "b"), [("best_of_n", 0.4, 0.07), ("reinforcement", 0.3, 0.18)])
def test_the_peak_is_where_a_search_finds_it(kind, a, b):
    fine = np.linspace(0.01, 10, 100_000)
    assert peak(kind, a, b) == pytest.approx(fine[law(kind, fine, a, b).argmax()], abs=1e-3)
    assert peak(kind, a, -b) is None, "it rises for ever"
