"""Checks of chapter 15: the K-choose-2 loss (15.1)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tutorials.exercises.judging import (
    Draw,
    expect_close,
    expect_close_when_large,
    expect_gradients,
    expect_tensor,
    expect_unchanged,
)
from tutorials.exercises.specs.ch15 import kwise_loss
from tutorials.exercises.subject import Subject

NAMES = "scores ranks group"
Ranked = tuple[Tensor, Tensor, Tensor]  # scores, ranks, group [N]


def one_prompt(scores: list[float], ranks: list[int]) -> Ranked:
    """The answers to a single prompt."""
    return torch.tensor(scores), torch.tensor(ranks), torch.zeros(len(ranks), dtype=torch.long)


def draw_ranked(draw: Draw, ties: bool) -> Ranked:
    """Three prompts with different numbers of answers, in mixed order."""
    counts = draw.sizes(3, 2, 5)
    group = torch.tensor([prompt for prompt, k in enumerate(counts) for _ in range(k)])
    group = group[torch.randperm(len(group), generator=draw.generator)]  # [N]
    ranks = [draw.size(0, 1 if ties else 10**6) for _ in group]
    return draw.normal(len(group)), torch.tensor(ranks), group


def cost(difference: float) -> float:
    """−log σ(difference)."""
    return math.log1p(math.exp(-difference))


def given(scores: Tensor, ranks: Tensor, group: Tensor) -> dict[str, Tensor]:
    return {"scores": scores, "ranks": ranks, "group": group}


# ---- 15.1 ----------------------------------------------------------------------------------------------------------


def the_loss_is_one_number(subject: Subject, draw: Draw) -> None:
    """A scalar tensor of the type of the scores."""
    expect_tensor(subject(*draw_ranked(draw, ties=False)), (), "", torch.float32, "the loss")


def arguments_unchanged(subject: Subject, draw: Draw) -> None:
    """Scores, ranks and group are left as they are."""
    expect_unchanged(subject, *draw_ranked(draw, ties=True), names=NAMES)


def equal_scores_cost_ln_2(subject: Subject, draw: Draw) -> None:
    """Whatever K is: with equal scores each pair costs −log σ(0) = ln 2, and so does their mean."""
    for k in (2, draw.size(3, 6)):
        inputs = one_prompt([float(draw.size(-3, 3))] * k, list(range(k)))
        ln2, pairs = math.log(2), k * (k - 1) // 2
        expect_close(
            subject(*inputs),
            torch.tensor(ln2),
            f"{k} answers with equal scores: each of {pairs} pairs costs ln 2, and so does their mean",
            given=given(*inputs),
            likely="divide by the number of pairs of the prompt",
            mistakes={
                "the pairs are added up; divide by their number": torch.tensor(ln2 * pairs),
                "every pair counts twice, once in each order": torch.tensor(2 * ln2),
                "the sign: the loss is MINUS the log": torch.tensor(-ln2),
                "divided by K, not by the number of pairs": torch.tensor(ln2 * pairs / k),
                "divided by K², as if every answer were compared with every one": torch.tensor(ln2 * pairs / k**2),
            },
        )


def the_better_answer_should_score_higher(subject: Subject, draw: Draw) -> None:
    """Two answers by hand: rank 0 is the better one."""
    gap = float(draw.size(1, 3))
    for ranks, difference in (([0, 1], gap), ([1, 0], -gap)):
        inputs = one_prompt([gap, 0.0], ranks)
        expect_close(
            subject(*inputs),
            torch.tensor(cost(difference)),
            f"the better answer scores {difference:+.0f} more than the other: −log σ({difference:+.0f})",
            given=given(*inputs),
            mistakes={"winner and loser are swapped: the SMALLER rank is better": torch.tensor(cost(-difference))},
            likely="both orders of a pair are counted, or the difference of the scores is another one",
        )


def every_pair_counts_once(subject: Subject, draw: Draw) -> None:
    """Three answers by hand: three pairs, not only the neighbours."""
    step = draw.size(1, 2)
    inputs = one_prompt([2.0 * step, float(step), 0.0], [0, 1, 2])
    one, two = cost(step), cost(2 * step)
    expect_close(
        subject(*inputs),
        torch.tensor((one + one + two) / 3),
        f"three answers make three pairs, 0-1, 1-2, 0-2: the mean of −log σ({step}) twice and −log σ({2 * step}) once",
        given=given(*inputs),
        mistakes={
            "only neighbours in the order are compared": torch.tensor(one),
            "only the best answer is compared with the others": torch.tensor((one + two) / 2),
        },
        likely="a pair is missing, or counts more than once",
    )


def prompts_are_not_compared(subject: Subject, draw: Draw) -> None:
    """A number added to all scores of one prompt changes nothing."""
    scores, ranks, group = draw_ranked(draw, ties=False)
    shifted = scores + 3.0 * (group == 1)
    expect_close(
        subject(shifted, ranks, group),
        subject(scores, ranks, group),
        "3 was added to the scores of all answers to prompt 1, and the loss must stay the same",
        given={"group": group},
        likely="answers to different prompts are compared with each other",
    )


def prompts_add_up(subject: Subject, draw: Draw) -> None:
    """The loss of two prompts is the sum of their losses, however many answers each has."""
    first = one_prompt([1.0, 0.0], [0, 1])
    k = draw.size(3, 4)
    second = one_prompt([float(n) for n in range(k)], list(range(k)))
    both = (torch.cat([first[0], second[0]]), torch.cat([first[1], second[1]]), torch.tensor([0] * 2 + [1] * k))
    losses = [kwise_loss(*first), kwise_loss(*second)]
    pairs = k * (k - 1) // 2
    pooled = (losses[0] + pairs * losses[1]) / (1 + pairs)
    expect_close(
        subject(*both),
        losses[0] + losses[1],
        f"a prompt with 2 answers costs {losses[0]:.4f}, one with {k} costs {losses[1]:.4f}, and both cost their sum",
        given=given(*both),
        likely="each prompt's pairs are averaged first, then the prompts are added",
        mistakes={
            "that is the mean over prompts; add them, whoever trains divides by their number": sum(losses) / 2,
            "all pairs are averaged in one pot, so a prompt with more answers weighs more": pooled,
            "all pairs are averaged in one pot, times two prompts": 2 * pooled,
        },
    )


def ties_make_no_pair(subject: Subject, draw: Draw) -> None:
    """Answers of equal rank are not compared, and not counted."""
    inputs = one_prompt([3.0, 1.0, 0.0], [0, 0, 1])
    a, b = cost(3.0), cost(1.0)
    expect_close(
        subject(*inputs),
        torch.tensor((a + b) / 2),
        "answers 0 and 1 have the same rank, so two pairs are left: 0-2 and 1-2",
        given=given(*inputs),
        likely="a tie is compared; the condition on the ranks must be strict",
        mistakes={"the tie makes no loss, but is counted in the number of pairs": torch.tensor((a + b) / 3)},
    )
    inputs = one_prompt([1.0, 0.0], [2, 2])
    expect_close(
        subject(*inputs),
        torch.tensor(0.0),
        "a prompt whose answers are all tied has no pair and adds 0",
        given=given(*inputs),
        likely="a tie makes a pair",
        not_finite="0 pairs: 0 divided by 0",
    )


def far_apart_is_finite(subject: Subject, draw: Draw) -> None:
    """Scores hundreds apart cost hundreds, not infinity."""
    gap = float(draw.size(300, 400))
    inputs = one_prompt([0.0, gap], [0, 1])
    expect_close(
        subject(*inputs),
        torch.tensor(gap),
        f"the better answer scores {gap:.0f} less: −log σ(−{gap:.0f}) = {gap:.0f}",
        given=given(*inputs),
        likely="the cost of a pair is cut off somewhere; it grows with the difference",
        not_finite=f"σ(−{gap:.0f}) is 0 in float32, and its log is infinite: use softplus or logsigmoid",
    )


def loss_equals_the_specification(subject: Subject, draw: Draw) -> None:
    """Several prompts in mixed order, with ties and without: the loops in specs/ch15.py."""
    for ties in (False, True):
        inputs = draw_ranked(draw, ties)
        expect_close(
            subject(*inputs),
            kwise_loss(*inputs),
            "the loss must be that of specs/ch15.py",
            given=given(*inputs),
            likely="the answers to a prompt need not stand side by side",
        )


def many_ranked(draw: Draw) -> dict[str, Ranked]:
    """Many prompts with a few answers each, and one prompt with many answers; ties in both."""
    prompts, most = draw.size(70, 90), draw.size(33, 40)  # a solution in plain loops must have the time for them
    counts = {f"{prompts} prompts": [draw.size(2, 4) for _ in range(prompts)], f"K = {most} answers": [most]}
    cases = {}
    for sizes, ks in counts.items():
        group = torch.tensor([prompt for prompt, k in enumerate(ks) for _ in range(k)])
        group = group[torch.randperm(len(group), generator=draw.generator)]  # [N]
        ranks = torch.tensor([draw.size(0, 12) for _ in group])
        cases[f"{sizes} ({len(group)} answers)"] = (draw.normal(len(group)), ranks, group)
    return cases


def right_for_many_prompts_and_answers(subject: Subject, draw: Draw) -> None:
    """Dozens of prompts, and a prompt with dozens of answers: the loops in specs/ch15.py."""
    for sizes, inputs in many_ranked(draw).items():
        expect_close_when_large(subject(*inputs), kwise_loss(*inputs), "", sizes)


def score_gradients_flow(subject: Subject, draw: Draw) -> None:
    """The gradient of the scores is that of the specification."""
    inputs = draw_ranked(draw, ties=False)
    expect_gradients(subject, inputs, kwise_loss, "scores", likely="detach, item, or a new tensor made of numbers")


CHECKS = {
    "15.1": (
        the_loss_is_one_number, arguments_unchanged, equal_scores_cost_ln_2, the_better_answer_should_score_higher,
        every_pair_counts_once, prompts_are_not_compared, prompts_add_up, ties_make_no_pair, far_apart_is_finite,
        loss_equals_the_specification, score_gradients_flow, right_for_many_prompts_and_answers,
    ),
}  # fmt: skip
