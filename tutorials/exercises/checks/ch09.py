"""Checks of chapter 09: cross-attention (9.1), and a mask with an open source (9.2)."""

from __future__ import annotations

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
    expect_tensor,
    expect_unchanged,
)
from tutorials.exercises.specs.ch09 import cross_attention, prefix_mask
from tutorials.exercises.subject import Subject

# x [B,T,C], memory [B,S,C], real [B,S], query_weight [C,C], key_value_weight [2C,C], projection_weight [C,C], heads
Inputs = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, int]
NAMES = "x memory real query_weight key_value_weight projection_weight heads"

# ---- 9.1 -----------------------------------------------------------------------------------------------------------


def draw_cross(
    draw: Draw, heads: int = 3, head_size: int = 2, targets: int = 4, sources: int = 5, rows: int = 3
) -> Inputs:
    """Random texts and weights; the rows of the memory have different lengths, one of them its full length."""
    C = heads * head_size
    lengths = torch.tensor([draw.size(1, sources) for _ in range(rows)])
    lengths[draw.size(0, rows - 1)] = sources
    real = torch.arange(sources) < lengths[:, None]  # [B,S]
    root = C**0.5  # with weights of this size the numbers stay near 1
    weights = [draw.normal(size, C) / root for size in (C, 2 * C, C)]
    return draw.normal(rows, targets, C), draw.normal(rows, sources, C), real, *weights, heads


