"""Checks of chapter 15: the K-choose-2 loss with ties as half a win (15.4)."""

from __future__ import annotations

import torch

from tutorials.exercises.checks.ch15 import (
    arguments_unchanged,
    cost,
    draw_ranked,
    far_apart_is_finite,
    given,
    many_ranked,
    one_prompt,
    prompts_are_not_compared,
    the_loss_is_one_number,
)
from tutorials.exercises.judging import Draw, expect_close, expect_close_when_large, expect_gradients
from tutorials.exercises.specs.ch15 import kwise_loss, kwise_loss_with_ties
from tutorials.exercises.subject import Subject


def without_ties_nothing_changes(subject: Subject, draw: Draw) -> None:
    """Where no ranks are equal, this is the loss of 15.1."""
    inputs = draw_ranked(draw, ties=False)
    loss = kwise_loss(*inputs)
    expect_close(
        subject(*inputs),
        loss,
        "without a tie the loss is that of exercise 15.1",
        given=given(*inputs),
        mistakes={"the sign: the loss is MINUS the log": -loss},
        likely="the pairs of one prompt are averaged, then the prompts are added; the smaller rank is better",
    )


def a_tie_by_hand(subject: Subject, draw: Draw) -> None:
    """Two answers of equal rank: half of the one win, half of the other."""
    gap = float(draw.size(1, 3))
    inputs = one_prompt([gap, 0.0], [1, 1])
    expect_close(
        subject(*inputs),
        torch.tensor((cost(gap) + cost(-gap)) / 2),
        f"a tie between scores {gap:.0f} and 0 costs ½·(−log σ({gap:.0f})) + ½·(−log σ(−{gap:.0f}))",
        given=given(*inputs),
        mistakes={
            "the tie is dropped": torch.tensor(0.0),
            "each of the two counts a whole win": torch.tensor(cost(gap) + cost(-gap)),
            "the tie counts as a win of the first answer": torch.tensor(cost(gap)),
            "the tie counts as a win of the second answer": torch.tensor(cost(-gap)),
        },
        likely="each order of a tied pair gets the weight one half",
    )


def a_tie_counts_among_the_pairs(subject: Subject, draw: Draw) -> None:
    """Three answers, two of them tied: three pairs, each a third."""
    inputs = one_prompt([2.0, 1.0, 0.0], [0, 0, 1])
    tie = (cost(1.0) + cost(-1.0)) / 2
    pairs = tie + cost(2.0) + cost(1.0)
    expect_close(
        subject(*inputs),
        torch.tensor(pairs / 3),
        "three answers make three pairs, and the tied one is one of them",
        given=given(*inputs),
        mistakes={"the tie adds to the loss, but not to the number of pairs": torch.tensor(pairs / 2)},
        likely="the tied pair is weighed differently from the others",
    )


def an_answer_alone_has_no_pair(subject: Subject, draw: Draw) -> None:
    """A prompt with one answer adds 0: an answer is not tied with itself."""
    scores, ranks, group = one_prompt([1.0, 0.0, 2.0], [0, 1, 0])
    group = torch.tensor([0, 0, 1])
    inputs = (scores, ranks, group)
    expect_close(
        subject(*inputs),
        torch.tensor(cost(1.0)),
        "prompt 1 has a single answer and adds nothing",
        given=given(*inputs),
        likely="an answer is compared with itself (leave the diagonal out), or prompts are compared",
        not_finite="0 is divided by 0: a prompt with a single answer has no pair",
    )


def ties_equal_the_specification(subject: Subject, draw: Draw) -> None:
    """Several prompts in mixed order, many ties: the loops in specs/ch15.py."""
    inputs = draw_ranked(draw, ties=True)
    expect_close(
        subject(*inputs),
        kwise_loss_with_ties(*inputs),
        "the loss must be that of specs/ch15.py",
        given=given(*inputs),
        likely="ties between answers to different prompts are counted",
    )


def ties_pull_scores_together(subject: Subject, draw: Draw) -> None:
    """The gradient of the scores is that of the specification: the higher one of a tie is pushed down."""
    inputs = draw_ranked(draw, ties=True)
    expect_gradients(
        subject, inputs, kwise_loss_with_ties, "scores", likely="detach, item, or a tensor made of numbers"
    )


def ties_among_many_prompts_and_answers(subject: Subject, draw: Draw) -> None:
    """Dozens of prompts, and a prompt with dozens of answers, with ties: the loops in specs/ch15.py."""
    for sizes, inputs in many_ranked(draw).items():
        expect_close_when_large(subject(*inputs), kwise_loss_with_ties(*inputs), "", sizes)


CHECKS = {
    "15.4": (
        the_loss_is_one_number, arguments_unchanged, without_ties_nothing_changes, a_tie_by_hand,
        a_tie_counts_among_the_pairs, an_answer_alone_has_no_pair, prompts_are_not_compared, far_apart_is_finite,
        ties_equal_the_specification, ties_pull_scores_together, ties_among_many_prompts_and_answers,
    ),
}  # fmt: skip
