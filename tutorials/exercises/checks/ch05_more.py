"""Checks of chapter 05: the bug hunt (5.3) and the measurement (5.4)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tutorials.exercises.checks.answers import expect_choice, expect_measured, expect_sentence
from tutorials.exercises.judging import LARGE, Draw, expect_close, expect_small_fix, expect_tensor, expect_unchanged
from tutorials.exercises.measure import TWINS, twin_heads
from tutorials.exercises.specs.ch05 import damage, merge_heads
from tutorials.exercises.subject import Subject

# ---- 5.3 -----------------------------------------------------------------------------------------------------------


def expect_merged(subject: Subject, mixed: Tensor, what: str, likely: str) -> None:
    """The rows of tokens, and no number in another token's row."""
    B, H, T, D = mixed.shape
    got = subject(mixed)
    expect_tensor(got, (B, T, H * D), "B T C", torch.float32, "the result")
    by_hand = mixed[0].transpose(0, 1).reshape(T, H * D)  # [T,C]
    if T * H * D <= 24:
        expect_close(
            got[0],
            by_hand,
            what,
            given={"mixed": mixed[0].flatten(1)},
            mistakes={
                "a view cuts the numbers as they lie in memory, head after head; tokens and heads must change places": (
                    mixed[0].reshape(T, H * D)
                ),
                "the heads of a token are woven into each other; each head's D numbers stand side by side": (
                    mixed[0].permute(1, 2, 0).reshape(T, H * D)
                ),
            },
            likely=likely,
        )
    expect_close(got, merge_heads(mixed), what, likely=likely)


def a_row_has_what_its_token_heard(subject: Subject, draw: Draw) -> None:
    """Two heads of two numbers, three tokens: numbers that say which token they belong to."""
    T = draw.size(3, 4)
    token = torch.arange(T).float()[:, None] * 10  # [T,1]
    mixed = torch.stack([token + 1, token + 2]).repeat(1, 1, 2)[None]  # [B,H,T,D]
    expect_merged(
        subject,
        mixed,
        "token t gets 10t + 1 from head 0 and 10t + 2 from head 1: its row is these, twice each, and no other token's",
        "the numbers of other tokens, later ones among them, stand in the row",
    )


def no_later_token_in_the_row(subject: Subject, draw: Draw) -> None:
    """What the last token heard is changed: no other row may change."""
    B, H, T, D = 1, draw.size(2, 4), draw.size(3, 5), 2
    mixed = draw.normal(B, H, T, D)
    other = mixed.clone()
    other[:, :, -1] += 1.0
    before, after = subject(mixed), subject(other)
    expect_tensor(after, (B, T, H * D), "B T C", torch.float32, "the result")
    expect_close(
        after[:, :-1] - before[:, :-1],
        torch.zeros(B, T - 1, H * D),
        f"H = {H} heads, T = {T} tokens: only what the last token heard was changed, so only the last row may change",
        likely="a row holds numbers of a later token: that is how the future leaks",
    )


def rows_heads_and_tokens_at_any_size(subject: Subject, draw: Draw) -> None:
    """Many rows, heads, tokens and channels."""
    for name, shape in {
        "B = {} rows": (draw.size(130, 160), 3, 4, 2),
        "H = {} heads": (2, draw.size(33, 40), 4, 2),
        "T = {} tokens": (1, 2, draw.size(140, 170), 4),
        "D = {} channels a head": (2, 3, 5, draw.size(130, 160)),
    }.items():
        expect_merged(subject, draw.normal(*shape), name.format(max(shape)), LARGE)


def the_heads_are_mended_in_three_lines(subject: Subject, draw: Draw) -> None:
    """One to three lines of code differ from what was handed out."""
    expect_small_fix(subject)


# ---- 5.4 -----------------------------------------------------------------------------------------------------------


def predictions_about_the_twins(subject: Subject, draw: Draw) -> None:
    """answers.toml has both predictions."""
    expect_choice(subject, "prediction_head", ("twin", "weak"))
    expect_choice(subject, "prediction_both", ("less", "equal", "more"))


