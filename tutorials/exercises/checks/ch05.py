"""Checks of chapter 05: attention with many heads (5.1), and with shared keys and values (5.2)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from tutorials.exercises.judging import (
    Draw,
    expect_close,
    expect_close_when_large,
    expect_gradients,
    expect_tensor,
    expect_unchanged,
)
from tutorials.exercises.specs.ch04 import causal_attention
from tutorials.exercises.specs.ch05 import grouped_query_attention, multi_head_attention
from tutorials.exercises.specs.ch05_wrong import MISTAKES, attend
from tutorials.exercises.subject import Subject

Inputs = tuple[Tensor, Tensor, Tensor, int]  # x [B,T,C], qkv_weight [3C,C], projection_weight [C,C], heads

# ---- 5.1 -----------------------------------------------------------------------------------------------------------


def draw_layer(draw: Draw, heads: int = 3, head_size: int = 2, tokens: int = 4, rows: int = 2) -> Inputs:
    """Random x and weights."""
    C = heads * head_size
    return draw.normal(rows, tokens, C), draw.normal(3 * C, C), draw.normal(C, C), heads


def what_gives(*inputs: object) -> dict[str, Tensor]:
    """The numbers that each mistake gives for these inputs."""
    return {text: function(*inputs) for text, function in MISTAKES.items()}


def a_row_for_each_token(subject: Subject, draw: Draw) -> None:
    """The output is [B,T,C] and has the type of x."""
    inputs = draw_layer(draw)
    expect_tensor(subject(*inputs), inputs[0].shape, "B T C", torch.float32, "the output")


def x_and_weights_stay(subject: Subject, draw: Draw) -> None:
    """x and both weights are left as they are."""
    expect_unchanged(subject, *draw_layer(draw), names="x qkv_weight projection_weight heads")


def one_token_is_projected_twice(subject: Subject, draw: Draw) -> None:
    """With a single token every weight is 1: the output is its values, projected."""
    x, qkv_weight, projection_weight, _ = inputs = draw_layer(draw, tokens=1, rows=1)
    C = x.shape[-1]
    values = x @ qkv_weight[2 * C :].T  # [B,T,C]
    expect_close(
        subject(*inputs),
        values @ projection_weight.T,
        "one token sees itself only: the heads give their values, which stand side by side and are projected",
        mistakes={
            "the projection is missing": values,
            "the weights are not transposed: nn.Linear computes x @ weight.T": (
                x @ qkv_weight.T[:, :C].T @ projection_weight
            ),
            "the projection is not transposed: nn.Linear computes x @ weight.T": values @ projection_weight,
            "those are the queries; the values come from the last C rows": x @ qkv_weight[:C].T @ projection_weight.T,
            **what_gives(*inputs),
        },
        likely="rows 2C to 3C − 1 of qkv_weight make the values, and the heads keep their order",
        atol=1e-4,
    )


def a_head_reads_its_own_channels(subject: Subject, draw: Draw) -> None:
    """Two heads; the second one's values are 0, so its half of what is projected is 0 as well."""
    x, qkv_weight, _, heads = draw_layer(draw, heads=2, head_size=2, tokens=3, rows=1)
    qkv_weight[-2:] = 0.0
    inputs = x, qkv_weight, torch.eye(4), heads
    expect_close(
        subject(*inputs),
        multi_head_attention(*inputs),
        "two heads of two channels, nothing is projected: the values of head 1 are 0, so the last two channels are",
        mistakes=what_gives(*inputs),
        likely="a head's queries, keys and values are the same D channels of each third",
        atol=1e-4,
    )


def many_heads_equal_the_specification(subject: Subject, draw: Draw) -> None:
    """Several rows, tokens and heads: each head alone, in specs/ch05.py."""
    for heads, head_size in ((3, 2), (2, 4), (1, 5), (6, 1)):
        inputs = draw_layer(draw, heads, head_size, tokens=5)
        expect_close(
            subject(*inputs),
            multi_head_attention(*inputs),
            f"H = {heads} heads of D = {head_size}: the output must be that of specs/ch05.py",
            mistakes=what_gives(*inputs),
            likely="heads, tokens or rows of the batch are mixed with each other, or the scale is another one",
            atol=1e-4,
        )


