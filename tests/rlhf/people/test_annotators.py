"""Annotators against simulation: their agreement is what the formula says, and ranking hides their private scales."""

import itertools
import math
import random

import pytest

from rlhf.people.annotators import (
    LIKERT,
    TARGET_AGREEMENT,
    Annotator,
    calibrate_noise,
    expected_agreement,
    make_annotators,
    measured_agreement,
)

GROUPS = [(0.0, 0.4, 1.0, 1.0), (0.1, 0.4), (0.0, 0.0, 0.3, 0.6, 1.0)]


def simulated_agreement(noise: float, rounds: int) -> float:
    first, second = Annotator(noise, 3.0, 2.0), Annotator(noise, 1.0, 5.0)
    rng = random.Random(0)
    mine = [first.rank(golds, rng) for _ in range(rounds) for golds in GROUPS]
    theirs = [second.rank(golds, rng) for _ in range(rounds) for golds in GROUPS]
    return measured_agreement(mine, theirs)


@pytest.mark.parametrize("noise", [0.05, 0.3, 1.0])
def test_expected_agreement_is_the_simulated_one(noise):
    rounds = 2500  # 17 pairs each; the error of a share is then below 0.5 / sqrt(pairs of independent groups) = 0.006
    assert simulated_agreement(noise, rounds) == pytest.approx(expected_agreement(GROUPS, noise), abs=0.015)


def test_expected_agreement_in_closed_form():
    # gap 1 and noise 1: p = Phi(1 / sqrt 2) = 0.760250
    p = 0.7602499389065233
    assert expected_agreement([(0.0, 1.0)], 1.0) == pytest.approx(p * p + (1 - p) ** 2, rel=1e-12)
    assert expected_agreement([(0.5, 0.5)], 0.1) == 0.5, "two people agree on a gold tie half of the time"
    assert expected_agreement([(0.0, 1.0)], 1e-3) == pytest.approx(1.0, abs=1e-12)
    assert expected_agreement([(0.0, 1.0)], 1e4) == pytest.approx(0.5, abs=1e-6)
    # pairs, not groups, are averaged: 3 pairs that agree always and 1 tie
    assert expected_agreement([(0.0, 0.5, 1.0), (0.2, 0.2)], 1e-3) == pytest.approx(3.5 / 4)


def test_agreement_of_no_pair_is_a_programming_error():
    with pytest.raises(ValueError, match="at least two"):
        expected_agreement([(0.5,), ()], 0.1)


@pytest.mark.parametrize("target", [0.6, TARGET_AGREEMENT, 0.85])
def test_calibration_hits_the_target(target):
    noise = calibrate_noise(GROUPS, target)
    assert expected_agreement(GROUPS, noise) == pytest.approx(target, abs=1e-9)


def test_the_target_is_instructgpts():
    assert 0.72 <= TARGET_AGREEMENT <= 0.77
    assert simulated_agreement(calibrate_noise(GROUPS), 2500) == pytest.approx(TARGET_AGREEMENT, abs=0.015)


def test_an_agreement_that_ties_forbid():
    with pytest.raises(ValueError, match=r"agree on 0\.500 of these pairs, less than 0\.745"):
        calibrate_noise([(0.4, 0.4), (1.0, 1.0)])


def test_without_noise_the_ranking_is_golds():
    rng = random.Random(0)
    for golds in itertools.product((0.0, 0.4, 1.0), repeat=4):
        ranks = Annotator(0.0, 2.0, 4.0).rank(golds, rng)
        for i, j in itertools.combinations(range(4), 2):
            assert (ranks[i] < ranks[j]) == (golds[i] > golds[j]), f"golds {golds} got ranks {ranks}; 0 is the best"
            assert (ranks[i] == ranks[j]) == (golds[i] == golds[j]), f"golds {golds}: ties must share a rank"
        assert min(ranks) == 0
    assert Annotator(0.0, 2.0, 4.0).rank([0.4, 1.0, 0.4, 0.0], rng) == [1, 0, 1, 3], "competition ranking: 1, 1, 3"


def test_noise_turns_rankings_over_but_breaks_every_tie():
    rng = random.Random(0)
    rankings = [Annotator(0.5, 2.0, 4.0).rank([0.4, 0.5, 0.5], rng) for _ in range(200)]
    assert len({tuple(ranks) for ranks in rankings}) == 6
    assert all(sorted(ranks) == [0, 1, 2] for ranks in rankings)


def test_scores_stay_on_the_scale_and_use_it():
    rng = random.Random(0)
    people = make_annotators(6, noise=0.5, seed=0)
    scores = [score for person in people for _ in range(100) for score in person.score([0.0, 0.4, 1.0], rng)]
    assert all(isinstance(score, int) for score in scores)
    assert set(scores) == set(range(LIKERT[0], LIKERT[1] + 1))


def test_annotators_disagree_in_scores_where_they_agree_in_ranks():
    golds, rng = [0.0, 0.3, 0.6, 1.0], random.Random(0)
    strict, kind = Annotator(0.0, 1.0, 3.0), Annotator(0.0, 3.0, 4.0)
    assert strict.rank(golds, rng) == kind.rank(golds, rng) == [3, 2, 1, 0]
    assert strict.score(golds, rng) == [1, 2, 3, 4]
    assert kind.score(golds, rng) == [3, 4, 5, 7]


def test_hired_people_share_the_noise_and_nothing_else():
    people = make_annotators(5, noise=0.2, seed=1)
    assert people == make_annotators(5, noise=0.2, seed=1)
    assert people != make_annotators(5, noise=0.2, seed=2)
    assert {person.noise for person in people} == {0.2}
    assert len({person.offset for person in people}) == len({person.scale for person in people}) == 5
    assert all(person.scale > 0 for person in people), "a negative scale would turn the person's taste over"


def test_inconsistency_moves_offsets_and_scales_apart_and_nothing_else():
    alike, usual, twice = (make_annotators(5, noise=0.2, seed=1, inconsistency=far) for far in (0.0, 1.0, 2.0))
    assert usual == make_annotators(5, noise=0.2, seed=1)
    assert {(person.offset, person.scale) for person in alike} == {(2.0, 4.0)}
    for one, two in zip(usual, twice, strict=True):
        assert two.offset - 2.0 == pytest.approx(2 * (one.offset - 2.0))
        assert math.log(two.scale / 4.0) == pytest.approx(2 * math.log(one.scale / 4.0)), "scales differ by factors"
        assert two.noise == one.noise, "who is inconsistent in marks is as careful as others"


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([[0, 1]], [[0, 1]], 1.0),
        ([[0, 1]], [[1, 0]], 0.0),
        ([[0, 1, 2]], [[0, 2, 1]], 2 / 3),
        ([[0, 1, 2], [0, 1]], [[2, 1, 0], [0, 1]], 1 / 4),
        ([[0, 0, 2]], [[0, 1, 2]], 1.0),  # the tie does not count, the other two pairs agree
        ([[0, 1, 2]], [[1, 0, 1]], 1 / 2),  # pairs (0,1) turned over, (0,2) tied, (1,2) alike
    ],
)
def test_measured_agreement_by_hand(first, second, expected):
    assert measured_agreement(first, second) == pytest.approx(expected)


def test_measured_agreement_of_nothing_and_of_unequal_sets():
    assert math.isnan(measured_agreement([[0, 0]], [[0, 1]]))
    with pytest.raises(ValueError, match="shorter"):
        measured_agreement([[0, 1], [0, 1]], [[0, 1]])
