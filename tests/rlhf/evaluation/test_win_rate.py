"""Win rates: ties are told apart, and the interval is as wide as it ought to be."""

import math
import random

import pytest

from rlhf.evaluation.evaluate import won_text
from rlhf.evaluation.win_rate import bootstrap_interval, win_rate
from rlhf.report.page import win_table


def test_by_hand():
    found = win_rate([0.9, 0.5, 0.2, 1.0, 0.0], [0.1, 0.5, 0.3, 0.9, 0.0])
    assert (found.wins, found.ties, found.losses) == (2, 2, 1)
    assert found.rate == pytest.approx(2 / 3), "ties are not part of the rate: neither half a win nor a loss"
    assert 0 <= found.low <= found.rate <= found.high <= 1
    assert list(found.as_dict()) == ["wins", "ties", "losses", "rate", "low", "high"], "results.json promises these"


def test_the_first_is_the_one_that_wins():
    better, worse = [1.0] * 5, [0.0] * 5
    won, lost = win_rate(better, worse), win_rate(worse, better)
    assert (won.wins, won.losses, won.rate, won.low, won.high) == (5, 0, 1.0, 1.0, 1.0)
    assert (lost.wins, lost.losses, lost.rate) == (0, 5, 0.0)


def test_without_a_decided_prompt_nothing_is_known():
    found = win_rate([0.5, 0.7], [0.5, 0.7])
    assert (found.wins, found.ties, found.losses) == (0, 2, 0)
    assert (found.rate, found.low, found.high) == (0.5, 0.0, 1.0)


def test_a_rate_of_no_decided_prompt_is_not_shown(make_results):
    """50 % of nothing is not a number that anybody asked for."""
    won = make_results()["win_rate"]["ppo_vs_sft"]
    assert won_text(won) == "50 won, 40 tied, 10 lost, 83.3 % of the decided [73.0, 92.0]"
    tied = {**won, **win_rate([0.5] * 4, [0.5] * 4).as_dict()}
    assert won_text(tied) == "0 won, 4 tied, 0 lost; without a decided prompt there is no win rate"
    results = make_results()
    results["win_rate"] = {"ppo_vs_sft": tied}
    assert win_table(results).rows == [["PPO against SFT", 0, 4, 0, None, "none decided"]]


def test_prompts_must_be_paired():
    with pytest.raises(ValueError, match=r"shorter|longer"):
        win_rate([0.5, 0.7], [0.5])


def test_swapping_the_two_mirrors_rate_and_counts():
    rng = random.Random(0)
    a, b = ([round(rng.random(), 1) for _ in range(60)] for _ in range(2))
    one, other = win_rate(a, b), win_rate(b, a)
    assert (one.wins, one.ties, one.losses) == (other.losses, other.ties, other.wins)
    assert one.rate == pytest.approx(1 - other.rate)
    assert one.low == pytest.approx(1 - other.high), "the same seed draws the same prompts, so the interval is mirrored"


@pytest.mark.parametrize(("wins", "ties", "losses"), [(120, 0, 80), (150, 200, 50), (50, 30, 50)])
def test_the_interval_is_about_that_of_the_normal_approximation(wins, ties, losses):
    decided = wins + losses
    rate = wins / decided
    half_width = 1.96 * math.sqrt(rate * (1 - rate) / decided)
    low, high = bootstrap_interval([1] * wins + [0] * ties + [-1] * losses, seed=0)
    assert low == pytest.approx(rate - half_width, abs=0.025)
    assert high == pytest.approx(rate + half_width, abs=0.025)
    assert high - low == pytest.approx(2 * half_width, rel=0.15), "twice or half as wide is another confidence"


def test_the_interval_covers_the_truth_about_as_often_as_it_says(monkeypatch):
    monkeypatch.setattr("rlhf.evaluation.win_rate.BOOTSTRAP_SAMPLES", 200)  # the quantiles need no more for this
    rng, truth, covered, rounds = random.Random(1), 0.7, 0, 150
    for seed in range(rounds):
        outcomes = [rng.choice((0, 1, 2)) and (1 if rng.random() < truth else -1) for _ in range(120)]
        low, high = bootstrap_interval(outcomes, seed)
        covered += low <= truth <= high
    # 95 % of 150 is 142.5 with a standard deviation of 2.7; percentile intervals cover a little less
    assert 132 <= covered <= 150, f"{covered} of {rounds} intervals hold the true rate"


def test_equal_seeds_give_equal_intervals():
    outcomes = [1, 1, 0, -1] * 20
    assert bootstrap_interval(outcomes, 3) == bootstrap_interval(outcomes, 3)
    assert bootstrap_interval(outcomes, 3) != bootstrap_interval([*outcomes, -1, -1], 3)
