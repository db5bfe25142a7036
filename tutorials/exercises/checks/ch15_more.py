"""Checks of chapter 15: the score at the last real token (15.2, 15.5), and the measurement (15.3)."""

from __future__ import annotations

import torch
from torch import Tensor

from tutorials.exercises.checks.answers import expect_choice, expect_measured, expect_sentence
from tutorials.exercises.judging import (
    LARGE,
    CheckError,
    Draw,
    expect_close,
    expect_close_when_large,
    expect_gradients,
    expect_small_fix,
    expect_tensor,
    expect_unchanged,
)
from tutorials.exercises.specs.ch15 import answers_read, last_token_scores
from tutorials.exercises.specs.ch15_model import score_answers
from tutorials.exercises.subject import Subject

Rows = tuple[Tensor, Tensor, Tensor, Tensor]  # hidden [B,T,C], lengths [B], weight [1,C], bias [1]


# ---- 15.2 ----------------------------------------------------------------------------------------------------------


def draw_rows(draw: Draw) -> Rows:
    """Rows of different lengths, one of them full, with a random head."""
    B, T, C = draw.sizes(3, 3, 6)
    lengths = torch.tensor([T, 1, *(draw.size(2, T - 1) for _ in range(B - 2))])  # [B]
    return draw.normal(B, T, C), lengths, draw.normal(1, C), draw.normal(1)


def one_score_a_row(subject: Subject, draw: Draw) -> None:
    """The scores are [B], one number for each row."""
    inputs = draw_rows(draw)
    expect_tensor(subject(*inputs), inputs[1].shape, "B", torch.float32, "the scores")


def rows_unchanged(subject: Subject, draw: Draw) -> None:
    """hidden, lengths, weight and bias are left as they are."""
    expect_unchanged(subject, *draw_rows(draw), names="hidden lengths weight bias")


def the_right_column_by_hand(subject: Subject, draw: Draw) -> None:
    """One channel that holds 10·row + column, weight 1, bias 0: the score names the place that was read."""
    lengths = torch.tensor([2, 4, 1])  # [B]
    hidden = 10.0 * torch.arange(1, 4)[:, None] + torch.arange(4.0)  # [B,T]
    lengths = lengths[torch.randperm(3, generator=draw.generator)]  # [B]
    expected = hidden[torch.arange(3), lengths - 1]
    mistakes = {
        "the last column is read, which is padding for short rows": hidden[:, -1],
        "the column after the last real token is read: a length counts from 1, an index from 0": hidden[
            torch.arange(3), lengths.clamp(max=3)
        ],
        "the first token is read": hidden[:, 0],
        "one row's length is used for all rows": hidden[:, int(lengths[0]) - 1],
    }
    expect_close(
        subject(hidden[:, :, None], lengths, torch.ones(1, 1), torch.zeros(1)),
        expected,
        "row b of hidden holds 10·(b+1) + column: the score shows which place of the row was read",
        given={"hidden": hidden, "lengths": lengths},
        mistakes=mistakes,
        likely="another place, or several of them, are read",
    )


def weight_and_bias_are_used(subject: Subject, draw: Draw) -> None:
    """One row, one token: the score is w·h + b."""
    hidden, weight, bias = draw.whole(1, 1, 3), draw.whole(1, 3), draw.whole(1, low=1)
    expected = (hidden[0, 0] * weight[0]).sum() + bias
    mistakes = {"the bias is missing": expected - bias, "the weight is missing": hidden[0].sum() + bias}
    given = {"hidden": hidden, "weight": weight, "bias": bias}
    expect_close(
        subject(hidden, torch.tensor([1]), weight, bias),
        expected,
        "the score is weight · hidden + bias",
        given=given,
        mistakes=mistakes,
        likely="all channels are added up with their weights",
    )


