"""Checks of chapter 18: the log-probabilities of an answer (18.1), the spread of all scores so far (18.2)."""

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
from tutorials.exercises.specs.ch18 import answer_logprobs, remember
from tutorials.exercises.subject import Subject

Answers = tuple[Tensor, Tensor, Tensor, Tensor, float]  # logits [B,T,V], ids [B,T+1], prompt_lengths, lengths [B], τ

# ---- 18.1 ----------------------------------------------------------------------------------------------------------


def draw_answers(draw: Draw, B: int, T: int, V: int, temperature: float = 1.0) -> Answers:
    """Prompts and answers of random lengths, the first row full; token 0 pads, and nobody says it."""
    prompts, answers = [draw.size(1, T - 1)], []
    answers.append(T + 1 - prompts[0])
    for _ in range(B - 1):
        prompts.append(draw.size(1, T - 1))
        answers.append(draw.size(1, T + 1 - prompts[-1]))
    ids = torch.tensor([[draw.size(1, V - 1) for _ in range(T + 1)] for _ in range(B)])
    prompt_lengths, lengths = torch.tensor(prompts), torch.tensor(answers)
    ids[torch.arange(T + 1) >= (prompt_lengths + lengths)[:, None]] = 0
    return draw.normal(B, T, V), ids, prompt_lengths, lengths, temperature


def one_number_a_column(subject: Subject, draw: Draw) -> None:
    """The log-probabilities are [B,T], of the type of the logits."""
    B, T, V = draw.sizes(3, 3, 7)
    expect_tensor(subject(*draw_answers(draw, B, T, V)), (B, T), "B T", torch.float32, "the log-probabilities")


def logits_and_ids_stay(subject: Subject, draw: Draw) -> None:
    """logits, ids and both lengths are left as they are."""
    expect_unchanged(
        subject, *draw_answers(draw, *draw.sizes(3, 3, 7)), names="logits ids prompt_lengths lengths temperature"
    )


def one_token_after_one_token(subject: Subject, draw: Draw) -> None:
    """A prompt of one token, an answer of one: π = (¾, ¼), and token 1 was said."""
    logits = torch.tensor([[[0.75, 0.25]]]).log() + float(draw.size(1, 3))
    one = torch.tensor([1])
    expect_close(
        subject(logits, torch.tensor([[0, 1]]), one, one, 1.0), torch.tensor([[math.log(0.25)]]),
        "the prompt is token 0, the answer token 1, and π after the prompt is (¾, ¼)",
        likely="the log-softmax over the vocabulary, read at the token that follows",
        mistakes={
            "that is log π of the token that was READ; take the one that follows": torch.tensor([[math.log(0.75)]]),
            "one column too late: that of the prompt's last token is about the answer's first": torch.zeros(1, 1),
            "that is a probability; take its logarithm": torch.tensor([[0.25]]),
            "that is a logit; take the log-softmax first": logits[:, :, 1],
            "the sign": torch.tensor([[-math.log(0.25)]]),
        },
    )  # fmt: skip


def the_answer_and_nothing_else(subject: Subject, draw: Draw) -> None:
    """A prompt of 2, an answer of 2, one pad: columns 1 and 2 belong to the answer."""
    V = 5
    logits, ids, _, _, _ = draw_answers(draw, 1, 4, V)
    ids[0, 4] = 0
    arguments = (logits, ids, torch.tensor([2]), torch.tensor([2]), 1.0)
    every = logits.log_softmax(-1).gather(2, ids[:, 1:, None])[..., 0]  # [1,T]
    columns = torch.arange(4)

    def only(*chosen: int) -> Tensor:
        return torch.where(torch.isin(columns, torch.tensor(chosen)), every, 0.0)

    expect_close(
        subject(*arguments), answer_logprobs(*arguments),
        "prompt 2 tokens, answer 2, then one pad: tokens 2 and 3 are the answer, predicted in columns 1 and 2",
        given={"ids": ids}, likely="column t is about the token at t + 1: the answer begins one column earlier",
        mistakes={
            "one column too late: the prompt's last token predicts the first of the answer": only(2, 3),
            "the first token of the answer is missing": only(2),
            "the last token of the answer is missing; the end token belongs to it": only(1),
            "the prompt is counted too": only(0, 1, 2),
            "the padding is counted too": only(1, 2, 3),
            "nothing is left out": every,
        },
    )  # fmt: skip


