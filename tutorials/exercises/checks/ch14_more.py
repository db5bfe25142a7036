"""Checks of chapter 14: what is imitated (14.3), and the answers that never end (14.4)."""

from __future__ import annotations

import torch
from torch import Tensor

from tutorials.exercises.checks.answers import expect_choice, expect_measured, expect_sentence
from tutorials.exercises.judging import (
    Draw,
    expect_close,
    expect_close_when_large,
    expect_small_fix,
    expect_tensor,
    expect_unchanged,
)
from tutorials.exercises.measure import SHORT_AND_LONG
from tutorials.exercises.specs.ch14 import IGNORE, imitated, targets_of
from tutorials.exercises.subject import Subject

KINDS = ("tokens", "answers")

# ---- 14.3 ----------------------------------------------------------------------------------------------------------


def predictions_for_the_short_answer(subject: Subject, draw: Draw) -> None:
    """answers.toml has a prediction for both losses."""
    for kind in KINDS:
        expect_choice(subject, f"prediction_{kind}", ("less than half", "half", "more than half"))


def draw_answers(draw: Draw, V: int) -> tuple[Tensor, Tensor]:
    """Lengths and counts [V]."""
    return draw.whole(V, low=2, high=20), draw.whole(V, low=1, high=9)


def one_probability_an_answer(subject: Subject, draw: Draw) -> None:
    """The probabilities are [V], of the type of the lengths."""
    V = draw.size(3, 6)
    for kind in KINDS:
        expect_tensor(subject(*draw_answers(draw, V), kind), (V,), "V", torch.float32, "the probabilities")


def lengths_and_counts_stay(subject: Subject, draw: Draw) -> None:
    """lengths and counts are left as they are."""
    expect_unchanged(subject, *draw_answers(draw, 3), "answers", names="lengths counts kind")


def answers_of_equal_length(subject: Subject, draw: Draw) -> None:
    """Both losses weigh answers of one length alike: each is given as often as people gave it."""
    length = float(draw.size(2, 9))
    counts = torch.tensor([1.0, 3.0, 4.0])
    for kind in KINDS:
        expect_close(
            subject(torch.full((3,), length), counts, kind), counts / 8,
            f"{kind}: 8 people, 1, 3 and 4 of them gave the same answer, and all answers have {length:.0f} tokens",
            likely="the model ends where it says each thing as often as its demonstrators did",
            mistakes={
                "those are counts; probabilities add up to 1": counts,
                "all answers are alike": torch.full((3,), 1 / 3),
                "that is a softmax of the counts, and people are simply counted": counts.softmax(0),
            },
        )  # fmt: skip


def a_token_where_answers_part(subject: Subject, draw: Draw) -> None:
    """Two answers of 2 and 2n tokens, one person each: ½ and ½, or n to 1 for the short one."""
    n = draw.size(3, 6)
    lengths, counts = torch.tensor([2.0, 2.0 * n]), torch.ones(2)
    half, short = torch.tensor([0.5, 0.5]), torch.tensor([n / (n + 1), 1 / (n + 1)])
    long = short.flip(0)
    expect_close(
        subject(lengths, counts, "tokens"), half,
        f"answers of 2 and {2 * n} tokens, one person each, every token counts 1",
        likely="only ONE token of each answer decides which of them it is",
        mistakes={
            "each answer counts with all its tokens; but only one of them decides which answer it is": long,
            "that is the other loss": short,
        },
    )  # fmt: skip
    expect_close(
        subject(lengths, counts, "answers"), short,
        f"answers of 2 and {2 * n} tokens, one person each, a token counts 1/2 in the one and 1/{2 * n} in the other",
        likely="what does the deciding token of each answer count?",
        mistakes={"that is the other loss": half, "the weight is 1/length, not the length": long},
    )  # fmt: skip


def answers_of_a_whole_class(subject: Subject, draw: Draw) -> None:
    """A few answers, and a hundred: the loops in specs/ch14.py."""
    for V in (draw.size(3, 6), draw.size(100, 120)):
        for kind in KINDS:
            inputs = (*draw_answers(draw, V), kind)
            expect_close_when_large(subject(*inputs), imitated(*inputs), "V", f"kind {kind!r}, V = {V} answers")


