"""Checks of chapter 04: attention with a sliding window (4.2)."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from tutorials.exercises.checks.ch04 import (
    LOW,
    NOT_LOW_ENOUGH,
    PARTS,
    SCALES,
    draw_inputs,
    large_inputs,
    one_sequence,
    very_low,
    what_gives,
)
from tutorials.exercises.judging import (
    Draw,
    expect_close,
    expect_close_when_large,
    expect_gradients,
    expect_tensor,
    expect_unchanged,
)
from tutorials.exercises.specs.ch04 import causal_attention, sliding_window_attention
from tutorials.exercises.subject import Subject


def window_shape_and_type(subject: Subject, draw: Draw) -> None:
    """The output is [B,H,T,D] and has the type of the queries."""
    inputs = draw_inputs(draw)
    expect_tensor(subject(*inputs, 2), inputs[0].shape, "B H T D", torch.float32, "the output")


def window_inputs_unchanged(subject: Subject, draw: Draw) -> None:
    """Queries, keys, values and window are left as they are."""
    expect_unchanged(subject, *draw_inputs(draw), 2, names="queries keys values window")


def window_of_one_returns_the_values(subject: Subject, draw: Draw) -> None:
    """With window = 1 a token sees itself only."""
    # small queries and keys: with large ones the largest score takes all, and a wider window would not show
    inputs = one_sequence(draw.whole(3, 2, low=-1, high=1), draw.whole(3, 2, low=-1, high=1), draw.whole(3, 2))
    mistakes = {
        "the window is not used at all": causal_attention(*inputs),
        "the window is one token too wide": sliding_window_attention(*inputs, 2),
    }
    expect_close(
        subject(*inputs, 1),
        inputs[2],
        "with window = 1 every weight is 1 and the output is the values",
        given={"values": inputs[2]},
        mistakes=mistakes,
        likely="the window is counted in another way: it includes the token itself, and ends with it",
    )


def window_does_not_look_into_the_future(subject: Subject, draw: Draw) -> None:
    """Another last token changes nothing before it."""
    T, window = 5, draw.size(2, 3)
    inputs = one_sequence(*(draw.normal(T, 2) for _ in range(3)))
    before = subject(*inputs, window)
    other = [tensor.clone() for tensor in inputs]
    for tensor in other:
        tensor[..., -1, :] += 1.0
    after = subject(*other, window)
    expect_tensor(after, inputs[0].shape, "B H T D", torch.float32, "the output")
    expect_close(
        after[..., :-1, :],
        before[..., :-1, :],
        f"window = {window}: the last of {T} tokens was changed, and the outputs before it must stay the same",
        likely="the window reaches as far forward as back: it needs both conditions, not one on the absolute distance",
    )


def window_of_two_averages_two(subject: Subject, draw: Draw) -> None:
    """With queries of 0 all scores are equal: output t is the plain mean of the last values."""
    T, window = 5, draw.size(2, 3)
    queries, keys, values = one_sequence(torch.zeros(T, 2), draw.whole(T, 2), draw.whole(T, 2))
    rows = [values[0, 0, max(0, t - window + 1) : t + 1].mean(dim=0) for t in range(T)]
    expect_close(
        subject(queries, keys, values, window),
        torch.stack(rows)[None, None],
        f"window = {window}, equal scores: row t is the mean of the last {window} values, of fewer at the start",
        given={"values": values},
        likely="the window does not move along with the token, token by token",
    )


def a_wide_window_is_causal_attention(subject: Subject, draw: Draw) -> None:
    """With a window of T or more nothing is cut off."""
    inputs = draw_inputs(draw)
    for window in (inputs[0].shape[2], 100):
        expect_close(
            subject(*inputs, window),
            causal_attention(*inputs),
            f"window = {window} covers all {inputs[0].shape[2]} tokens",
            mistakes=what_gives(SCALES | PARTS, *inputs),
            likely="a window longer than the text is a case of its own",
        )


def window_equals_the_specification(subject: Subject, draw: Draw) -> None:
    """Several sequences, heads and windows, random numbers: the loops in specs/ch04.py."""
    inputs = draw_inputs(draw)
    for window in (1, 2, 3):
        expect_close(
            subject(*inputs, window),
            sliding_window_attention(*inputs, window),
            f"window = {window}: the output must be that of specs/ch04.py, for all heads and rows",
            likely="heads or rows of the batch are mixed with each other, or the scale is another one",
        )


def window_very_low_scores(subject: Subject, draw: Draw) -> None:
    """The scores of the visible keys lie far below zero: the keys outside the window still get no weight."""
    inputs = very_low(draw)
    for window in (2, 3):
        expect_close(
            subject(*inputs, window),
            sliding_window_attention(*inputs, window),
            f"window = {window}: {LOW}",
            given={"values": inputs[2]},
            likely=NOT_LOW_ENOUGH,
            not_finite="a row has nothing to look at: is the token itself inside its window?",
        )


def windows_at_any_size(subject: Subject, draw: Draw) -> None:
    """Many sequences, many heads, long texts and long windows: PyTorch's own attention with the window as its mask."""
    for sizes, inputs in large_inputs(draw).items():
        T = inputs[0].shape[2]
        for window in sorted({2, T // 4 + 1, T - 2}):
            visible = torch.ones(T, T).tril().triu(1 - window) == 1  # [T,T]
            expected = F.scaled_dot_product_attention(*inputs, attn_mask=visible)
            expect_close_when_large(subject(*inputs, window), expected, "B H T D", f"{sizes} and window = {window}")


def window_gradients_flow(subject: Subject, draw: Draw) -> None:
    """The gradients of queries, keys and values are those of the specification."""
    inputs = [*one_sequence(draw.normal(4, 2), draw.normal(4, 2), draw.normal(4, 2)), 2]
    names = "queries keys values"
    expect_gradients(subject, inputs, sliding_window_attention, names, likely="detach, item or a new tensor")


CHECKS = {
    "4.2": (
        window_shape_and_type, window_inputs_unchanged, window_of_one_returns_the_values,
        window_does_not_look_into_the_future, window_of_two_averages_two, a_wide_window_is_causal_attention,
        window_equals_the_specification, window_very_low_scores, window_gradients_flow, windows_at_any_size,
    ),
}  # fmt: skip
