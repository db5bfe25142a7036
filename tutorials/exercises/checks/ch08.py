"""Checks of chapter 08: attention from a cache (8.1), and min-p (8.2)."""

from __future__ import annotations

import math
from collections.abc import Callable

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
from tutorials.exercises.specs.ch08 import attend_with_cache, min_p_logprobs
from tutorials.exercises.subject import Subject

# ---- 8.1 -----------------------------------------------------------------------------------------------------------


def draw_cache(draw: Draw, B: int, H: int, S: int, D: int, garbage: float | None = None) -> list[Tensor]:
    """query, new_key, new_value [B,H,D], keys, values [B,H,S,D], lengths [B]: different ones, one of them S."""
    lengths = torch.tensor([draw.size(0, S - 1) for _ in range(B)])
    lengths[draw.size(0, B - 1)] = S
    new = [draw.normal(B, H, D) for _ in range(3)]
    cache = [draw.normal(B, H, S, D) for _ in range(2)]
    if garbage is not None:
        empty = torch.arange(S) >= lengths[:, None]  # [B,S]
        cache = [part.masked_fill(empty[:, None, :, None], garbage) for part in cache]
    return [*new, *cache, lengths]


def small_cache(draw: Draw, garbage: float | None = None) -> list[Tensor]:
    return draw_cache(draw, *draw.sizes(4, 2, 6), garbage)


def with_other(inputs: list[Tensor], **changes: Callable[[list[Tensor]], Tensor]) -> Tensor:
    """The specification for inputs of which some are changed."""
    names = ("query", "new_key", "new_value", "keys", "values", "lengths")
    return attend_with_cache(
        *(changes[name](inputs) if name in changes else part for name, part in zip(names, inputs, strict=True))
    )


def one_output_a_row_and_head(subject: Subject, draw: Draw) -> None:
    """The output is [B,H,D] and has the type of the query."""
    inputs = small_cache(draw)
    inputs[-1] = (inputs[-1] - 1).clamp(
        min=0
    )  # none is full: whoever writes into the cache is told so by the next check
    expect_tensor(subject(*inputs), inputs[0].shape, "B H D", torch.float32, "the output")


def the_cache_stays(subject: Subject, draw: Draw) -> None:
    """Nothing of what was given is changed."""
    expect_unchanged(subject, *small_cache(draw), names="query new_key new_value keys values lengths")


def an_empty_cache_gives_the_new_value(subject: Subject, draw: Draw) -> None:
    """No slot is filled: the token sees itself alone, with weight 1."""
    inputs = small_cache(draw)
    inputs[-1] = torch.zeros_like(inputs[-1])
    got = subject(*inputs)
    expect_close(
        got,
        inputs[2],
        "all lengths are 0, so the new token sees only itself, and gets its own value",
        given={"new_value": inputs[2]},
        mistakes={"that is the new KEY": inputs[1], "the new token is not seen at all": torch.zeros_like(inputs[2])},
        likely="a token always sees itself; slots that are not filled are not seen",
        not_finite="a softmax over minus infinity alone: is the new token's own score among the scores, and does the "
        "softmax run over the slots, the last axis?",
    )


def equal_scores_give_the_mean(subject: Subject, draw: Draw) -> None:
    """The query is 0: every row gets the plain mean of its own filled slots and of the new value."""
    inputs = small_cache(draw)
    inputs[0] = torch.zeros_like(inputs[0])
    _, _, new_value, _, values, lengths = inputs
    filled = (torch.arange(values.shape[2]) < lengths[:, None]).float()[:, None, :, None]  # [B,1,S,1]
    total = (values * filled).sum(2)  # [B,H,D]
    count = lengths[:, None, None].float()  # [B,1,1]
    longest = attend_with_cache(*inputs[:-1], torch.full_like(lengths, values.shape[2]))
    expect_close(
        subject(*inputs),
        (total + new_value) / (count + 1),
        f"the query is 0 and the lengths are {lengths.tolist()}: each row gets the mean of so many "
        "values and the new one",
        mistakes={
            "every row sees every slot, filled or not": longest,
            "the new token does not see itself": total / count.clamp(min=1),
            "the divisor counts slots that are not filled": (total + new_value) / (values.shape[2] + 1),
            "slot lengths[b] is seen as well, which is not filled": with_other(
                inputs, lengths=lambda i: (i[-1] + 1).clamp(max=i[3].shape[2])
            ),
        },
        likely="row b sees its slots 0 … lengths[b] − 1 and the new token, with equal weights",
    )


