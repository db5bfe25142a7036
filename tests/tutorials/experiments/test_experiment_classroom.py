"""The class of the experiment: what thirty people send by HTTP is what the server exports, and a lost label refutes."""

import dataclasses

import pytest

from rlhf.bad_records import BadRecords
from rlhf.data_formats.formats import read_rankings
from rlhf.web.store.items import Item
from tutorials.experiments import classroom
from tutorials.experiments.lab.classroom import labelled_by_a_class, prompt_key, sorted_rankings

ANSWERS = ("one", "two", "three")


@pytest.fixture(scope="module")
def made():
    """Twenty items with three answers, the better the longer."""
    return [
        Item(({"role": "user", "content": f"Question {n}?"},), ANSWERS, (True, n % 2 == 0, True), (0.1, 0.2, 0.3))
        for n in range(20)
    ]


@pytest.fixture(scope="module")
def exported(made, tmp_path_factory):
    """The rankings of five people, four items each: item n by the order n, in turns."""
    meant = {prompt_key(item.prompt): places(n) for n, item in enumerate(made)}
    path = labelled_by_a_class(tmp_path_factory.mktemp("class"), made, people=5, per_person=4, meant=meant)
    return list(read_rankings(path, BadRecords()))


def places(n):
    """The ranks of the three answers to question n."""
    return {answer: (index + n) % 3 for index, answer in enumerate(ANSWERS)}


def test_every_ranking_arrives_as_it_was_meant(made, exported):
    found = {ranking.turns[0].text: ranking for ranking in exported}
    assert len(exported) == len(found) == 20, "a prompt was ranked twice, or not at all"
    for n, item in enumerate(made):
        ranking = found[f"Question {n}?"]
        assert dict(zip(ranking.responses, ranking.ranks, strict=True)) == places(n), "ranks of the order shown"
        assert (ranking.ended, ranking.gold, ranking.sampled) == (item.ended, item.gold, True)


def test_the_order_does_not_depend_on_who_ranked_what(exported):
    assert sorted_rankings(exported, seed=1) == sorted_rankings(exported[::-1], seed=1)
    assert sorted_rankings(exported, seed=1) != sorted_rankings(exported, seed=2)


@pytest.mark.parametrize(
    ("gain", "labels", "holds"),
    [(0.1, [20, 20, 20], True), (0.0, [20, 20, 20], None), (-0.1, [20, 20, 20], False), (0.1, [19, 20, 20], False)],
    ids=["more gold", "as much", "less", "one ranking changed"],
)
def test_the_verdict_needs_more_gold_and_every_ranking(gain, labels, holds):
    settings = dataclasses.replace(classroom.Settings(), seeds=(0, 1), sizes=(10,))
    prompts = [0.1 * (n % 7) for n in range(60)]
    better = [gold + gain + 0.05 * (-1) ** n for n, gold in enumerate(prompts)]
    result = {
        "gold": [prompts, better],
        "kl": [0.0, 1.0],
        "accuracy": [(0.6, 0.5, 0.7)],
        "noise": 0.2,
        "labels": labels,
    }
    found = classroom.summarise(settings, [({"seed": seed}, result) for seed in settings.seeds])
    assert found.holds is holds
