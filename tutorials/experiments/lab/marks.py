"""Direct scores: annotators mark answers from 1 to 7 where they could have ranked them, and a model learns the marks.

What a person perceives of an answer is the same whether they are asked for marks or for an order: noise is drawn for
prompt n from (seed, n), whoever judges and whatever they are asked. So two ways of asking differ in nothing else.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from statistics import fmean, pstdev

from torch import Tensor, nn

from rlhf.people.annotators import Annotator
from rlhf.stage2_reward.examples import RankedBatch
from rlhf.stage2_reward.objective import RankingObjective

Golds = Sequence[Sequence[float]]  # the gold total of each answer to each prompt
Judges = list[list[int]]  # for each answer the number of the person who judges it
Marks = list[list[float]]


def judges(golds: Golds, people: int, dealt: bool = False) -> Judges:
    """Prompt n is for person n, all of it; or, `dealt`, its j-th answer is for person n + j."""
    return [[(n + place * dealt) % people for place in range(len(gold))] for n, gold in enumerate(golds)]


def give_marks(golds: Golds, people: Sequence[Annotator], who: Judges, seed: str) -> Marks:
    """What each answer's judge marks it with."""
    marks = []
    for n, (gold, row) in enumerate(zip(golds, who, strict=True)):
        rng = random.Random(f"{seed} {n}")
        marks.append([float(*people[person].score([value], rng)) for person, value in zip(row, gold, strict=True)])
    return marks


def give_ranks(golds: Golds, people: Sequence[Annotator], seed: str) -> list[list[int]]:
    """Each prompt's answers as one person ranks them, person n those to prompt n."""
    return [people[n % len(people)].rank(gold, random.Random(f"{seed} {n}")) for n, gold in enumerate(golds)]


def standardise(marks: Marks, who: Judges) -> Marks:
    """Each judge's marks shifted and scaled to mean 0 and spread 1; who always gives the same mark, gives 0."""
    given: dict[int, list[float]] = {}
    for row, persons in zip(marks, who, strict=True):
        for mark, person in zip(row, persons, strict=True):
            given.setdefault(person, []).append(mark)
    ruler = {person: (fmean(values), pstdev(values) or 1.0) for person, values in given.items()}
    return [
        [(mark - ruler[person][0]) / ruler[person][1] for mark, person in zip(row, persons, strict=True)]
        for row, persons in zip(marks, who, strict=True)
    ]


def close_marks(first: Marks, second: Marks) -> float:
    """The share of answers to which two people give marks that are at most one point apart."""
    pairs = [pair for rows in zip(first, second, strict=True) for pair in zip(*rows, strict=True)]
    return fmean(abs(mine - other) <= 1 for mine, other in pairs)


class MarksObjective(RankingObjective):
    """Least squares in place of the K-wise loss, on the same batches; every prompt counts the same, whatever its K.

    The marks stand where a comparison has the truth (`gold`): they are what this loss takes for it.
    """

    def loss_sum(self, model: nn.Module, micro: RankedBatch) -> tuple[Tensor, dict[str, Tensor | float]]:
        scores = self.scores(model, micro)  # [N]
        answers = micro.group.bincount()[micro.group]  # [N], how many there are to the same prompt
        return ((scores - micro.gold).square() / answers).sum(), {}
