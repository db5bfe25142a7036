"""Marks against ranks: what differs between the ways of asking is the question, and nothing else."""

import statistics

import pytest
import torch
from torch import nn

from rlhf.people.annotators import Annotator, make_annotators
from rlhf.stage2_reward.examples import Comparison
from tutorials.experiments.direct_or_rank import Settings, cells, summarise
from tutorials.experiments.lab.marks import MarksObjective, close_marks, give_marks, give_ranks, judges, standardise
from tutorials.experiments.lab.measures import above_zero, in_words
from tutorials.experiments.lab.reward_learning import CPU

GOLDS = [(0.0, 0.2, 0.5, 1.0), (0.4, 0.9), (1.0, 0.3, 0.0)] * 40


def test_every_answer_of_a_prompt_has_one_judge_or_is_dealt_to_the_next():
    assert judges([(0.0, 0.0, 0.0), (0.0, 0.0)], people=2) == [[0, 0, 0], [1, 1]]
    assert judges([(0.0, 0.0, 0.0), (0.0, 0.0)], people=2, dealt=True) == [[0, 1, 0], [1, 0]]


def test_marks_and_ranks_come_from_the_same_perception():
    fine = [Annotator(noise=0.3, offset=4.0, scale=1e-9)] * 3  # marks of the same person say nothing here
    assert all(mark == 4 for row in give_marks(GOLDS, fine, judges(GOLDS, 3), "a") for mark in row)
    people = [Annotator(noise=0.1, offset=2.0, scale=4.0)] * 3
    marks, ranks = give_marks(GOLDS, people, judges(GOLDS, 3), "a"), give_ranks(GOLDS, people, "a")
    for row, order in zip(marks, ranks, strict=True):
        by_rank = [row[place] for place in sorted(range(len(order)), key=order.__getitem__)]
        assert by_rank == sorted(row, reverse=True), "rounding makes ties, but must turn no pair over"
    assert marks != give_marks(GOLDS, people, judges(GOLDS, 3), "b"), "the seed decides the noise"


def test_among_people_who_are_alike_dealing_changes_nothing():
    people = make_annotators(5, noise=0.2, seed=0, inconsistency=0.0)
    whole, dealt = (give_marks(GOLDS, people, judges(GOLDS, 5, way), "a") for way in (False, True))
    assert whole == dealt
    people = make_annotators(5, noise=0.2, seed=0, inconsistency=2.0)
    whole, dealt = (give_marks(GOLDS, people, judges(GOLDS, 5, way), "a") for way in (False, True))
    assert whole != dealt


def test_standardised_marks_have_no_offset_and_no_scale_of_their_judge():
    who = [[0, 1], [0, 1], [0, 1, 2]]
    strict, kind = (1.0, 2.0, 4.0), (3.0, 5.0, 7.0)
    result = standardise([[1.0, 3.0], [2.0, 5.0], [4.0, 7.0, 6.0]], who)
    for person, marks in enumerate((strict, kind)):
        center, deviation = statistics.fmean(marks), statistics.pstdev(marks)
        mine = [row[person] for row in result]
        assert mine == pytest.approx([(mark - center) / deviation for mark in marks])
    assert result[2][2] == 0.0, "somebody who gives one mark only tells nothing, and is no reason to divide by zero"


def test_marks_at_most_one_point_apart_are_close():
    assert close_marks([[1.0, 2.0], [7.0]], [[2.0, 4.0], [7.0]]) == pytest.approx(2 / 3)


class TableOfScores(nn.Module):
    """Scores by the first token; it can be trained."""

    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.tensor([0.0, 1.0, -0.5, 0.25, 2.0]))

    def forward(self, ids, lengths):
        return self.table[ids[:, 0]]


def objective(*comparisons):
    return MarksObjective(
        comparisons, [], batch_size=len(comparisons), micro_batch_size=0, pad_id=0, seed=0, device=CPU
    )


def test_every_prompt_weighs_the_same_in_the_squared_error():
    two = Comparison(((1,), (2,)), (0, 1), (0.5, 0.5))
    three = Comparison(((1,), (3,), (4,)), (0, 1, 2), (1.0, 0.0, -1.0))
    marks = objective(two, three)
    (micro,) = marks.micro_batches(0)
    model = TableOfScores()
    loss, _ = marks.loss_sum(model, micro)
    by_hand = (0.5**2 + 1.0**2) / 2 + (0.0**2 + 0.25**2 + 3.0**2) / 3
    assert marks.weight(micro) == 2
    torch.testing.assert_close(loss.item(), by_hand, rtol=1e-6, atol=0.0)


def test_least_squares_finds_the_mean_of_what_annotators_say():
    marks = objective(*(Comparison(((1,), (2,)), (0, 1), (said, -1.0)) for said in (0.0, 1.0, 2.0)))
    (micro,) = marks.micro_batches(0)
    model = TableOfScores()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(200):
        optimizer.zero_grad()
        marks.loss_sum(model, micro)[0].backward()
        optimizer.step()
    torch.testing.assert_close(model.table[1:3].detach(), torch.tensor([1.0, -1.0]), rtol=0.0, atol=1e-4)


@pytest.mark.parametrize(
    ("each", "expected"),
    [
        ([[(0.2, 0.1, 0.3), (0.1, 0.01, 0.2)]], True),
        ([[(0.2, 0.1, 0.3), (0.1, -0.01, 0.2)]], None),  # one seed is not sure
        ([[(0.2, 0.1, 0.3)], [(-0.2, -0.3, -0.1)]], False),  # one quantity is below
        ([[(-0.2, -0.3, -0.1), (-0.2, -0.3, 0.1)]], None),
        ([[(-0.2, -0.3, -0.1), (0.2, 0.1, 0.3)]], None),  # the seeds disagree
    ],
)
def test_a_claim_is_decided_only_if_every_seed_agrees(each, expected):
    assert above_zero(*each) is expected


def test_intervals_in_words_are_the_mean_and_the_outermost_ends():
    assert in_words([(0.2, 0.1, 0.3), (0.1, -0.05, 0.2)]) == "+0.150 [-0.050, +0.300]"


def test_seeds_may_have_different_numbers_of_prompts():
    """Prompts of which all answers are equally good are left out: more in one seed than in another."""
    settings = Settings(seeds=(0, 1))
    result = {"agreement": {"marks": 0.5, "ranks": 0.7}}
    found = []
    for cell in cells(settings):
        accuracy = {
            way: ([0.8] if way == "ranks" else [0.6]) * (5 + cell["seed"])
            for way in ("ranks", "marks", "standardised", "dealt")
        }
        found.append((cell, {**result, "gold_accuracy": accuracy}))
    summary = summarise(settings, found)
    assert "ranks beat those last marks by +0.200" in summary.measured, summary.measured
