"""Simulated demonstrators: people who write the answers of stage 1, each with habits of their own.

InstructGPT's labelers wrote the demonstrations (Ouyang et al. 2022, section 3.2), and people do not always write as
well as they can judge. A careful demonstration is one of the complete answers. A careless one is in some habit of its
author: one word instead of a sentence, no reason, no kind word, a story without its ending, a list one short, "I do
not know" to a question that has an answer; now and then it is wrong. So the SFT policy imitates an average, and what
the annotators prefer (`annotators`) can be better than what it was shown.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from minigpt.toyworld.requests.request import Request

# how often a habit is met among careless answers, beside the others that the family allows; "errs" is a wrong answer
HABITS = {
    "one word": 1.0,
    "no reason": 1.0,
    "curt": 1.0,
    "unfinished": 1.0,
    "forgets": 1.0,
    "one short": 1.0,
    "one too many": 0.5,
    "gives up": 0.8,
    "errs": 0.4,
}


@dataclass(frozen=True)
class Demonstrator:
    """One person. carelessness: the share of careless answers. habits: how often each is met among them, relatively."""

    carelessness: float
    habits: dict[str, float]

    def write(self, request: Request, rng: random.Random) -> str:
        """An answer as this person writes it, this time."""
        if rng.random() < self.carelessness:
            return self.write_carelessly(request, rng)[1]
        return rng.choice(request.good)

    def write_carelessly(self, request: Request, rng: random.Random) -> tuple[str, str]:
        """One of this person's habits, and an answer in it."""
        answers = {**request.careless, "errs": request.bad}
        weights = [self.habits[habit] for habit in answers]
        habit = rng.choices(tuple(answers), weights)[0]
        return habit, rng.choice(answers[habit])


def hire_demonstrators(count: int, careless_share: float, seed: int) -> list[Demonstrator]:
    """`count` people whose mean share of careless answers is exactly `careless_share`, from careful to careless.

    Habits are drawn around `HABITS`. With a share of 0 all demonstrations are complete.
    """
    rng = random.Random(f"demonstrators {seed}")
    widest = 2 * min(careless_share, 1 - careless_share)  # as far apart as shares from 0 to 1 with that mean can be
    people = []
    for number in range(count):
        carelessness = careless_share + widest * ((number + 0.5) / count - 0.5)
        habits = {habit: weight * math.exp(rng.gauss(0.0, 0.7)) for habit, weight in HABITS.items()}
        people.append(Demonstrator(carelessness, habits))
    return people


def demonstrate(requests: Sequence[Request], people: Sequence[Demonstrator], seed: int) -> list[str]:
    """One answer to each request, each by somebody drawn at random."""
    rng = random.Random(f"demonstrations {seed}")
    return [rng.choice(people).write(request, rng) for request in requests]
