"""Demonstrators: how careless they are on average, that they differ, and that carelessness costs grades."""

import random
from collections import Counter, defaultdict
from statistics import mean

import pytest

from minigpt.toyworld.requests import FAMILIES
from rlhf.people.demonstrators import HABITS, demonstrate, make_demonstrators
from rlhf.people.labeler import grade


def requests(count: int, family: str = "") -> list:
    rng = random.Random(f"demonstrators {family}")
    return [FAMILIES[family or rng.choice(tuple(FAMILIES))](rng) for _ in range(count)]


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.9, 1.0])
def test_the_share_of_careless_demonstrations_is_the_setting(share):
    people = make_demonstrators(10, share, seed=1)
    assert mean(person.carelessness for person in people) == pytest.approx(share)
    assert all(0 <= person.carelessness <= 1 for person in people)
    asked = requests(3000)
    answers = demonstrate(asked, people, seed=0)
    complete = mean(answer in request.good for request, answer in zip(asked, answers, strict=True))
    assert complete == pytest.approx(1 - share, abs=0.03)


def test_without_carelessness_every_demonstration_is_complete():
    asked = requests(300)
    answers = demonstrate(asked, make_demonstrators(3, 0.0, seed=0), seed=0)
    assert all(answer in request.good for request, answer in zip(asked, answers, strict=True))


def test_people_differ_in_how_careless_they_are_and_in_their_habits():
    people = make_demonstrators(10, 0.5, seed=0)
    assert min(person.carelessness for person in people) < 0.15
    assert max(person.carelessness for person in people) > 0.85
    assert len({max(person.habits, key=lambda habit: person.habits[habit] / HABITS[habit]) for person in people}) > 3
    assert make_demonstrators(10, 0.5, seed=1) != people
    assert make_demonstrators(10, 0.5, seed=0) == people


@pytest.mark.parametrize("family", FAMILIES)
def test_a_careless_demonstration_is_worth_less_and_seldom_nothing(family):
    """At least two kinds of carelessness in each family, and their grades differ from a complete answer's."""
    rng, person = random.Random(0), make_demonstrators(1, 0.5, seed=0)[0]
    totals = defaultdict(list)
    for request in requests(400, family):
        habit, answer = person.write_carelessly(request, rng)
        total = grade(request, answer, ended=True).total
        assert total <= 0.8, f"{habit}: {request.turns} -> {answer}"
        totals[habit].append(total)
    assert len(totals) >= 3, totals.keys()
    careless = [total for habit, found in totals.items() if habit != "errs" for total in found]
    assert 0.2 < mean(careless) < 0.8


def test_every_habit_is_met():
    rng, person = random.Random(0), make_demonstrators(1, 1.0, seed=0)[0]
    met = Counter(person.write_carelessly(request, rng)[0] for request in requests(2000))
    assert set(met) == set(HABITS), set(HABITS) - set(met)


def test_more_requests_or_another_seed():
    asked, people = requests(50), make_demonstrators(10, 0.5, seed=0)
    assert demonstrate(asked, people, seed=3) == demonstrate(asked, people, seed=3)
    assert demonstrate(asked, people, seed=3) != demonstrate(asked, people, seed=4)