def crossed(
    *,
    queries_from: Callable[[Tensor, Tensor], Tensor] = lambda x, memory: x,
    seen: Callable[[Tensor, int], Tensor] = lambda real, tokens: real[:, None, None],
    scale: Callable[[int, int], float] = lambda C, D: D**0.5,
    halves: tuple[int, int] = (0, 1),
    axis: int = -1,
    forbidden: float = -torch.inf,
    late: bool = False,
    heads_of: Callable[[int], int] = lambda heads: heads,
    cut: Callable[[Tensor, int], Tensor] = lambda part, heads: part.unflatten(-1, (heads, -1)).transpose(1, 2),
    ask: Callable[[Tensor, Tensor], Tensor] = lambda x, weight: x @ weight.T,
    merge: Callable[[Tensor], Tensor] = lambda mixed: mixed.transpose(1, 2).flatten(2),
    project: Callable[[Tensor, Tensor], Tensor] = lambda mixed, weight: mixed @ weight.T,
) -> Callable[..., Tensor]:
    """The right function, fast enough for large cases, or with a mistake in one of its parts."""

    def attend(
        x: Tensor, memory: Tensor, real: Tensor, query: Tensor, key_value: Tensor, projection: Tensor, heads: int
    ) -> Tensor:
        C, heads = x.shape[-1], heads_of(heads)
        parts = key_value.chunk(2)

        queries, keys, values = (  # [B,H,T,D], and [B,H,S,D] twice
            cut(ask(queries_from(x, memory), query), heads),
            cut(memory @ parts[halves[0]].T, heads),
            cut(memory @ parts[halves[1]].T, heads),
        )
        scores = queries @ keys.transpose(-2, -1) / scale(C, C // heads)  # [B,H,T,S]
        mask = seen(real, x.shape[1])
        weights = scores.softmax(axis) * mask if late else scores.masked_fill(~mask, forbidden).softmax(axis)
        return project(merge(weights @ values), projection)

    return attend


def as_if_causal(real: Tensor, tokens: int) -> Tensor:
    """Token t of the target sees the tokens 0 … t of the source."""
    past = torch.ones(tokens, real.shape[1], dtype=torch.bool).tril()
    return real[:, None, None] & past


MISTAKES = {
    "padding of the source is seen": crossed(seen=lambda real, tokens: torch.ones_like(real)[:, None, None]),
    "the mask is turned round: real is True where a token may be seen": crossed(
        seen=lambda real, tokens: ~real[:, None, None]
    ),
    "padding gets a weight of 0 after the softmax, and has shared in its sum": crossed(late=True),
    "a target token sees the source only up to its own place; nothing of the source is in the future": crossed(
        seen=as_if_causal
    ),
    "keys and values have changed places: the first C rows make the keys": crossed(halves=(1, 0)),
    "the values are the keys once more": crossed(halves=(0, 0)),
    "that is one head with all channels": crossed(heads_of=lambda heads: 1),
    "the scores are divided by √C, and not by √D, the size of one head": crossed(scale=lambda C, D: C**0.5),
    "the scores are not divided by √D": crossed(scale=lambda C, D: 1.0),
    "the projection is missing": crossed(project=lambda mixed, weight: mixed),
    "the projection is not transposed: nn.Linear computes x @ weight.T": crossed(
        project=lambda mixed, weight: mixed @ weight
    ),
    "heads are put together by a view alone; tokens and heads must change places back": crossed(
        merge=lambda mixed: mixed.reshape(mixed.shape[0], mixed.shape[2], -1)
    ),
    "channels are cut into heads by a view alone, which mixes tokens; cut the last axis, then transpose": crossed(
        cut=lambda part, heads: part.reshape(len(part), heads, part.shape[1], -1)
    ),
    "head h must have neighbouring channels: the last axis is cut into [H,D], not into [D,H]": crossed(
        cut=lambda part, heads: part.unflatten(-1, (-1, heads)).permute(0, 3, 1, 2)
    ),
    "the queries are not transposed: nn.Linear computes x @ weight.T": crossed(ask=lambda x, weight: x @ weight),
    "the softmax runs over the target tokens; each of them shares out its look over the source": crossed(axis=-2),
}  # fmt: skip


def what_gives(*inputs: object) -> dict[str, Tensor]:
    """The numbers that each mistake gives for these inputs."""
    return {text: function(*inputs) for text, function in MISTAKES.items()}


def one_output_a_target_token(subject: Subject, draw: Draw) -> None:
    """The output is [B,T,C], as x is, and has its type."""
    inputs = draw_cross(draw)
    expect_tensor(subject(*inputs), inputs[0].shape, "B T C", torch.float32, "the output")


def both_texts_and_weights_stay(subject: Subject, draw: Draw) -> None:
    """Nothing of what was given is changed."""
    expect_unchanged(subject, *draw_cross(draw), names=NAMES)


def one_source_token_gives_its_values(subject: Subject, draw: Draw) -> None:
    """The source has one token: every weight is 1, and every target token gets its values, projected."""
    x, memory, _, _, key_value, projection, _ = inputs = draw_cross(draw, sources=1, rows=2)
    C = x.shape[-1]
    values = (memory @ key_value[C:].T).expand_as(x)  # [B,T,C]
    expect_close(
        subject(*inputs),
        values @ projection.T,
        "the source has one token, so every target token gets its values, side by side and projected",
        mistakes={
            "those are the keys; the values come from the last C rows": (memory @ key_value[:C].T).expand_as(x)
            @ projection.T,
            "the values are made from x; they come from the memory": x @ key_value[C:].T @ projection.T,
            **what_gives(*inputs),
        },
        likely="the values are made from the memory, by the last C rows of key_value_weight",
        not_finite="a softmax over nothing: masked_fill hides where its mask is True, and real is True at what is seen",
    )


def equal_keys_give_the_mean(subject: Subject, draw: Draw) -> None:
    """All keys are 0: every target token gets the plain mean of the values of its row's real tokens."""
    x, memory, real, _, key_value, projection, _ = inputs = draw_cross(draw)
    C = x.shape[-1]
    key_value[:C] = 0.0
    values = memory @ key_value[C:].T  # [B,S,C]
    mean = (values * real[..., None]).sum(1, keepdim=True) / real.sum(1)[:, None, None]  # [B,1,C]
    expect_close(
        subject(*inputs),
        (mean @ projection.T).expand_as(x),
        "all keys are 0, so each target token gets the mean of the values of the real source tokens, "
        f"of which the rows have {real.sum(1).tolist()}",
        mistakes=what_gives(*inputs),
        likely="real says which source tokens may be seen, the same ones for every head and every target token",
        not_finite="a softmax over nothing: are tokens hidden that are real?",
    )


def cross_equals_the_specification(subject: Subject, draw: Draw) -> None:
    """Random texts, several heads: the loops in specs/ch09.py."""
    for heads, head_size in ((3, 2), (2, 4), (1, 5)):
        inputs = draw_cross(draw, heads, head_size)
        inputs = (3 * inputs[0], 3 * inputs[1], *inputs[2:])  # scores that differ
        expect_close(
            subject(*inputs),
            cross_attention(*inputs),
            f"H = {heads} heads of D = {head_size}: the output must be that of specs/ch09.py",
            mistakes=what_gives(*inputs),
            likely="heads, rows, or the two texts are mixed with each other, or the scale is another one",
            atol=1e-4,
        )


def very_low_scores_leave_padding_hidden(subject: Subject, draw: Draw) -> None:
    """All real scores are far below zero; padding gets no weight all the same."""
    x, memory, real, query, key_value, projection, heads = draw_cross(draw)
    C = x.shape[-1]
    key_value[:C], query = torch.eye(C), torch.eye(C)
    inputs = torch.full_like(x, 400.0), memory, real, query, key_value, projection, heads
    memory[..., :] = -400.0 + memory
    expect_close(
        subject(*inputs),
        cross_attention(*inputs),
        "all scores are very low, and padding must get no weight",
        likely="padding gets a negative number instead of minus infinity, and real scores can lie below it",
        rtol=1e-3,
        atol=0.05,
    )


def cross_gradients_flow(subject: Subject, draw: Draw) -> None:
    """The gradients of both texts and of all weights are those of the specification."""
    inputs = draw_cross(draw, heads=2, head_size=2, targets=2, sources=3, rows=1)
    names = "x memory query_weight key_value_weight projection_weight"
    expect_gradients(subject, [*inputs], cross_attention, names, likely="detach, item, or a tensor made of numbers")


def cross_at_any_size(subject: Subject, draw: Draw) -> None:
    """Many rows, long texts on either side, many heads, wide heads: PyTorch's own attention."""
    for text, sizes in (
        ("B = {}", {"rows": draw.size(130, 160)}),
        ("T = {}", {"targets": draw.size(140, 170)}),
        ("S = {}", {"sources": draw.size(140, 170)}),
        ("H = {}", {"heads": draw.size(33, 40)}),
        ("D = {}", {"head_size": draw.size(66, 80)}),
    ):
        inputs = draw_cross(draw, **{"heads": 2, "rows": 2, **sizes})
        x, memory, real, query, key_value, projection, heads = inputs
        parts = (x @ query.T, *(memory @ part.T for part in key_value.chunk(2)))
        cut = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in parts)
        mixed = F.scaled_dot_product_attention(*cut, attn_mask=real[:, None, None])  # [B,H,T,D]
        expected = mixed.transpose(1, 2).flatten(2) @ projection.T
        expect_close_when_large(subject(*inputs), expected, "B T C", text.format(*sizes.values()))