def a_head_that_decides_alone(subject: Subject, draw: Draw) -> None:
    """One question, two answers, one head that says everything: without it the model tosses a coin."""
    size = draw.size(1, 3)
    parts = torch.tensor([[[float(size), 0.0]], [[0.0, 0.0]]])  # [H,B,V]
    before = math.log(1 + math.exp(-size))
    expect_close(
        subject(parts, torch.tensor([0]), [0]),
        math.log(2) - before,
        f"head 0 adds {size} to the right one of two scores, head 1 adds nothing: without head 0 the loss rises "
        f"from {before:.3f} to ln 2",
        mistakes={
            "that is the loss without the head; subtract the loss with all heads": math.log(2),
            "the sign: without the silent heads, minus with all of them": before - math.log(2),
            "that is in bits; use the natural logarithm": (math.log(2) - before) / math.log(2),
            "nothing changes without head 0: are the silent heads the ones that were kept?": 0.0,
            "the scores of a model are the SUM of its heads, and not their mean": (
                math.log(2) - math.log(1 + math.exp(-size / 2))
            ),
        },
        likely="the scores are the sum over the heads that are not silent",
    )


def nobody_silent_costs_nothing(subject: Subject, draw: Draw) -> None:
    """An empty list costs 0, and so does a head that adds the same to all answers; all heads silent is a guess."""
    parts, answers = draw.normal(3, 5, 4), torch.tensor([draw.size(0, 3) for _ in range(5)])
    parts[1] = float(draw.size(1, 9))
    for silent, why in (([], "no head is silent"), ([1], "head 1 adds the same number to every answer")):
        expect_close(subject(parts, answers, silent), 0.0, f"{why}, so nothing is lost", likely="not a difference")
    all_silent = damage(parts, answers, [0, 1, 2])
    expect_close(
        subject(parts, answers, [0, 1, 2]),
        all_silent,
        "all heads are silent: all scores are 0, and the loss is ln V",
        mistakes={
            "a cost may be below 0: random heads are worse than none": abs(all_silent),
            "the loss is a MEAN over the questions": all_silent * len(answers),
        },
        likely="a sum over no heads is 0, not an error",
    )


def the_parts_stay(subject: Subject, draw: Draw) -> None:
    """What the heads add is left as it is: the next question is asked of the same model."""
    parts, answers = draw.normal(3, 5, 4), torch.tensor([draw.size(0, 3) for _ in range(5)])
    expect_unchanged(subject, parts, answers, [0], names="parts answers silent")


def damages_equal_the_specification(subject: Subject, draw: Draw) -> None:
    """Some heads silent of several, few questions and many: the loops in specs/ch05.py."""
    for H, B, V in ((4, 6, 5), (draw.size(17, 20), 2, 3), (2, draw.size(130, 160), 3), (2, 3, draw.size(130, 160))):
        parts, answers = draw.normal(H, B, V), torch.tensor([draw.size(0, V - 1) for _ in range(B)])
        for silent in ([H - 1], [0, H - 1]):
            expect_close(
                subject(parts, answers, silent),
                damage(parts, answers, silent),
                f"H = {H} heads, B = {B} questions, V = {V} answers, silent: {silent}",
                mistakes={"only the first of the silent heads is silent": damage(parts, answers, silent[:1])},
                likely="the mean runs over the questions, the softmax over the answers; " + LARGE,
                atol=1e-4,
            )


def the_damages_are_in_answers(subject: Subject, draw: Draw) -> None:
    """The four numbers in answers.toml are those that your function gives."""
    parts, answers = twin_heads()
    for name, silent in TWINS.items():
        expect_measured(subject, name, subject(parts, answers, silent))


def the_reason_for_the_damage(subject: Subject, draw: Draw) -> None:
    """answers.toml says why, in your own words; a person will read it."""
    expect_sentence(subject)


CHECKS = {
    "5.3": (
        a_row_has_what_its_token_heard, no_later_token_in_the_row, rows_heads_and_tokens_at_any_size,
        the_heads_are_mended_in_three_lines,
    ),
    "5.4": (
        predictions_about_the_twins, a_head_that_decides_alone, nobody_silent_costs_nothing, the_parts_stay,
        damages_equal_the_specification, the_damages_are_in_answers, the_reason_for_the_damage,
    ),
}  # fmt: skip
