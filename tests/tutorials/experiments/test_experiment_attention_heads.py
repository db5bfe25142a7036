"""One head or several: the tasks ask what the page says, and the verdict follows from its criterion."""

import pytest
import torch

from tutorials.exercises.gifts import CLUES, PLACES, Reader
from tutorials.experiments.attention_heads import ASKS, EXPERIMENT, TASKS, draw_task, summarise


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_the_last_word_says_which_noun_is_meant():
    ids, nouns = draw_task("one", 200, generator())
    assert len(set(ASKS)) == len(CLUES), "four questions need four words"
    for row, noun in zip(ids.tolist(), nouns[:, 0].tolist(), strict=True):
        assert row[PLACES[ASKS.index(row[-1])]] == noun, "the answer is the noun in the place that is asked for"
    assert set(ids[:, -1].tolist()) == set(ASKS)


def test_all_four_nouns_are_wanted_where_nothing_is_asked():
    ids, nouns = draw_task("four", 50, generator())
    assert torch.equal(ids[:, PLACES], nouns)
    assert len(set(ids[:, -1].tolist())) == 1


def test_every_arm_has_as_many_parameters():
    counts = {sum(w.numel() for w in Reader(heads).parameters()) for heads in EXPERIMENT.at("small").heads}
    assert len(counts) == 1


@pytest.mark.parametrize(("better", "holds"), [(0.2, True), (0.0, False), (0.03, None)])
def test_the_verdict_is_about_the_task_with_one_question(better, holds):
    settings = EXPERIMENT.at("small")
    one = [1.0] * 700 + [0.0] * 300  # right or wrong, for each sentence
    more = round(1000 * better)
    four = [1.0] * (700 + more) + [0.0] * (300 - more)
    shares = {f"{task} {heads}": one for task in TASKS for heads in settings.heads}
    result = shares | {"one 4": four, "four 4": [1.0] * 1000}
    summary = summarise(settings, [({"seed": seed}, result) for seed in settings.seeds])
    assert summary.holds is holds
