"""The laws of over-optimisation: fits recover what made the numbers, and peaks are where a search finds them."""

import numpy as np
import pytest

from tutorials.experiments.lab.laws import fit_each, fit_law, law, peak, peaks_in_words

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
    assert peak(kind, a, 1e-17) is None, "rounding decides the sign of b where there is no peak"


def test_the_laws_of_several_reward_models_are_told_with_what_they_miss():
    d = np.tile(D, (2, 3, 1))  # [R,S,N]
    gains = np.stack([law("best_of_n", d[0], 0.4, b) for b in (0.1, 0.05)])
    gains[1, 0] += 0.3  # one seed lies 0.3 higher: the law misses it and the two others
    fits = fit_each("best_of_n", d, gains)
    assert fits[""][0] == pytest.approx((0.4, 0.1))
    a, b = fits[""][1]
    expected = np.sqrt(((law("best_of_n", d[1], a, b) - gains[1]) ** 2).mean())
    assert fits["_residual"] == pytest.approx([0.0, expected], abs=1e-12)
    assert expected > 0.1
    assert fits["_peak"] == ["2.00", f"{a / (2 * b):.2f}"]


@pytest.mark.parametrize(
    ("tops", "order"),
    [
        (["0.50", "1.00"], "in"),
        (["0.50", "0.50"], "not in"),
        (["1.00", "0.50"], "not in"),
        (["1.00", "none"], "in"),
    ],
)
def test_whether_the_peaks_lie_in_the_order_of_the_data(tops, order):
    said = peaks_in_words({"": [], "_peak": tops, "_residual": [0.0, 0.1]}, (150, 600))
    peaks = f"{tops[0]} (150 prompts), {tops[1]} (600 prompts)"
    assert said == f"{peaks}, {order} the order of the data (points lie 0.000, 0.100 from them)"
