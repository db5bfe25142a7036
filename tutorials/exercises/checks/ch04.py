"""Checks of chapter 04: causal attention (4.1), and in the bug hunt (4.3)."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from tutorials.exercises.judging import (
    CheckError,
    Draw,
    expect_close,
    expect_close_when_large,
    expect_gradients,
    expect_small_fix,
    expect_tensor,
    expect_unchanged,
)
from tutorials.exercises.specs import ch04_wrong as wrong
from tutorials.exercises.specs.ch04 import causal_attention
from tutorials.exercises.subject import Subject

Inputs = tuple[Tensor, Tensor, Tensor]  # queries, keys, values [B,H,T,D]

MASKS = {
    "there is no mask": wrong.no_mask,
    "the mask lets the next token through: it is off by one": wrong.one_too_many,
    "the mask is the wrong way round": wrong.only_the_future,
    "the mask comes after the softmax: the future has taken its share of the weights before it is removed":
        wrong.mask_after_softmax,
    "forbidden scores are 0 and not minus infinity: the softmax gives a score of 0 a weight": wrong.multiplied_mask,
    "the softmax runs over the queries: give it the axis of the keys, the last one": wrong.softmax_over_queries,
}  # fmt: skip
SCALES = {
    "the scores are not divided by √D": wrong.without_scale,
    "the scores are divided by √T, the number of tokens, and not by √D, the head size": wrong.root_of_the_length,
    "the scores are divided by D and not by √D": wrong.whole_head_size,
}
PARTS = {
    "the mean is taken of the keys and not of the values": wrong.keys_for_values,
    "every head uses the keys of the first one": wrong.one_head_for_all,
}


def draw_inputs(draw: Draw) -> Inputs:
    """Random queries, keys and values [B,H,T,D], with four different sizes."""
    B, H, T, D = draw.sizes(4, 2, 6)
    return draw.normal(B, H, T, D), draw.normal(B, H, T, D), draw.normal(B, H, T, D)


def one_sequence(*rows: Tensor) -> Inputs:
    """[T,D] three times -> [1,1,T,D] three times."""
    return tuple(row[None, None] for row in rows)


def what_gives(mistakes: dict[str, Callable[..., Tensor]], *inputs: Tensor) -> dict[str, Tensor]:
    """The numbers that each mistake gives for these inputs."""
    return {text: function(*inputs) for text, function in mistakes.items()}


# ---- 4.1 -----------------------------------------------------------------------------------------------------------


def shape_and_type(subject: Subject, draw: Draw) -> None:
    """The output is [B,H,T,D] and has the type of the queries."""
    inputs = draw_inputs(draw)
    expect_tensor(subject(*inputs), inputs[0].shape, "B H T D", torch.float32, "the output")


def inputs_unchanged(subject: Subject, draw: Draw) -> None:
    """Queries, keys and values are left as they are."""
    expect_unchanged(subject, *draw_inputs(draw), names="queries keys values")


def one_token_returns_its_value(subject: Subject, draw: Draw) -> None:
    """With a single token there is nothing to weigh: the output is its value."""
    inputs = one_sequence(draw.whole(1, 3), draw.whole(1, 3), draw.whole(1, 3))
    queries, keys, values = inputs
    expect_close(
        subject(*inputs),
        values,
        "one token can only look at itself, so its weight is 1 and the output is its value",
        given={"queries": queries, "keys": keys, "values": values},
        mistakes={"that is the query": queries, "that is the key: the mean is taken of the values": keys},
        likely="something other than the weights and the values is in the output; or the mask hides the token itself",
    )


def weights_add_up_to_one(subject: Subject, draw: Draw) -> None:
    """Where all values are equal, so is every mean of them."""
    T = draw.size(3, 4)
    queries, keys, _ = one_sequence(draw.normal(T, 2), draw.normal(T, 2), torch.zeros(T, 2))
    values = torch.full_like(queries, float(draw.size(2, 9)))
    expect_close(
        subject(queries, keys, values),
        values,
        "all values are equal, so their weighted mean is that value again",
        mistakes=what_gives(MASKS, queries, keys, values),
        likely="the weights of a query do not add up to 1 over the keys that it sees",
    )


def no_look_into_the_future(subject: Subject, draw: Draw) -> None:
    """Another last token changes nothing before it."""
    T = draw.size(3, 4)
    inputs = one_sequence(*(draw.whole(T, 2, low=-1, high=1) for _ in range(3)))
    before = subject(*inputs)
    other = [tensor.clone() for tensor in inputs]
    for tensor in other:
        tensor[..., -1, :] += 1.0
    after = subject(*other)
    expect_tensor(after, inputs[0].shape, "B H T D", torch.float32, "the output")
    moved = ((after - before).abs().amax(dim=-1)[0, 0, :-1] > 1e-5).nonzero().flatten().tolist()
    expect_close(
        after[..., :-1, :],
        before[..., :-1, :],
        f"the last of {T} tokens was changed, and the outputs of the tokens before it must stay the same",
        mistakes={text: function(*other)[..., :-1, :] for text, function in MASKS.items()},
        # another mistake beside this one, and the numbers are none of those: but the rows tell
        likely="the mask lets the next token through: it is off by one"
        if moved == [T - 2]
        else f"rows {moved} have looked at token {T - 1}: there is no mask, or forbidden scores are not minus infinity",
    )


def equal_scores_give_the_mean_of_the_past(subject: Subject, draw: Draw) -> None:
    """With queries of 0 all scores are 0: output t is the plain mean of the values 0 … t."""
    T = draw.size(3, 4)
    queries, keys, values = one_sequence(torch.zeros(T, 2), draw.whole(T, 2), draw.whole(T, 2))
    expected = values.cumsum(dim=2) / torch.arange(1.0, T + 1)[:, None]
    expect_close(
        subject(queries, keys, values),
        expected,
        "equal scores give equal weights: row t is the mean of values 0 … t",
        given={"values": values},
        mistakes=what_gives(MASKS, queries, keys, values),
        likely="a token does not see all tokens from the first one to itself",
    )


def scores_are_divided_by_root_d(subject: Subject, draw: Draw) -> None:
    """Two tokens whose scores differ by a known number."""
    D = 4 ** draw.size(1, 3)
    queries, keys = torch.zeros(2, D), torch.zeros(2, D)
    queries[1, 0], keys[1, 0] = math.sqrt(D), draw.size(1, 3)  # before the division: 0 and √D · that number
    values = torch.zeros(2, D)
    values[1] = 1.0
    inputs = one_sequence(queries, keys, values)
    weight = 1 / (1 + math.exp(-float(keys[1, 0])))
    got = subject(*inputs)
    expect_tensor(got, inputs[0].shape, "B H T D", torch.float32, "the output")
    expect_close(
        got[0, 0, 1, 0],
        torch.tensor(weight),
        f"head size {D}: the second query scores key 0 with 0 and key 1 with q·k/√D = {keys[1, 0]:.0f}, "
        f"so the weight of key 1 is 1/(1 + e^-{keys[1, 0]:.0f})",
        mistakes={text: value[0, 0, 1, 0] for text, value in what_gives(SCALES, *inputs).items()},
        likely="the scores are not divided by √D, D being the head size",
    )


def equals_the_specification(subject: Subject, draw: Draw) -> None:
    """Several sequences and heads, random numbers: the loops in specs/ch04.py."""
    inputs = draw_inputs(draw)
    expect_close(
        subject(*inputs),
        causal_attention(*inputs),
        "the output must be that of specs/ch04.py, for all heads and rows",
        mistakes=what_gives(MASKS | SCALES | PARTS, *inputs),
        likely="heads or rows of the batch are mixed with each other",
    )


def large_scores_stay_finite(subject: Subject, draw: Draw) -> None:
    """Scores of some hundreds: the largest takes all of the weight, and nothing overflows."""
    inputs = one_sequence(100 * draw.normal(4, 3), 100 * draw.normal(4, 3), draw.whole(4, 3))
    expect_close(
        subject(*inputs),
        causal_attention(*inputs),
        "large scores must give weights of 0 and 1, not infinity or NaN",
        likely="scores are cut off, rounded or squeezed somewhere on their way into the softmax",
        not_finite="exp() of a large number is infinite: torch.softmax takes the largest score off first",
    )


def very_low(draw: Draw) -> Inputs:
    """A sequence whose scores are all about −4 million, in whole numbers so that nothing is rounded."""
    T = 4
    queries, keys = torch.full((T, 4), 1000.0), torch.full((T, 4), -2000.0)
    keys[:, 0] -= torch.tensor([0.0, draw.size(1, 9), 0.0, draw.size(1, 9)])
    return one_sequence(queries, keys, draw.whole(T, 4))


LOW = "all scores are about −4,000,000 and the forbidden keys must get no weight all the same"
NOT_LOW_ENOUGH = "forbidden scores are a negative number instead of minus infinity, and real ones can lie below it"


def very_low_scores_leave_the_mask_whole(subject: Subject, draw: Draw) -> None:
    """The scores of the visible keys lie far below zero: the forbidden ones still get no weight."""
    inputs = very_low(draw)
    expect_close(
        subject(*inputs),
        causal_attention(*inputs),
        LOW,
        given={"values": inputs[2]},
        likely=NOT_LOW_ENOUGH,
        mistakes={f"{NOT_LOW_ENOUGH}, as in −1e4": wrong.mask_of_minus_ten_thousand(*inputs)},
    )


def large_inputs(draw: Draw) -> dict[str, Inputs]:
    """Cases in which one axis is long and the others are short: what was wrong, the message can then say."""
    sizes = {
        "B = {} sequences": (draw.size(130, 160), 2, 4, 3),
        "H = {} heads": (2, draw.size(33, 40), 4, 3),
        "T = {} tokens": (1, 2, draw.size(140, 170), 4),
        "D = {} channels a head": (2, 3, 5, draw.size(130, 160)),
    }
    return {
        text.format(max(shape)): (draw.normal(*shape), draw.normal(*shape), draw.normal(*shape))
        for text, shape in sizes.items()
    }


def right_at_any_size(subject: Subject, draw: Draw) -> None:
    """Many sequences, many heads, long texts, wide heads: PyTorch's own attention, which is fast enough to ask."""
    for sizes, inputs in large_inputs(draw).items():
        expected = F.scaled_dot_product_attention(*inputs, is_causal=True)
        expect_close_when_large(subject(*inputs), expected, "B H T D", sizes)


