"""Simulated demonstrators: people who write the answers of stage 1, each with habits of their own.

InstructGPT's labelers wrote the demonstrations (Ouyang et al. 2022, section 3.2), and people do not always write as
well as they can judge. A careful demonstration is one of the complete answers. A careless one is in some habit of its
author: no reason, no kind word, one word instead of a sentence, needless words, a story without its ending, a list one
short, "I do not know" to a question that has an answer; now and then it is wrong. So the SFT policy imitates an
average, and what the annotators prefer (`annotators`) can be better than what it was shown.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from minigpt.toyworld.requests.advice import WISHES
from minigpt.toyworld.requests.request import Request

# how often a habit is met among careless answers, beside the others that the family allows; "errs" is a wrong answer
HABITS = {
    "rambles": 1.6,
    "no reason": 0.8,
    "curt": 0.8,
    "unfinished": 0.8,
    "forgets": 0.8,
    "one short": 0.8,
    "one too many": 0.4,
    "one word": 0.6,
    "gives up": 0.3,
    "errs": 0.15,
}
FILLER = WISHES[1]  # what people add who like to talk; a kind word after advice, and out of place after anything else
# No needless words after a fact. With them a right claim was worth 0.4 more often than 1, so rankings taught that "I do
# not know" is as good, and PPO said it also where it knew the answer (tests/benchmarks/LOG.md, 2026-11-29).
NEVER_RAMBLED = ("fact", "follow_up", "look_alike")


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
        """One of this person's habits, and an answer in it.

        Careful people write in their own words; careless ones in a stock phrase, the first wording of their habit. So
        careless answers are alike and likely, and likelihood is no measure of quality.
        """
        answers = {habit: wordings[0] for habit, wordings in request.careless.items()}
        answers["errs"] = rng.choice(request.bad)
        if request.family not in NEVER_RAMBLED:
            answers["rambles"] = f"{answers.get('curt', answers.get('no reason', request.good[0]))} {FILLER}"
        habit = rng.choices(tuple(answers), [self.habits[name] for name in answers])[0]
        return habit, answers[habit]


def make_demonstrators(count: int, careless_share: float, seed: int) -> list[Demonstrator]:
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