def many_heads_at_any_size(subject: Subject, draw: Draw) -> None:
    """Many rows, long texts, many heads, wide heads."""
    for sizes, (heads, head_size, tokens, rows) in {
        "B = {} rows": (2, 2, 3, draw.size(130, 160)),
        "T = {} tokens": (2, 2, draw.size(140, 170), 1),
        "H = {} heads": (draw.size(33, 40), 2, 3, 2),
        "D = {} channels a head": (2, draw.size(66, 80), 3, 2),
    }.items():
        x, qkv_weight, projection_weight, _ = draw_layer(draw, heads, head_size, tokens, rows)
        root = (heads * head_size) ** 0.5  # with weights of this size the numbers stay near 1
        inputs = x, qkv_weight / root, projection_weight / root, heads
        named = sizes.format(max(heads, head_size, tokens, rows))
        parts = (x @ inputs[1].T).view(rows, tokens, 3, heads, head_size).permute(2, 0, 3, 1, 4)  # [3,B,H,T,D]
        mixed = F.scaled_dot_product_attention(*parts, is_causal=True)  # [B,H,T,D]
        expected = mixed.transpose(1, 2).flatten(2) @ inputs[2].T  # [B,T,C]
        expect_close_when_large(subject(*inputs), expected, "B T C", named)


def layer_gradients_flow(subject: Subject, draw: Draw) -> None:
    """The gradients of x and of both weights are those of the specification."""
    inputs = draw_layer(draw, heads=2, head_size=2, tokens=3, rows=1)
    names = "x qkv_weight projection_weight"
    expect_gradients(subject, [*inputs], multi_head_attention, names, likely="detach, item or a new tensor")


# ---- 5.2 -----------------------------------------------------------------------------------------------------------