def cache_equals_the_specification(subject: Subject, draw: Draw) -> None:
    """Random numbers: the loops in specs/ch08.py."""
    inputs = small_cache(draw)
    root = inputs[0].shape[-1] ** 0.5
    expect_close(
        subject(*inputs),
        attend_with_cache(*inputs),
        "the output must be that of specs/ch08.py",
        mistakes={
            "the scores are not divided by √D": with_other(inputs, query=lambda i: i[0] * root),
            "the scores are divided by D and not by √D": with_other(inputs, query=lambda i: i[0] / root),
            "only the old scores are divided by √D": with_other(inputs, new_key=lambda i: i[1] * root),
            "only the new score is divided by √D": with_other(inputs, keys=lambda i: i[3] * root),
            "keys stand where values belong": with_other(inputs, values=lambda i: i[3], new_value=lambda i: i[1]),
        },
        likely="one softmax over the filled slots and the new token together; keys, values and mask in the same order",
    )


def garbage_is_not_read(subject: Subject, draw: Draw) -> None:
    """Slots that are not filled hold very large numbers, or NaN."""
    for garbage in (1e4, math.nan):
        inputs = small_cache(draw, garbage)
        expect_close(
            subject(*inputs),
            attend_with_cache(*inputs),
            f"the slots that are not filled hold {garbage}",
            likely="an unfilled slot is seen",
            not_finite="a weight of 0 times NaN is NaN: replace what stands in those slots before you multiply",
        )


def very_low_scores_in_the_cache(subject: Subject, draw: Draw) -> None:
    """All scores are about −4 million: unfilled slots get no weight all the same."""
    inputs = small_cache(draw)
    inputs[0] = torch.full_like(inputs[0], 1000.0)
    inputs[1], inputs[3] = torch.full_like(inputs[1], -2000.0), torch.full_like(inputs[3], -2000.0)
    expect_close(
        subject(*inputs),
        attend_with_cache(*inputs),
        "all scores are very low, and unfilled slots must get no weight",
        likely="unfilled slots get a negative number instead of minus infinity, and real scores can lie below it",
    )


def cache_gradients_flow(subject: Subject, draw: Draw) -> None:
    """The gradients are those of the specification."""
    inputs = draw_cache(draw, 2, 1, 3, 2)
    names = "query new_key new_value keys values"
    expect_gradients(subject, inputs, attend_with_cache, names, likely="detach, item, or a tensor made of numbers")


def long_caches(subject: Subject, draw: Draw) -> None:
    """Many rows, many heads, long caches, wide heads: PyTorch's own attention."""
    for text, shape in (
        ("B = {}", (draw.size(70, 80), 2, 3, 4)),
        ("H = {}", (2, draw.size(33, 40), 3, 4)),
        ("S = {}", (2, 2, draw.size(200, 260), 4)),
        ("D = {}", (2, 2, 3, draw.size(130, 160))),
    ):
        inputs = draw_cache(draw, *shape)
        query, new_key, new_value, keys, values, lengths = inputs
        seen = torch.cat([torch.arange(keys.shape[2]) < lengths[:, None], torch.ones(len(lengths), 1) == 1], dim=1)
        everything = [torch.cat([old, new[:, :, None]], dim=2) for old, new in ((keys, new_key), (values, new_value))]
        expected = F.scaled_dot_product_attention(query[:, :, None], *everything, attn_mask=seen[:, None, None])[
            :, :, 0
        ]
        expect_close_when_large(subject(*inputs), expected, "B H D", text.format(max(shape)))


# ---- 8.2 -----------------------------------------------------------------------------------------------------------


def draw_logits(draw: Draw, B: int, V: int) -> Tensor:
    """Logits [B,V] that lie apart, so that rounding decides nothing."""
    return torch.stack([torch.randperm(V, generator=draw.generator) for _ in range(B)]).float() * 0.37


def one_logprob_a_token(subject: Subject, draw: Draw) -> None:
    """The output is [B,V] and has the type of the logits."""
    logits = draw_logits(draw, *draw.sizes(2, 3, 6))
    expect_tensor(subject(logits, 1.0, 0.1), logits.shape, "B V", torch.float32, "the output")


def the_logits_are_left(subject: Subject, draw: Draw) -> None:
    """The logits stay as they are."""
    expect_unchanged(subject, draw_logits(draw, 2, 5), 0.7, 0.2, names="logits temperature min_p")


def nothing_is_cut_at_zero(subject: Subject, draw: Draw) -> None:
    """min_p = 0: the softmax at that temperature, and nothing else."""
    logits = draw_logits(draw, *draw.sizes(2, 3, 6))
    for temperature in (1.0, 0.5, 2.0):
        expect_close(
            subject(logits, temperature, 0.0),
            (logits / temperature).log_softmax(-1),
            f"min_p = 0 cuts nothing; temperature {temperature}",
            given={"logits": logits},
            mistakes={
                "the temperature is not used": logits.log_softmax(-1),
                "the logits are multiplied by the temperature, not divided": (logits * temperature).log_softmax(-1),
                "those are probabilities; their logarithms are asked for": (logits / temperature).softmax(-1),
                "those are logits; log-probabilities add up to 1 under exp": logits / temperature,
            },
            likely="log_softmax of logits / temperature, over the tokens",
            not_finite="log 0 is minus infinity, and nothing may be cut here",
        )