# ---- 9.2 -----------------------------------------------------------------------------------------------------------


def expect_mask(got: object, expected: Tensor, what: str, mistakes: dict[str, Tensor], likely: str = "") -> None:
    """A table of booleans; a mistake is named where its table was given."""
    expect_tensor(got, expected.shape, "B T S", torch.bool, "the mask")
    if torch.equal(got, expected):
        return
    named = next((text for text, table in mistakes.items() if torch.equal(got, table)), "")
    likely = f"{named} (that gives exactly your table)" if named else likely
    raise CheckError(what, expected=expected.long()[0], got=got.long()[0], likely=likely)


def tables(lengths: Tensor, tokens: int) -> dict[str, Tensor]:
    """What each mistake gives."""
    right, place = prefix_mask(lengths, tokens), torch.arange(tokens)
    past = (place <= place[:, None]).expand_as(right)  # [B,T,T]
    source = (place < lengths[:, None])[:, None].expand_as(right)  # [B,T,T], keys
    asks = (place < lengths[:, None])[:, :, None].expand_as(right)  # queries
    return {
        "that is the causal mask; source tokens see later ones of the source": past,
        "everything is open: a target token sees the targets that it has to predict": torch.ones_like(right),
        "a source token sees the target as well, and hands on what it says": past | asks,
        "target tokens do not see the source": past & ~(source & ~asks) | (source & asks),
        "targets do not see earlier targets": source,
        "the target sees itself whole: its part must stay a triangle": source | (~source & ~asks),
        "the source has one token too many": prefix_mask((lengths + 1).clamp(max=tokens), tokens),
        "the source has one token too few": prefix_mask((lengths - 1).clamp(min=0), tokens),
        "True must stand where a query MAY look": ~right,
        "queries and keys have changed places": right.transpose(1, 2),
        "a token does not see itself": past & ~torch.eye(tokens, dtype=torch.bool) | source,
    }