def gradients_flow(subject: Subject, draw: Draw) -> None:
    """The gradients of queries, keys and values are those of the specification."""
    inputs = one_sequence(draw.normal(3, 2), draw.normal(3, 2), draw.normal(3, 2))
    expect_gradients(subject, inputs, causal_attention, "queries keys values", likely="detach, item or a new tensor")


# ---- 4.3 -----------------------------------------------------------------------------------------------------------


def the_fix_is_small(subject: Subject, draw: Draw) -> None:
    """One to three lines of code differ from what was handed out."""
    expect_small_fix(subject)


def a_second_digit_cannot_be_guessed(subject: Subject, draw: Draw) -> None:
    """The output for the first token says nothing about the second one."""
    queries, keys, values = one_sequence(draw.normal(2, 2), draw.normal(2, 2), draw.normal(2, 2))
    first = []
    for size in (-3.0, 0.0, 3.0):
        other_keys, other_values = keys.clone(), values.clone()
        other_keys[..., 1, :], other_values[..., 1, :] = size * queries[..., 0, :], size
        got = subject(queries, other_keys, other_values)
        expect_tensor(got, values.shape, "B H T D", torch.float32, "the output")
        first.append(got[0, 0, 0])
    if not all(torch.allclose(row, first[0], rtol=1e-4, atol=1e-5) for row in first):
        raise CheckError(
            "three sequences that differ in their second token only must give the first token the same output, and "
            "from these the model reads off what comes next",
            expected=torch.stack([first[1]] * 3),
            got=torch.stack(first),
            likely="something of the later token is in the first row: not its value, but its share of the weights",
        )


CHECKS = {
    "4.1": (
        shape_and_type, inputs_unchanged, one_token_returns_its_value, weights_add_up_to_one, no_look_into_the_future,
        equal_scores_give_the_mean_of_the_past, scores_are_divided_by_root_d, equals_the_specification,
        large_scores_stay_finite, very_low_scores_leave_the_mask_whole, gradients_flow, right_at_any_size,
    ),
    "4.3": (
        a_second_digit_cannot_be_guessed, weights_add_up_to_one, equals_the_specification, right_at_any_size,
        the_fix_is_small,
    ),
}  # fmt: skip
