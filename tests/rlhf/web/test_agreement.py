"""Agreement against published figures, hand computation and a slow loop."""

import itertools
import math
import random

import pytest

from rlhf.people.annotators import measured_agreement
from rlhf.web.labels.agreement import compare, krippendorff_alpha, pair_units, rank_units

# Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability", section C: four observers, twelve units.
PUBLISHED = (
    (1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None),
    (1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3),
    (None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None),
    (1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None),
)


def units_of(observers):
    return [[value for value in unit if value is not None] for unit in zip(*observers, strict=True)]


@pytest.mark.parametrize(("level", "alpha"), [("nominal", 0.743), ("ordinal", 0.815)])
def test_alpha_is_the_published_one(level, alpha):
    assert krippendorff_alpha(units_of(PUBLISHED), level) == pytest.approx(alpha, abs=5e-4)


def test_alpha_of_two_units_by_hand():
    # values a a | a b: o(a,a) = 2, o(a,b) = o(b,a) = 1, n_a = 3, n_b = 1, n = 4;
    # observed 2/4, expected 2·3·1/(4·3) = 1/2, so alpha = 0
    assert krippendorff_alpha([[0, 0], [0, 1]]) == pytest.approx(0.0, abs=1e-12)
    # a a | b b | a b: n_a = n_b = 3, n = 6; observed 2/6, expected 2·9/30 = 3/5; alpha = 1 − 5/9
    assert krippendorff_alpha([[0, 0], [1, 1], [0, 1]]) == pytest.approx(4 / 9, abs=1e-12)


def slow_alpha(units, level):
    """Every pair of values, one by one, without a matrix."""
    units = [unit for unit in units if len(unit) > 1]
    everything = [value for unit in units for value in unit]

    def distance(c, k):
        if level == "nominal":
            return float(c != k)
        low, high = min(c, k), max(c, k)
        between = sum(low <= value <= high for value in everything)
        return (between - (everything.count(c) + everything.count(k)) / 2) ** 2 if c != k else 0.0

    n = len(everything)
    observed = sum(distance(a, b) / (len(unit) - 1) for unit in units for a, b in itertools.permutations(unit, 2)) / n
    expected = sum(distance(a, b) for a, b in itertools.permutations(everything, 2)) / (n * (n - 1))
    return 1 - observed / expected


@pytest.mark.parametrize("level", ["nominal", "ordinal"])
@pytest.mark.parametrize("seed", range(5))
def test_alpha_is_that_of_a_slow_loop(level, seed):
    rng = random.Random(seed)
    units = [[rng.randrange(5) for _ in range(rng.randrange(5))] for _ in range(12)]
    assert krippendorff_alpha(units, level) == pytest.approx(slow_alpha(units, level), abs=1e-9)


@pytest.mark.parametrize("level", ["nominal", "ordinal"])
def test_alpha_of_those_who_agree_is_one_and_of_nothing_is_nan(level):
    assert krippendorff_alpha([[1, 1, 1], [2, 2], [7]], level) == pytest.approx(1.0)
    assert math.isnan(krippendorff_alpha([], level))
    assert math.isnan(krippendorff_alpha([[3], [4]], level)), "one value a unit tells nothing about agreement"
    assert math.isnan(krippendorff_alpha([[3, 3], [3, 3]], level)), "nothing could have differed"


def test_alpha_of_people_who_throw_dice_is_about_zero():
    rng = random.Random(1)
    rankings = [[rng.sample(range(4), 4) for _ in range(3)] for _ in range(400)]
    assert abs(krippendorff_alpha(pair_units(rankings))) < 0.05
    assert abs(krippendorff_alpha(rank_units(rankings), "ordinal")) < 0.05


def test_alpha_of_pairs_does_not_depend_on_which_answer_is_called_the_first():
    assert krippendorff_alpha(pair_units([[[0, 1], [0, 1]], [[0, 1], [0, 1]]])) == pytest.approx(1.0)
    rng = random.Random(2)
    rankings = [[rng.sample(range(3), 3) for _ in range(3)] for _ in range(6)]
    turned = [[ranks[::-1] for ranks in people] for people in rankings]
    assert krippendorff_alpha(pair_units(turned)) == pytest.approx(krippendorff_alpha(pair_units(rankings)))


def test_pairs_of_two_rankings_by_hand():
    counts = compare([0, 1, 2, 2], [1, 0, 2, 3])  # 01 differs, 02 03 12 13 alike, 23 tied by one
    assert (counts.same, counts.opposite, counts.one_tied, counts.both_tied) == (4, 1, 1, 0)
    assert counts.agreement == pytest.approx(4 / 5)
    assert counts.agreement_with_ties == pytest.approx(4.5 / 6)
    tied = compare([0, 0], [0, 0])
    assert math.isnan(tied.agreement)
    assert tied.agreement_with_ties == 1.0


@pytest.mark.parametrize("seed", range(5))
def test_pairs_are_counted_as_those_of_simulated_annotators(seed):
    rng = random.Random(seed)
    first, second = ([rng.randrange(4) for _ in range(7)] for _ in range(2))
    counts = compare(first, second)
    assert counts.pairs == 21
    assert counts.agreement == pytest.approx(measured_agreement([first], [second]), nan_ok=True)
    assert compare(second, first) == counts