def draw_groups(draw: Draw, heads: int = 6, groups: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    """Queries [B,H,T,D], keys and values [B,K,T,D]."""
    B, T, D = draw.sizes(3, 2, 5)
    return draw.normal(B, heads, T, D), draw.normal(B, groups, T, D), draw.normal(B, groups, T, D)


def in_turn(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Head h uses head h mod K of the keys and values."""
    times = queries.shape[1] // keys.shape[1]
    return causal_attention(queries, keys.repeat(1, times, 1, 1), values.repeat(1, times, 1, 1))


def only_the_first(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """All heads use head 0 of the keys and values."""
    return causal_attention(queries, keys[:, :1].expand_as(queries), values[:, :1].expand_as(queries))


GROUP_MISTAKES = {
    "neighbouring heads take the heads of keys and values in turn; the first H/K heads share head 0": in_turn,
    "all heads use head 0 of keys and values": only_the_first,
}


def what_groups_give(*inputs: Tensor) -> dict[str, Tensor]:
    """The numbers that each mistake gives for these inputs."""
    return {text: function(*inputs) for text, function in GROUP_MISTAKES.items()}


def as_many_heads_as_queries(subject: Subject, draw: Draw) -> None:
    """The output is [B,H,T,D] and has the type of the queries."""
    inputs = draw_groups(draw)
    expect_tensor(subject(*inputs), inputs[0].shape, "B H T D", torch.float32, "the output")


def queries_keys_and_values_stay(subject: Subject, draw: Draw) -> None:
    """Queries, keys and values are left as they are."""
    expect_unchanged(subject, *draw_groups(draw), names="queries keys values")


def one_token_shows_who_shares(subject: Subject, draw: Draw) -> None:
    """With one token every head gives the value that it uses: four heads, two heads of values."""
    values = torch.tensor(draw.sizes(2, 1, 9)).float().view(1, 2, 1, 1)
    inputs = draw.normal(1, 4, 1, 1), draw.normal(1, 2, 1, 1), values
    first, second = values.flatten().tolist()
    got = subject(*inputs)
    expect_tensor(got, (1, 4, 1, 1), "B H T D", torch.float32, "the output")
    expect_close(
        got.flatten(),  # one number a head, so that the message shows all of them
        torch.tensor([first, first, second, second]),
        "four heads of queries, two of values, one token: heads 0 and 1 give the first value, heads 2 and 3 the second",
        given={"values": values.flatten()},
        mistakes={text: numbers.flatten() for text, numbers in what_groups_give(*inputs).items()},
        likely="which head of values does head h of the queries use? Write the list for H = 4, K = 2",
    )


def as_many_groups_as_heads_is_attention(subject: Subject, draw: Draw) -> None:
    """With K = H nothing is shared: causal attention as in chapter 04."""
    inputs = draw_groups(draw, 3, 3)
    expect_close(
        subject(*inputs),
        causal_attention(*inputs),
        "K = H: every head has its own keys and values",
        mistakes={
            "all heads use head 0 of keys and values": only_the_first(*inputs),
            "the mask is missing": attend(*inputs, future=True),
            "the scale is missing: divide by √D": attend(inputs[0] * inputs[0].shape[-1] ** 0.5, *inputs[1:]),
            "the softmax runs over the queries, and not over the keys": attend(*inputs, axis=-2),
        },
        likely="the mask, the scale, or the axis of the softmax: all as in exercise 4.1",
    )


def groups_equal_the_specification(subject: Subject, draw: Draw) -> None:
    """Six heads that share three, two or one: the loops in specs/ch05.py."""
    for groups in (3, 2, 1):
        inputs = draw_groups(draw, 6, groups)
        expect_close(
            subject(*inputs),
            grouped_query_attention(*inputs),
            f"H = 6 heads of queries, K = {groups} of keys and values: the output must be that of specs/ch05.py",
            mistakes=what_groups_give(*inputs),
            likely="heads or rows of the batch are mixed with each other",
        )


def groups_at_any_size(subject: Subject, draw: Draw) -> None:
    """Many rows, many heads, long texts, wide heads."""
    for sizes, (B, H, K, T, D) in {
        "B = {} rows": (draw.size(130, 160), 4, 2, 3, 2),
        "H = {} heads": (2, 2 * draw.size(17, 20), 2, 3, 2),
        "T = {} tokens": (1, 4, 2, draw.size(140, 170), 3),
        "D = {} channels a head": (2, 4, 2, 3, draw.size(130, 160)),
    }.items():
        queries, keys, values = draw.normal(B, H, T, D), draw.normal(B, K, T, D), draw.normal(B, K, T, D)
        shared = [part.repeat_interleave(H // K, dim=1) for part in (keys, values)]
        expected = F.scaled_dot_product_attention(queries, *shared, is_causal=True)
        expect_close_when_large(
            subject(queries, keys, values), expected, "B H T D", sizes.format(max(B, H, T, D))
        )  # fmt: skip


def group_gradients_flow(subject: Subject, draw: Draw) -> None:
    """The gradients of queries, keys and values are those of the specification: a shared key is pushed by all."""
    inputs = [draw.normal(1, 4, 3, 2), draw.normal(1, 2, 3, 2), draw.normal(1, 2, 3, 2)]
    names = "queries keys values"
    expect_gradients(subject, inputs, grouped_query_attention, names, likely="detach, item or a new tensor")


CHECKS = {
    "5.1": (
        a_row_for_each_token, x_and_weights_stay, one_token_is_projected_twice, a_head_reads_its_own_channels,
        many_heads_equal_the_specification, layer_gradients_flow, many_heads_at_any_size,
    ),
    "5.2": (
        as_many_heads_as_queries, queries_keys_and_values_stay, one_token_shows_who_shares,
        as_many_groups_as_heads_is_attention, groups_equal_the_specification, group_gradients_flow, groups_at_any_size,
    ),
}  # fmt: skip