def three_tokens_by_hand(subject: Subject, draw: Draw) -> None:
    """Probabilities of 0.6, 0.3, 0.1 and min_p = 0.4: 0.3 stays, as it is half of 0.6, and 0.1 goes."""
    order = draw.random.sample(range(3), 3)
    logits = torch.tensor([0.6, 0.3, 0.1]).log()[order][None]
    kept = torch.tensor([2 / 3, 1 / 3, 0.0]).log()[order][None]
    expect_close(
        subject(logits, 1.0, 0.4),
        kept,
        "of 0.6, 0.3 and 0.1, those stay that are at least 0.4 · 0.6 = 0.24, and they become 2/3 and 1/3",
        given={"probabilities": logits.exp()},
        mistakes={
            "the limit is min_p itself; it is min_p times the largest probability": torch.tensor([1.0, 0.0, 0.0]).log()[
                order
            ][None],
            "what is left does not add up to 1": torch.tensor([0.6, 0.3, 0.0]).log()[order][None],
            "nothing is cut": logits,
        },
        likely="compare each probability with min_p times the largest one of its row",
        not_finite="log 0 minus log 0 is NaN: was every token cut? A share of a logarithm is no share of a probability",
    )


def rows_have_limits_of_their_own(subject: Subject, draw: Draw) -> None:
    """A sure row and an unsure row: the largest probability is that of each row."""
    logits = torch.tensor([[8.0, 1.0, 0.0], [1.0, 0.8, 0.5]])
    expect_close(
        subject(logits, 1.0, 0.5),
        min_p_logprobs(logits, 1.0, 0.5),
        "the first row is sure and keeps one token, the second is unsure and keeps all",
        given={"logits": logits},
        likely="the largest probability runs over the tokens of a row, not over the whole batch",
        not_finite="nothing is left in a row: each has a largest probability of its own",
    )
    equal = torch.tensor([[2.0, 1.0, 2.0]])
    expect_close(
        subject(equal, 1.0, 1.0),
        torch.tensor([[0.5, 0.0, 0.5]]).log(),
        "min_p = 1: those stay that are as probable as the most probable one",
        given={"logits": equal},
        likely="AT LEAST the limit: what is equal to it stays",
        not_finite="AT LEAST the limit: what is equal to it stays, and here even the most probable one has gone",
    )


def cut_after_the_temperature(subject: Subject, draw: Draw) -> None:
    """Random logits, some temperatures: first the temperature, then the cut; the loops in specs/ch08.py."""
    logits = draw_logits(draw, *draw.sizes(2, 3, 7))
    for temperature, min_p in ((0.5, 0.3), (2.0, 0.3), (1.3, 0.05)):
        before = logits.masked_fill(min_p_logprobs(logits, 1.0, min_p).isinf(), -math.inf) / temperature
        expect_close(
            subject(logits, temperature, min_p),
            min_p_logprobs(logits, temperature, min_p),
            f"temperature {temperature}, min_p = {min_p}: as in specs/ch08.py",
            given={"logits": logits},
            mistakes={"the cut is made before the temperature": before.log_softmax(-1)},
            likely="the probabilities that are compared are those after the temperature",
        )


def min_p_of_large_batches(subject: Subject, draw: Draw) -> None:
    """Many rows and a large vocabulary, and logits that are large themselves."""
    for text, shape in (("B = {}", (draw.size(70, 90), 5)), ("V = {}", (2, draw.size(300, 400)))):
        logits = draw_logits(draw, *shape)
        for shift in (0.0, 5000.0):
            expected = min_p_logprobs(logits + shift, 3.0, 0.1)
            expect_close_when_large(subject(logits + shift, 3.0, 0.1), expected, "B V", text.format(max(shape)))


CHECKS = {
    "8.1": (
        one_output_a_row_and_head, the_cache_stays, an_empty_cache_gives_the_new_value, equal_scores_give_the_mean,
        cache_equals_the_specification, garbage_is_not_read, very_low_scores_in_the_cache, cache_gradients_flow,
        long_caches,
    ),
    "8.2": (
        one_logprob_a_token, the_logits_are_left, nothing_is_cut_at_zero, three_tokens_by_hand,
        rows_have_limits_of_their_own, cut_after_the_temperature, min_p_of_large_batches,
    ),
}  # fmt: skip