def the_shares_are_in_answers(subject: Subject, draw: Draw) -> None:
    """The two numbers in answers.toml are those of your function for the short answer of the measurement."""
    lengths, counts = (torch.tensor(row) for row in SHORT_AND_LONG)
    for kind in KINDS:
        expect_measured(subject, f"{kind}_short", float(subject(lengths, counts, kind)[0]))


def the_reason_for_the_shares(subject: Subject, draw: Draw) -> None:
    """answers.toml says why, in your own words; a person will read it."""
    expect_sentence(subject)


# ---- 14.4 ----------------------------------------------------------------------------------------------------------

ENDS, ASKS = 0, 10  # token ids in bugs/ch14_never_ends.py


def counted(numbers: list[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Rows that count down, padded with the token that ends them: ids [B,T], prompt lengths [B], lengths [B]."""
    rows = [[ASKS, n, *range(n, 0, -1), ENDS] for n in numbers]
    lengths = torch.tensor([len(row) for row in rows])
    ids = torch.full((len(rows), int(lengths.max())), ENDS)
    for b, row in enumerate(rows):
        ids[b, : len(row)] = torch.tensor(row)
    return ids, torch.full_like(lengths, 2), lengths


def one_row_with_its_end(subject: Subject, draw: Draw) -> None:
    """A single row, without padding: after the last number the target is the end."""
    n = draw.size(2, 5)
    ids, prompts, lengths = counted([n])
    expected = torch.tensor([[IGNORE, *range(n, 0, -1), ENDS]])
    expect_close(
        subject(ids, prompts, lengths), expected,
        f"count down from {n}: the targets are nothing, {', '.join(map(str, range(n, 0, -1)))}, and the end (0)",
        given={"ids": ids}, likely="which target is missing, and which line takes it away?",
        mistakes={"the prompt is learned as well": ids[:, 1:]},
    )  # fmt: skip


def the_end_once_and_no_padding(subject: Subject, draw: Draw) -> None:
    """A long row beside a short one: the short one's end is learned once, and its padding is not."""
    ids, prompts, lengths = counted([draw.size(5, 7), draw.size(1, 3)])
    expect_close(
        subject(ids, prompts, lengths), targets_of(ids, prompts, lengths),
        "the second row ends once; what follows its end is padding, although it is the same token",
        given={"ids": ids, "lengths": lengths}, likely="an id cannot tell an end from padding; a length can",
        mistakes={"the padding is learned too": ids[:, 1:].index_fill(1, torch.tensor([0]), IGNORE)},
    )  # fmt: skip


def many_rows_that_end(subject: Subject, draw: Draw) -> None:
    """Dozens of rows with prompts of different lengths: the loops in specs/ch14.py. ids are left as they are."""
    B, T = draw.size(70, 80), draw.size(60, 70)
    ids = torch.randint(0, 11, (B, T), generator=draw.generator)
    lengths = torch.tensor([T, *(draw.size(3, T) for _ in range(B - 1))])
    prompts = torch.tensor([draw.size(1, int(length) - 1) for length in lengths])
    expected = targets_of(ids, prompts, lengths)
    got = subject(ids, prompts, lengths)
    expect_tensor(got, expected.shape, "B T-1", torch.int64, "the targets")
    wrong = (got != expected).nonzero()
    expect_close(
        len(wrong), 0, f"{B} rows of up to {T} tokens, any ids: the number of wrong targets",
        likely="right for some lengths, or for some ids, only",
    )  # fmt: skip
    expect_unchanged(subject, ids, prompts, lengths, names="ids prompt_lengths lengths")


def the_end_is_mended_in_three_lines(subject: Subject, draw: Draw) -> None:
    """One to three lines of code differ from what was handed out."""
    expect_small_fix(subject)


CHECKS = {
    "14.3": (
        predictions_for_the_short_answer, one_probability_an_answer, lengths_and_counts_stay, answers_of_equal_length,
        a_token_where_answers_part, answers_of_a_whole_class, the_shares_are_in_answers, the_reason_for_the_shares,
    ),
    "14.4": (
        one_row_with_its_end, the_end_once_and_no_padding, many_rows_that_end, the_end_is_mended_in_three_lines,
    ),
}  # fmt: skip