def a_table_for_each_row(subject: Subject, draw: Draw) -> None:
    """The mask is [B,T,T] and boolean."""
    lengths, tokens = torch.tensor(draw.sizes(3, 1, 5)), draw.size(6, 8)
    expect_tensor(subject(lengths, tokens), (3, tokens, tokens), "B T S", torch.bool, "the mask")


def the_lengths_stay(subject: Subject, draw: Draw) -> None:
    """The lengths are left as they are."""
    expect_unchanged(subject, torch.tensor([2, 3]), 5, names="lengths tokens")


def two_of_five_by_hand(subject: Subject, draw: Draw) -> None:
    """Five tokens, two of them source."""
    lengths = torch.tensor([2])
    expected = torch.tensor(
        [[1, 1, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [1, 1, 1, 1, 0], [1, 1, 1, 1, 1]]
    ).bool()[None]
    expect_mask(
        subject(lengths, 5),
        expected,
        "five tokens, the first two are source",
        tables(lengths, 5),
        "source tokens see the source; target tokens see the source, and the target up to themselves",
    )


def no_source_and_nothing_else(subject: Subject, draw: Draw) -> None:
    """Without a source the mask is causal; where all is source, all is open."""
    tokens = draw.size(4, 7)
    for length, what in ((0, "without a source the mask is the causal one"), (tokens, "all tokens are source")):
        lengths = torch.tensor([length, length])
        expect_mask(
            subject(lengths, tokens),
            prefix_mask(lengths, tokens),
            what,
            {} if length else {"everything is open": torch.ones(2, tokens, tokens, dtype=torch.bool)},
            "a length of 0 or of T is a length like any other",
        )


def rows_of_different_lengths(subject: Subject, draw: Draw) -> None:
    """Each row has a source of its own length: the loops in specs/ch09.py."""
    lengths, tokens = torch.tensor(draw.sizes(4, 0, 6)), 7
    longest, shortest = lengths.max().expand_as(lengths), lengths.min().expand_as(lengths)
    expect_mask(
        subject(lengths, tokens),
        prefix_mask(lengths, tokens),
        f"the sources have {lengths.tolist()} tokens",
        {
            "the longest source decides for all rows": prefix_mask(longest, tokens),
            "the shortest source decides for all rows": prefix_mask(shortest, tokens),
            "the first row decides for all": prefix_mask(lengths[:1].expand_as(lengths), tokens),
            **tables(lengths, tokens),
        },
        "lengths need two more axes, so that each row has a table of its own",
    )


def masks_at_any_size(subject: Subject, draw: Draw) -> None:
    """Many rows, long texts."""
    for rows, tokens in ((draw.size(70, 90), 5), (2, draw.size(140, 160))):
        lengths = torch.tensor([draw.size(0, tokens) for _ in range(rows)])
        place = torch.arange(tokens)
        expected = (place <= place[:, None]) | (place < lengths[:, None, None])  # [B,T,T]
        got = subject(lengths, tokens)
        expect_tensor(got, expected.shape, "B T S", torch.bool, "the mask")
        expect_close_when_large(got.float(), expected.float(), "B T S", f"B = {rows}, T = {tokens}")


CHECKS = {
    "9.1": (
        one_output_a_target_token, both_texts_and_weights_stay, one_source_token_gives_its_values,
        equal_keys_give_the_mean, cross_equals_the_specification, very_low_scores_leave_padding_hidden,
        cross_gradients_flow, cross_at_any_size,
    ),
    "9.2": (
        a_table_for_each_row, the_lengths_stay, two_of_five_by_hand, no_source_and_nothing_else,
        rows_of_different_lengths, masks_at_any_size,
    ),
}  # fmt: skip