def padding_is_not_read(subject: Subject, draw: Draw) -> None:
    """Other numbers in the padding change no score."""
    hidden, lengths, weight, bias = draw_rows(draw)
    padding = torch.arange(hidden.shape[1]) >= lengths[:, None]  # [B,T]
    other = hidden.masked_fill(padding[:, :, None], 1000.0)
    expect_close(
        subject(other, lengths, weight, bias),
        subject(hidden, lengths, weight, bias),
        "the hidden states of the padding were replaced by 1000, and no score may change",
        given={"lengths": lengths},
        likely="a column at or beyond the length is read",
    )


def scores_equal_the_specification(subject: Subject, draw: Draw) -> None:
    """Random rows, lengths and heads: the loops in specs/ch15.py."""
    inputs = draw_rows(draw)
    expect_close(
        subject(*inputs),
        last_token_scores(*inputs),
        "the scores must be those of specs/ch15.py",
        given={"lengths": inputs[1]},
        likely="an earlier token is read as well",
    )


def right_at_any_size(subject: Subject, draw: Draw) -> None:
    """Many rows, long rows, many channels: the loops in specs/ch15.py."""
    cases = {
        "B = {} answers": (draw.size(130, 160), 4, 3),
        "T = {} tokens": (5, draw.size(260, 320), 2),
        "C = {} channels": (3, 4, draw.size(260, 320)),
    }
    for text, (B, T, C) in cases.items():
        lengths = torch.tensor([T, 1, *(draw.size(1, T) for _ in range(B - 2))])  # [B]
        inputs = draw.normal(B, T, C), lengths, draw.normal(1, C), draw.normal(1)
        expect_close_when_large(subject(*inputs), last_token_scores(*inputs), "B", text.format(max(B, T, C)))


def states_of_zero_are_read_too(subject: Subject, draw: Draw) -> None:
    """The last real token of a full row has the state 0: its score is the bias, not the score of an earlier token."""
    hidden, lengths, weight, bias = draw_rows(draw)
    hidden[0, -1], hidden[1, 0] = 0.0, 0.0  # row 0 is full, row 1 has one token
    expect_close(
        subject(hidden, lengths, weight, bias),
        last_token_scores(hidden, lengths, weight, bias),
        "the last real token of rows 0 and 1 has a state of zeros, so their score is the bias",
        given={"lengths": lengths},
        likely="the end of a row is looked for in `hidden`; it is in `lengths`",
    )


def head_gradients_flow(subject: Subject, draw: Draw) -> None:
    """The gradients of hidden, weight and bias are those of the specification."""
    expect_gradients(
        subject, draw_rows(draw), last_token_scores, "hidden weight bias", likely="detach, item or a new tensor"
    )


# ---- 15.3 ----------------------------------------------------------------------------------------------------------


def prediction_is_written(subject: Subject, draw: Draw) -> None:
    """answers.toml has a prediction."""
    expect_choice(subject, "prediction", ("grouped", "shuffled", "same"))


def grouped_reads_each_answer_once(subject: Subject, draw: Draw) -> None:
    """Grouped: K answers of a prompt, K reads."""
    counts = [draw.size(4, 9) for _ in range(3)]
    expect_close(
        subject(counts, True),
        answers_read(counts, True),
        "grouped, every answer is read once",
        given={"K": counts},
        mistakes={"that is the number for shuffled pairs": answers_read(counts, False)},
        likely="count the answers",
    )


def shuffled_reads_two_answers_a_pair(subject: Subject, draw: Draw) -> None:
    """Shuffled: K·(K−1)/2 pairs of a prompt, two reads each."""
    counts = [draw.size(4, 9) for _ in range(3)]
    right = answers_read(counts, False)
    expect_close(
        subject(counts, False),
        right,
        "shuffled, each of the K·(K−1)/2 pairs reads both of its answers",
        given={"K": counts},
        likely="count two answers for every pair",
        mistakes={
            "those are the pairs; each reads two answers": right // 2,
            "that is the number for grouped pairs": sum(counts),
            "an answer is not compared with itself": sum(k * k for k in counts),
        },
    )


