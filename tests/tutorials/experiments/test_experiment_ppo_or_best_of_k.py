"""PPO or best of K: the criterion is what the page says, points keep their prompts, and each point is counted right."""

from types import SimpleNamespace

import numpy as np
import pytest

from tutorials.experiments import ppo_or_best_of_k as page
from tutorials.experiments.lab import frontier
from tutorials.experiments.lab.frontier import best_of_k_points, over_seeds, way_of_ppo
from tutorials.experiments.lab.pool import Pool

# ---- points ----


def test_points_over_seeds_by_hand():
    ways = [
        [{"gold": [0, 1.0], "kl": 1.0, "drawn": 0, "each": 4}, {"gold": [1.0, 1.0], "kl": 2.0, "drawn": 0, "each": 8}],
        [{"gold": [0.5, 0.7], "kl": 3.0, "drawn": 0, "each": 4}, {"gold": [0, 0.0], "kl": 2.0, "drawn": 0, "each": 8}],
    ]
    arrays = over_seeds("way", ways, served=100)
    assert arrays["way_gold"] == pytest.approx([0.55, 0.5])
    assert arrays["way_gold_sd"] == pytest.approx([0.05 * 2**0.5, 0.5**0.5]), "the deviation of a sample, over seeds"
    assert arrays["way_kl"] == [2.0, 2.0]
    assert arrays["way_kl_sd"] == pytest.approx([2**0.5, 0.0])
    assert arrays["way_drawn"] == [400, 800], "each prompt that is served takes its K answers"


def test_what_training_draws_is_paid_once():
    point = {"gold": [1.0], "kl": 0.0, "drawn": 50, "each": 1}
    assert over_seeds("way", [[point], [point]], served=100)["way_drawn"] == [150]


def test_the_way_of_ppo_is_made_of_means_over_neighbours():
    names = ("objective/gold", "objective/scores", "objective/kl_nats_per_sequence", "episode")
    rows = [dict(zip(names, (i, 10 * i, 100 * i, 128 * (i + 1)), strict=True)) for i in range(6)]
    way = way_of_ppo(rows, parts=3)
    assert [point["gold"] for point in way] == [0.5, 2.5, 4.5]
    assert way[0] == {"gold": 0.5, "score": 5.0, "kl": 50.0, "drawn": 192.0, "each": 1}
    assert len(way_of_ppo(rows[:2], parts=10)) == 2, "fewer iterations than parts"


def test_the_best_of_k_is_chosen_by_score_and_counted_by_gold(monkeypatch):
    golds, scores = [[0.0, 0.5, 0.5, 1.0], [0.2] * 4], [[[3.0, 1.0, 1.0, 2.0], [0.0] * 4]]
    pool = Pool([["a", "b", "b", "c"], ["x"] * 4], np.array(golds), np.array(scores))
    asked = []
    monkeypatch.setattr(frontier, "sample_pool", lambda *arguments: asked.append(arguments) or pool)
    sft, reward_model = SimpleNamespace(seed=3), SimpleNamespace(model="reward model")
    one, two, four = best_of_k_points(sft, reward_model, ["p", "q"], pool=4)
    assert asked == [(sft, ["reward model"], ["p", "q"], 4, 3)]
    assert one["gold"] == pytest.approx([0.5, 0.2])
    assert two["gold"] == pytest.approx([(3 * 0.0 + 2 * 1.0 + 0.5) / 6, 0.2]), "a over three pairs, c over two"
    assert four["gold"] == pytest.approx([0.0, 0.2]), "the highest score, though its gold total is the lowest"
    assert [point["score"] for point in (one, four)] == pytest.approx([(7 / 4 + 0) / 2, 1.5])
    assert one["kl"] == 0
    assert 0 < two["kl"] < four["kl"], "further from the policy with every answer more"
    assert [point["each"] for point in (one, two, four)] == [1, 2, 4]


# ---- the page ----


def measured(golds, settings):
    """Cells as if arm `name` had given gold total golds[name] to each prompt in every seed, and a little by seed."""
    cells = page.cells(settings)
    more = {seed: 0.001 * seed for seed in settings.seeds}
    results = []
    for cell in cells:
        gold = [golds[cell["arm"]] + more[cell["seed"]] + wobble for wobble in (-0.01, 0.0, 0.01)]
        point = {"gold": gold, "score": 0.0, "kl": 0.5, "drawn": 10, "each": 1}
        first = {**point, "gold": [golds["sft"] + more[cell["seed"]]] * 3}
        results.append({"points": [first, {**point, "each": 64}] if cell["arm"] == "best_of_k" else [point]})
    return list(zip(cells, results, strict=True))


GOLDS = {
    "sft": 0.6,
    "best_of_k": 0.9,
    "rollouts": 0.7,
    "ppo": 0.8,
    "dpo": 0.62,
    "best_one": 0.76,
    "random_one": 0.61,
    "best_three": 0.79,
    "random_three": 0.6,
}


@pytest.mark.parametrize(
    ("changes", "holds"),
    [
        ({}, True),
        ({"best_one": 0.74}, False),
        ({"random_one": 0.78}, False),
        ({"best_one": 0.75}, None),
        ({"ppo": 0.6}, None),
        ({"best_three": 0.6, "dpo": 0.9}, True),
    ],
)
def test_one_round_must_reach_three_quarters_of_what_ppo_adds(changes, holds):
    """The bar is at 0.6 + 3/4 · 0.2 = 0.75; the bootstrap of three prompts reaches 0.01 to both sides at most."""
    settings = page.EXPERIMENT.at("small")
    summary = page.summarise(settings, measured(GOLDS | changes, settings))
    assert summary.holds is holds
    intervals = dict(zip(summary.arrays["compared"], summary.arrays["intervals"], strict=True))
    assert [len(rows) for rows in intervals.values()] == [3] * len(intervals), "seeds are kept apart"
    expected = (GOLDS | changes)["best_one"] - 0.25 * 0.6 - 0.75 * (GOLDS | changes)["ppo"]
    assert [mean for mean, _, _ in intervals["one round - bar"]] == pytest.approx([expected] * 3)
