"""Verdicts of pages from made-up cells: a swapped sign or a wrong row would turn them over. Their figures are light."""

from collections.abc import Sequence

import pytest

from tutorials.experiments import direct_or_rank, k_choose_2, rounds, stages
from tutorials.tools.figures import Drawing, draw

PROMPTS = 40
RISE = {True: 0.1, False: -0.1, None: 0.0}  # by how much what the claim calls better is better


def prompts(mean: float, amplitude: float = 0.01) -> list[float]:
    """Values around a mean; the intervals of their mean are narrow, and of a difference of 0 they hold 0."""
    return [mean + amplitude * (-1) ** number for number in range(PROMPTS)]


def summarised(page, measured, tmp_path):
    """The summary of the made-up cells at preset small, drawn too: draw() refuses a figure that is too large."""
    settings = page.EXPERIMENT.at("small")
    summary = page.summarise(settings, [(cell, measured(settings, **cell)) for cell in page.cells(settings)])
    size = page.EXPERIMENT.size
    draw("figure", Drawing(summary.arrays, summary.labels, summary.alt, page.draw, size), tmp_path)
    return summary


@pytest.mark.parametrize("holds", [True, False, None])
def test_direct_or_rank(holds, tmp_path):
    """Ranks 0.75 and marks without inconsistency 0.72; the most inconsistent marks lie 0.1 below or above those."""

    def measured(settings, seed, inconsistency):
        last = 0.72 - RISE[holds]
        marks = {0.0: 0.72, 1.0: 0.7, 2.0: 0.68, 4.0: last}[inconsistency]
        accuracy = {"marks": prompts(marks, 0.001)}
        if inconsistency:
            accuracy |= {"standardised": prompts(0.71), "dealt": prompts(0.5)}
        else:
            accuracy["ranks"] = prompts(0.75)
        agreement = {"marks": 0.8 - 0.1 * inconsistency + 0.01 * seed, "ranks": 0.74}
        return {"gold_accuracy": accuracy, "agreement": agreement}

    summary = summarised(direct_or_rank, measured, tmp_path)
    assert summary.holds is holds
    for said in ("ranks - marks at x0 +0.030", "at x1 +0.050", "ranks - standardised there +0.040"):
        assert said in summary.measured
    if holds:
        assert "ranks beat those last marks by +0.130" in summary.measured
        assert "which have lost +0.100" in summary.measured


@pytest.mark.parametrize(
    ("worse", "ratio", "holds"),
    [(0.1, 8.0, True), (0.1, 3.0, None), (0.1, 1.5, False), (0.0, 8.0, None), (-0.1, 8.0, False)],
)
def test_k_choose_2(worse, ratio, holds, tmp_path):
    """After one pass shuffled pairs of K = 9 lie `worse` above grouped ones; later and at K = 4 the other way round. A
    shuffled pair takes `ratio` times as long."""

    def arm(k, way):
        gap = 0.0 if way == "grouped" else worse if k == 9 else -worse
        losses = [prompts(0.7), prompts(0.6 + gap, 0.001), prompts(0.6 - gap), prompts(0.6 - gap)]
        return {
            "held_out log_loss": losses,
            "held_out accuracy": losses,
            "learned log_loss": losses,
            "milliseconds": ratio if way == "shuffled" else 1.0,
        }

    def measured(settings, seed, k):
        return {way: arm(k, way) for way in ("grouped", "shuffled")[: k - 1]}

    summary = summarised(k_choose_2, measured, tmp_path)
    assert summary.holds is holds
    assert f"a shuffled pair costs {ratio:.1f} to {ratio:.1f} times" in summary.measured
    if worse:
        assert f"shuffled minus grouped pairs {worse:+.3f}" in summary.measured


@pytest.mark.parametrize("holds", [True, False, None])
def test_rounds(holds, tmp_path):
    """Three rounds are behind after the first leg and end `RISE` ahead; one round has more labels at first."""

    def measured(settings, seed, arm):
        three = arm == "three rounds"
        means = [0.6, 0.65, 0.7, 0.75 + RISE[holds]] if three else [0.6, 0.72, 0.74, 0.75]
        order = {name: [(0.7, 0.65, 0.75)] * 4 for name in rounds.REWARD_MODELS}
        gold = [prompts(mean, 0.001 if three else 0.002) for mean in means]
        return {"gold": gold, "kl": [0.0, 0.1, 0.2, 0.3], "accuracy": order, "rankings": 2900 + 10 * seed, "noise": 0.1}

    summary = summarised(rounds, measured, tmp_path)
    assert summary.holds is holds
    assert f"with one: {RISE[holds]:+.3f}" in summary.measured
    assert "the legs of PPO add +0.050" in summary.measured
    assert "+0.120" in summary.measured, "what the first leg adds with the labels of one round"
    assert "(2,900 to 2,920 rankings)" in summary.measured


def golds(preferred_on: float) -> Sequence[float]:
    """Gold totals that are above 0.5 on this share of the prompts, and below it on the others."""
    return [0.9 if number < preferred_on * 200 else 0.1 for number in range(200)]


@pytest.mark.parametrize(
    ("aligned", "holds"),
    [({"small": 0.8, "large": 0.1}, True), ({"small": 0.2, "large": 0.9}, False), ({"small": 0.5, "large": 0.9}, None)],
)
def test_stages(aligned, holds, tmp_path):
    """The large base model always gets 0.5, the smaller ones 0, and the small PPO policy is above 0.5 on a share of the
    prompts; the large PPO policy is bad where the small one is good."""

    def measured(settings, seed, size):
        ways = {way: [0.5 if size == "large" else 0.0] * 200 for way in stages.UNALIGNED}
        ways |= {"SFT": [0.5] * 200, "best of 8": [0.5] * 200, "PPO": golds(aligned.get(size, 0.5))}
        return {
            "parameters": {"small": 73888, "medium": 196928, "large": 984192}[size],
            "gold": ways,
            "three_h": [[0.5 + 0.01 * seed] * 6] * 3,
        }

    summary = summarised(stages, measured, tmp_path)
    assert summary.holds is holds
    share = aligned["small"]
    assert f"PPO with 73,888 parameters is preferred to the base model with 984,192 asked as base {share:.2f}" in (
        summary.measured
    )


def test_one_opponent_that_wins_in_every_seed_refutes_the_claim_of_stages(tmp_path):
    def measured(settings, seed, size):
        gold = dict.fromkeys(stages.WAYS, golds(0.8)) | {way: [0.5] * 200 for way in stages.UNALIGNED}
        gold["first line"] = [1.0] * 200
        return {"parameters": 1, "gold": gold, "three_h": [[0.5] * 6] * 3}

    assert summarised(stages, measured, tmp_path).holds is False