def long_lists_are_counted(subject: Subject, draw: Draw) -> None:
    """Hundreds of prompts, some with one answer or with dozens, and no prompt at all."""
    for counts in ([], [1], [draw.size(30, 40)], [draw.size(1, 9) for _ in range(draw.size(130, 200))]):
        for grouped in (True, False):
            expect_close(
                subject(counts, grouped),
                answers_read(counts, grouped),
                f"grouped = {grouped}, {len(counts)} prompts with {max(counts, default=0)} answers at most",
                likely=LARGE,
            )


def what_was_measured_is_in_answers(subject: Subject, draw: Draw) -> None:
    """The four numbers in answers.toml are those that `plug 15.3` measured, and that your function gives."""
    measured = subject.measured
    if not measured:
        raise CheckError("nothing was measured yet: run `python -m tutorials.exercises plug 15.3`")
    for kind in ("grouped", "shuffled"):
        expect_measured(subject, f"{kind}_loss", measured[f"{kind}_loss"])
        expect_measured(subject, f"{kind}_answers", subject(measured["answer_counts"], kind == "grouped"))


def the_reason_is_given(subject: Subject, draw: Draw) -> None:
    """answers.toml says why, in your own words; a person will read it."""
    expect_sentence(subject)


# ---- 15.5 ----------------------------------------------------------------------------------------------------------


def draw_answers(draw: Draw) -> list[list[int]]:
    """Answers of different lengths, the shortest first."""
    lengths = sorted(draw.sizes(3, 2, 9))
    return [[draw.size(1, 11) for _ in range(length)] for length in lengths]


def the_repair_is_small(subject: Subject, draw: Draw) -> None:
    """One to three lines of code differ from what was handed out."""
    expect_small_fix(subject)


def alone_or_beside_others(subject: Subject, draw: Draw) -> None:
    """An answer has the score that it has alone, whatever stands beside it."""
    answers = draw_answers(draw)
    expect_close(
        subject(answers)[:1],
        subject(answers[:1]),
        "the first answer was scored in a batch and alone, and both scores must be equal",
        given={"answers": answers},
        likely="what is read depends on the width of the batch, and so on the longest answer in it",
    )


def the_pad_does_not_matter(subject: Subject, draw: Draw) -> None:
    """Another token as padding changes no score."""
    answers, other = draw_answers(draw), draw.size(1, 11)
    expect_close(
        subject(answers, other),
        subject(answers, 0),
        f"the padding was token {other} instead of 0, and no score may change",
        given={"answers": answers},
        likely="the score is read at a pad, which has read the answer, and then itself",
    )


def many_answers_and_long_ones(subject: Subject, draw: Draw) -> None:
    """A hundred answers of every length that the context allows, each as if it stood alone."""
    answers = [[draw.size(1, 11) for _ in range(1 + number % 16)] for number in range(draw.size(100, 130))]
    expect_close_when_large(subject(answers, 0, 1), score_answers(answers, 1), "B", f"B = {len(answers)} answers")


def scores_of_answers_one_by_one(subject: Subject, draw: Draw) -> None:
    """The scores are those of the package's reward model, one answer at a time, without any padding."""
    answers, seed = draw_answers(draw), draw.size(0, 1000)
    expect_close(
        subject(answers, 0, seed),
        score_answers(answers, seed),
        "each score is read at the last token of its answer",
        given={"answers": answers},
        likely="a token too early or too late is read",
    )


CHECKS = {
    "15.2": (
        one_score_a_row, rows_unchanged, the_right_column_by_hand, weight_and_bias_are_used, padding_is_not_read,
        scores_equal_the_specification, states_of_zero_are_read_too, head_gradients_flow, right_at_any_size,
    ),
    "15.3": (
        prediction_is_written, grouped_reads_each_answer_once, shuffled_reads_two_answers_a_pair,
        long_lists_are_counted,
        what_was_measured_is_in_answers, the_reason_is_given,
    ),
    "15.5": (
        alone_or_beside_others, the_pad_does_not_matter, scores_of_answers_one_by_one, many_answers_and_long_ones,
        the_repair_is_small,
    ),
}  # fmt: skip