def the_temperature_of_the_sampling(subject: Subject, draw: Draw) -> None:
    """τ = ½: the logits are divided before the softmax, as they were in sampling."""
    arguments = draw_answers(draw, 2, 4, 5, 0.5)
    logits, ids, prompts, lengths, _ = arguments
    plain = answer_logprobs(logits, ids, prompts, lengths, 1.0)
    expect_close(
        subject(*arguments), answer_logprobs(*arguments),
        "temperature ½: the distribution that was sampled from is softmax(logits / ½)",
        likely="divide the logits, before the softmax",
        mistakes={
            "the temperature is not used": plain,
            "the log-probabilities are divided; divide the logits": plain / 0.5,
            "multiplied instead of divided": answer_logprobs(logits, ids, prompts, lengths, 2.0),
        },
    )  # fmt: skip


def the_pad_token_may_be_said(subject: Subject, draw: Draw) -> None:
    """Token 0 pads, and it is also in the answer."""
    logits, ids, _, _, _ = draw_answers(draw, 1, 5, 4)
    ids[0] = torch.tensor([3, 2, 0, 1, 0, 0])
    arguments = (logits, ids, torch.tensor([2]), torch.tensor([3]), 1.0)
    expect_close(
        subject(*arguments), answer_logprobs(*arguments), "token 0 pads, and the answer is 0, 1, 0",
        given={"ids": ids, "lengths": arguments[3]},
        likely="the lengths say what is padding; comparing ids with a pad token does not",
    )  # fmt: skip


def garbage_in_other_columns(subject: Subject, draw: Draw) -> None:
    """Where no token of the answer is predicted, the logits may hold NaN: the result is 0 there."""
    logits, ids, prompts, lengths, _ = draw_answers(draw, *draw.sizes(3, 4, 7))
    expected = answer_logprobs(logits, ids, prompts, lengths, 1.0)
    columns = torch.arange(logits.shape[1]) - prompts[:, None] + 1
    other = ~((columns >= 0) & (columns < lengths[:, None]))  # [B,T]
    expect_close(
        subject(logits.masked_fill(other[..., None], torch.nan), ids, prompts, lengths, 1.0), expected,
        "the logits hold NaN in columns that are not about the answer", likely="0 in these columns",
        not_finite="0 times NaN is NaN: replace, do not multiply",
    )  # fmt: skip


def logprob_gradients_flow(subject: Subject, draw: Draw) -> None:
    """The gradient by the logits is that of the specification."""
    expect_gradients(
        subject, draw_answers(draw, *draw.sizes(3, 3, 6)), answer_logprobs, "logits",
        likely="detach, item, or a tensor made of numbers",
    )  # fmt: skip


def a_whole_batch(subject: Subject, draw: Draw) -> None:
    """Dozens of rows of dozens of tokens, hundreds of kinds of token: the loops in specs/ch18.py."""
    B, T, V = draw.size(66, 70), draw.size(36, 40), draw.size(130, 150)
    arguments = draw_answers(draw, B, T, V, 0.7)
    expect_close_when_large(subject(*arguments), answer_logprobs(*arguments), "B T", f"B = {B}, T = {T}, V = {V}")


# ---- 18.2 ----------------------------------------------------------------------------------------------------------


def draw_scores(draw: Draw, count: int, center: float = 0.0) -> Tensor:
    """Scores [count] around a center."""
    return center + draw.normal(count)


def three_numbers_are_remembered(subject: Subject, draw: Draw) -> None:
    """The memory is [3], of the type of the scores."""
    got = subject(torch.zeros(3), draw_scores(draw, draw.size(4, 6)))
    expect_tensor(got, (3,), "3", torch.float32, "the memory")


def memory_and_scores_stay(subject: Subject, draw: Draw) -> None:
    """The memory and the scores are left as they are."""
    expect_unchanged(subject, torch.tensor([4.0, 1.0, 2.0]), draw_scores(draw, draw.size(4, 6)), names="memory scores")


