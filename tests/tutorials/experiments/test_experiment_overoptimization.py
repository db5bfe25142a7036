"""The flagship experiment with made-up results: what it concludes, and from what."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from tutorials.experiments.lab.measures import in_phases
from tutorials.experiments.lab.pool import Pool, best_of_n
from tutorials.experiments.overoptimization import EXPERIMENT, WARMUP, Settings, cells, summarise, turning
from tutorials.tools.figures import Drawing, content

SETTINGS = Settings(data=(150, 3000), betas=(0.1,), iterations=WARMUP + 1 + 6, phases=6, pool=16, pool_prompts=3)


def made_up(gold):
    """Results of all cells: in every arm d is 0, 1 … 6, the score grows with d, and gold is gold(d)."""
    d = np.array([0.0] * (WARMUP + 1) + [1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    found = []
    for cell in cells(SETTINGS):
        if cell["data"]:
            found.append((cell, {"kl": (d**2).tolist(), "gold": [gold(x) for x in d], "scores": (3 * d - 1).tolist()}))
        else:
            best = {
                "n": [1, 2, 4, 8, 16],
                "sd": [2.0, 3.0],
                "scores": [[0.0, 2.0, 4.0, 5.0, 6.0]] * 2,
                "kl": [[0.0, 0.25, 1.0, 2.0, 2.5]] * 2,
            }
            more = 0.1 * cell["seed"]  # seeds differ, and so do prompts: the one end is 0.1 lower, the other higher
            per_prompt = [[0.5, 0.6, 0.6, 0.6, 0.6 + more + wobble] for wobble in (-0.1, 0.0, 0.1)]
            found.append((cell, {**best, "gold": [per_prompt] * 2}))
    return found


def test_phases_begin_with_the_rollouts_of_the_sft_policy():
    values = [1.0] * (WARMUP + 1) + [2.0, 4.0, 6.0, 8.0]
    assert in_phases(values, WARMUP + 1, 2) == [1.0, 3.0, 7.0]


@pytest.mark.parametrize(
    ("gold", "holds"),
    [
        (lambda d: 0.6 + d * (0.12 - 0.03 * d), True),
        (lambda d: 0.6 + 0.01 * d, False),
        (lambda d: 0.6 - 0.01 * d, False),
    ],
)
def test_it_holds_if_gold_turns_and_not_if_it_only_rises_or_only_falls(gold, holds):
    summary = summarise(SETTINGS, made_up(gold))
    assert summary.holds is holds
    # 0.1, 0.2 and 0.3 in three seeds; the bootstrap of three prompts reaches the outermost ones
    assert "best of 16: gold +0.200 [+0.000, +0.400] (mean of seeds" in summary.measured, "seeds are not pooled"


def test_a_seed_that_does_not_turn_leaves_it_undecided():
    gold = np.array([[0.6, 0.7, 0.5], [0.6, 0.7, 0.5], [0.6, 0.58, 0.5]])
    score = np.array([[0.0, 1.0, 2.0]] * 3)
    assert turning(gold, score, score)[0] is None
    assert turning(gold[:2], score[:2], score[:2])[0] is True
    assert turning(gold[:2], -score[:2], score[:2])[0] is None, "the proxy has to rise"


def test_the_peak_of_a_seed_is_looked_up_in_the_others():
    """Noise has its highest place somewhere: what the own highest value is above the start is no rise."""
    gold = np.array([[0.6, 0.9, 0.6, 0.5], [0.6, 0.6, 0.9, 0.5]])
    _, words = turning(gold, np.zeros_like(gold), np.zeros_like(gold))
    assert "up 0.00 ± 0.00" in words


def test_gains_are_measured_from_the_start_and_scores_in_units_of_their_own():
    summary = summarise(SETTINGS, made_up(lambda d: 0.6 + d * (0.12 - 0.03 * d)))
    arrays = summary.arrays
    np.testing.assert_allclose(arrays["gold"][0], [0, 0.09, 0.12, 0.09, 0.0, -0.15, -0.36], atol=1e-12)
    np.testing.assert_allclose(arrays["score"][:, -1], [18 / 2, 18 / 3, 18 / 2], atol=1e-12)
    np.testing.assert_allclose(arrays["bon_score"][:, -1], [6 / 2, 6 / 3], atol=1e-12)
    np.testing.assert_allclose(arrays["bon_d"][0], np.sqrt([0, 0.25, 1.0, 2.0, 2.5]), atol=1e-12)
    np.testing.assert_allclose(arrays["gold_sd"], 0, atol=1e-12)
    drawing = Drawing(arrays, summary.labels, summary.alt, EXPERIMENT.draw)
    figure = Figure()
    EXPERIMENT.draw(figure, {k: np.array(v) for k, v in content("x", drawing)["arrays"].items()}, summary.labels)
    assert [len(axes.get_legend_handles_labels()[1]) for axes in figure.axes] == [2, 3, 2, 3]


def test_the_law_of_best_of_n_is_fitted_where_its_kl_is_right():
    """0.1 at d = 1/2 and at d = 1 are on d (0.3 - 0.2 d), highest at 0.75; n beyond a quarter of the pool is not looked
    at."""
    summary = summarise(SETTINGS, made_up(lambda d: 0.6 + d * (0.12 - 0.03 * d)))
    np.testing.assert_allclose(summary.arrays["bon_law"], [(0.3, 0.2)] * 2, atol=1e-9)
    assert summary.arrays["bon_law_peak"] == ["0.75", "0.75"]
    np.testing.assert_allclose(summary.arrays["bon_law_residual"], 0, atol=1e-9)
    said = "of best of n are highest at √KL 0.75 (150 prompts), 0.75 (3,000 prompts), not in the order of the data"
    assert said in summary.measured


def test_the_best_of_a_pool_against_a_count_by_hand():
    """Two prompts with two answers each; one proxy likes the better answer, one the worse."""
    gold = np.array([[1.0, 0.0], [0.5, 0.1]])
    pool = Pool([["a", "b"], ["c", "c…"]], gold, np.stack([gold, -gold]))
    found = best_of_n(pool)
    assert found["n"] == [1, 2]
    np.testing.assert_allclose(found["gold"], [[[0.5, 1.0], [0.3, 0.5]], [[0.5, 0.0], [0.3, 0.1]]])
    np.testing.assert_allclose(found["scores"], [[0.4, 0.75], [-0.4, -0.05]])
    shares = np.array([0.25, 0.75])  # the worse answer is the best of two only if both are it
    np.testing.assert_allclose(found["kl"], [[0.0, float((shares * np.log(shares / 0.5)).sum())]] * 2, atol=1e-12)
    np.testing.assert_allclose(found["sd"], [gold.std()] * 2)