def the_first_scores(subject: Subject, draw: Draw) -> None:
    """Nothing was seen before: 0 and 2a have the mean a and the variance a²."""
    a = float(draw.size(2, 5))
    expect_close(
        subject(torch.zeros(3), torch.tensor([0.0, 2 * a])), torch.tensor([2.0, a, a * a]),
        f"the first scores are 0 and {2 * a:.0f}: count 2, mean {a:.0f}, each is {a:.0f} away from it",
        likely="the variance is the mean squared distance from the mean",
        mistakes={
            "that is the standard deviation; remember the variance": torch.tensor([2.0, a, a]),
            "divided by the count − 1, or not at all; divide by the count": torch.tensor([2.0, a, 2 * a * a]),
        },
    )  # fmt: skip


def the_means_differ(subject: Subject, draw: Draw) -> None:
    """Before: 0 and 2. Now: twice a. The distance between the means is part of the variance."""
    a = float(draw.size(5, 8))
    mean, within = (1 + a) / 2, 0.5
    expect_close(
        subject(torch.tensor([2.0, 1.0, 1.0]), torch.tensor([a, a])), remember([0.0, 2.0, a, a]),
        f"before: two scores with mean 1 and variance 1; now {a:.0f} and {a:.0f}. All four: 0, 2, {a:.0f}, {a:.0f}",
        likely="squared distances are taken from the NEW mean of all scores, the old ones' too",
        mistakes={
            "the variances are averaged; the distance between the means is missing": torch.tensor([4.0, mean, within]),
            "the old scores are forgotten": torch.tensor([4.0, a, 0.0]),
        },
    )  # fmt: skip


def many_before_and_few_now(subject: Subject, draw: Draw) -> None:
    """Ten scores before, two now: each score counts once, not each batch."""
    before, now = draw_scores(draw, 10).tolist(), draw_scores(draw, 2, 3.0).tolist()
    memory, scores = remember(before), torch.tensor(now)
    half = (memory[1] + scores.mean()) / 2
    spread = (memory[2] + scores.var(unbiased=False)) / 2 + (scores.mean() - memory[1]) ** 2 / 4
    expect_close(
        subject(memory, scores), remember(before + now), "ten scores before, two now",
        given={"memory": memory, "scores": scores}, likely="weigh each part with its number of scores",
        mistakes={"both batches count the same; weigh them by their sizes": torch.tensor([12.0, half, spread])},
        rtol=1e-3,
    )  # fmt: skip


def far_from_zero(subject: Subject, draw: Draw) -> None:
    """Scores around 10,000 that differ by 1."""
    memory, seen = torch.zeros(3), []
    for _ in range(3):
        scores = draw_scores(draw, draw.size(6, 9), 10_000.0)
        memory = subject(memory, scores)
        seen += scores.tolist()
    expect_close(
        memory, remember(seen), "three batches of scores around 10,000 that differ by 1", rtol=0.02,
        likely="the mean of the squares minus the square of the mean loses all digits: two numbers near 10⁸ are "
        "subtracted, and float32 has seven digits. Use distances from means only",
    )  # fmt: skip


def batch_after_batch(subject: Subject, draw: Draw) -> None:
    """Forty batches of different sizes: as if all scores had been seen at once."""
    memory, seen = torch.zeros(3), []
    for _ in range(40):
        scores = draw_scores(draw, draw.size(1, 130), float(draw.size(-3, 3)))
        memory = subject(memory, scores)
        seen += scores.tolist()
    expect_close_when_large(memory, remember(seen), "number", f"40 batches, {len(seen)} scores")


CHECKS = {
    "18.1": (
        one_number_a_column, logits_and_ids_stay, one_token_after_one_token, the_answer_and_nothing_else,
        the_temperature_of_the_sampling, the_pad_token_may_be_said, garbage_in_other_columns, logprob_gradients_flow,
        a_whole_batch,
    ),
    "18.2": (
        three_numbers_are_remembered, memory_and_scores_stay, the_first_scores, the_means_differ,
        many_before_and_few_now, far_from_zero, batch_after_batch,
    ),
}  # fmt: skip
