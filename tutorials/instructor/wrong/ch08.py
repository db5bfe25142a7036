"""Wrong solutions of chapter 08: attention from a cache (8.1), min-p (8.2), the nucleus (8.3), the bug hunt (8.4)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tutorials.exercises.specs.ch08 import attend_with_cache, min_p_logprobs, nucleus_size
from tutorials.instructor.wrong import Wrong

# ---- 8.1 -----------------------------------------------------------------------------------------------------------


def from_cache(
    *,
    seen: Callable[[Tensor, Tensor], Tensor] = lambda slot, lengths: slot < lengths[:, None],
    itself: bool = True,
    scale: Callable[[Tensor], float] = lambda query: math.sqrt(query.shape[-1]),
    forbidden: float = -math.inf,
    clean: bool = True,
    swap: bool = False,
    detach: bool = False,
    slots: int = 10**9,
) -> Callable[..., Tensor]:
    """The right function but for one of its parts."""

    def attend(query: Tensor, key: Tensor, value: Tensor, keys: Tensor, values: Tensor, lengths: Tensor) -> Tensor:
        S = keys.shape[2]
        visible = seen(torch.arange(S), lengths) & (torch.arange(S) >= S - slots)  # [B,S]
        if clean:
            empty = (torch.arange(S) >= lengths[:, None])[:, None, :, None] & ~visible[:, None, :, None]
            keys, values = keys.masked_fill(empty, 0.0), values.masked_fill(empty, 0.0)
        if swap:
            values, value = keys, key
        scores = (query[:, :, None] * keys).sum(-1)  # [B,H,S]
        own = (query * key).sum(-1, keepdim=True)  # [B,H,1]
        scores, own = scores / scale(query), own / scale(query)
        scores = scores.masked_fill(~visible[:, None], forbidden)
        every = torch.cat([scores, own if itself else torch.full_like(own, -math.inf)], -1)
        weights = every.softmax(-1)
        weights = weights.detach() if detach else weights
        return (weights[..., :-1, None] * values).sum(2) + weights[..., -1:] * value

    return attend


def two_softmaxes(query: Tensor, key: Tensor, value: Tensor, keys: Tensor, values: Tensor, lengths: Tensor) -> Tensor:
    """The mean of what the cache gives and of the new value."""
    old = from_cache(itself=False)(query, key, value, keys, values, lengths)
    return torch.where(lengths[:, None, None] > 0, (old + value) / 2, value)


def softmax_over_heads(
    query: Tensor, key: Tensor, value: Tensor, keys: Tensor, values: Tensor, lengths: Tensor
) -> Tensor:
    """The heads share one sum of weights, and the slots do not."""
    empty = torch.arange(keys.shape[2]) >= lengths[:, None]  # [B,S]
    keys, values = (part.masked_fill(empty[:, None, :, None], 0.0) for part in (keys, values))
    scores = (query[:, :, None] * torch.cat([keys, key[:, :, None]], 2)).sum(-1) / math.sqrt(query.shape[-1])
    hidden = torch.cat([empty, torch.zeros(len(empty), 1, dtype=torch.bool)], 1)
    weights = scores.masked_fill(hidden[:, None], -math.inf).softmax(1)  # [B,H,S+1]
    return (weights[..., None] * torch.cat([values, value[:, :, None]], 2)).sum(2)


def new_token_in_the_cache(
    query: Tensor, key: Tensor, value: Tensor, keys: Tensor, values: Tensor, lengths: Tensor
) -> Tensor:
    """Written into the slot behind the filled ones, as the package's cache does it: a full cache has no such slot."""
    rows = torch.arange(len(lengths))
    keys[rows, :, lengths], values[rows, :, lengths] = key, value
    return attend_with_cache(query, key, value, keys, values, lengths)


def writes_into_the_cache(
    query: Tensor, key: Tensor, value: Tensor, keys: Tensor, values: Tensor, lengths: Tensor
) -> Tensor:
    output = attend_with_cache(query, key, value, keys, values, lengths)
    keys[:, :, 0] = key
    return output


EMPTY, MEAN, SPEC = "an_empty_cache_gives_the_new_value", "equal_scores_give_the_mean", "cache_equals_the_specification"

CACHE = (
    Wrong("8.1", "itself is not seen", EMPTY, from_cache(itself=False)),
    Wrong("8.1", "the key of itself", EMPTY, from_cache(swap=True), says="KEY"),
    Wrong("8.1", "writes into the cache", "the_cache_stays", writes_into_the_cache, says="keys"),
    Wrong("8.1", "softmax over heads", EMPTY, softmax_over_heads, says="over the slots"),
    Wrong("8.1", "the new token in the cache", "the_cache_stays", new_token_in_the_cache, says="BESIDE"),
    Wrong(
        "8.1",
        "every slot",
        EMPTY,
        from_cache(seen=lambda slot, lengths: (slot >= 0).expand(len(lengths), -1)),
        says="not filled",
    ),
    Wrong("8.1", "one slot too many", EMPTY, from_cache(seen=lambda slot, lengths: slot <= lengths[:, None])),
    Wrong(
        "8.1",
        "the longest row decides",
        MEAN,
        from_cache(seen=lambda slot, lengths: (slot < lengths.max()).expand(len(lengths), -1)),
        says="every slot",
    ),
    Wrong(
        "8.1", "the last filled slot is lost", MEAN, from_cache(seen=lambda slot, lengths: slot < lengths[:, None] - 1)
    ),
    Wrong("8.1", "two softmaxes", MEAN, two_softmaxes),
    Wrong("8.1", "no scale", SPEC, from_cache(scale=lambda query: 1.0), says="not divided"),
    Wrong("8.1", "by D", SPEC, from_cache(scale=lambda query: query.shape[-1]), says="by D"),
    Wrong("8.1", "NaN is multiplied", "garbage_is_not_read", from_cache(clean=False), says="NaN"),
    Wrong("8.1", "minus ten thousand", "very_low_scores_in_the_cache", from_cache(forbidden=-1e4), says="infinity"),
    Wrong("8.1", "detached", "cache_gradients_flow", from_cache(detach=True)),
    Wrong("8.1", "the last 128 slots", "long_caches", from_cache(slots=128), says="S ="),
    Wrong(
        "8.1",
        "scaled by 8 at most",
        "long_caches",
        from_cache(scale=lambda q: min(8.0, math.sqrt(q.shape[-1]))),
        says="D =",
    ),
)


# ---- 8.2 -----------------------------------------------------------------------------------------------------------


def min_p_with(
    limit: Callable[[Tensor, float], Tensor] = lambda p, m: m * p.amax(-1, keepdim=True),
    warm: Callable[[Tensor, float], Tensor] = lambda z, t: z / t,
    normalise: bool = True,
) -> Callable[..., Tensor]:
    def wrong(logits: Tensor, temperature: float, min_p: float) -> Tensor:
        logprobs = warm(logits, temperature).log_softmax(-1)
        cut = logprobs.masked_fill(logprobs.exp() < limit(logprobs.exp(), min_p), -math.inf)
        return cut.log_softmax(-1) if normalise else cut

    return wrong


def cut_first(logits: Tensor, temperature: float, min_p: float) -> Tensor:
    return (min_p_logprobs(logits, 1.0, min_p) / temperature).log_softmax(-1)


def as_probabilities(logits: Tensor, temperature: float, min_p: float) -> Tensor:
    return min_p_logprobs(logits, temperature, min_p).exp()


def above_the_limit(logits: Tensor, temperature: float, min_p: float) -> Tensor:
    """More than the limit, not at least it: nothing stays where min_p is 1."""
    p = (logits / temperature).softmax(-1)
    return torch.where(p > min_p * p.amax(-1, keepdim=True), p.log(), -math.inf).log_softmax(-1)


def a_share_of_the_logit(logits: Tensor, temperature: float, min_p: float) -> Tensor:
    warm = logits / temperature
    return warm.masked_fill(warm < min_p * warm.amax(-1, keepdim=True), -math.inf).log_softmax(-1)


def overflows(logits: Tensor, temperature: float, min_p: float) -> Tensor:
    weights = (logits / temperature).exp()
    weights = torch.where(weights >= min_p * weights.amax(-1, keepdim=True), weights, 0.0)
    return (weights / weights.sum(-1, keepdim=True)).log()


def two_hundred_tokens(logits: Tensor, temperature: float, min_p: float) -> Tensor:
    room = torch.arange(logits.shape[-1]) < 200
    return min_p_logprobs(logits.masked_fill(~room, -1e9), temperature, min_p)


ZERO, HAND = "nothing_is_cut_at_zero", "three_tokens_by_hand"

MIN_P = (
    Wrong("8.2", "no temperature", ZERO, min_p_with(warm=lambda z, t: z), says="not used"),
    Wrong("8.2", "times the temperature", ZERO, min_p_with(warm=lambda z, t: z * t), says="multiplied"),
    Wrong("8.2", "probabilities", ZERO, as_probabilities, says="probabilities"),
    Wrong("8.2", "min_p itself", HAND, min_p_with(limit=lambda p, m: torch.tensor(m)), says="min_p itself"),
    Wrong("8.2", "not normalised", HAND, min_p_with(normalise=False), says="add up"),
    Wrong("8.2", "nothing is cut", HAND, min_p_with(limit=lambda p, m: torch.tensor(0.0)), says="nothing is cut"),
    Wrong("8.2", "one limit for all", "rows_have_limits_of_their_own", min_p_with(limit=lambda p, m: m * p.max())),
    Wrong("8.2", "above the limit", "rows_have_limits_of_their_own", above_the_limit, says="AT LEAST"),
    Wrong("8.2", "a share of the logit", HAND, a_share_of_the_logit, says="share of a logarithm"),
    Wrong("8.2", "cut before the temperature", "cut_after_the_temperature", cut_first, says="before the temperature"),
    Wrong("8.2", "overflows", "min_p_of_large_batches", overflows),
    Wrong("8.2", "200 tokens", "min_p_of_large_batches", two_hundred_tokens, says="V ="),
)


# ---- 8.3 -----------------------------------------------------------------------------------------------------------


def size_with(change: int = 0, temperature_of: Callable[[float], float] = lambda t: t, most: int = 10**9) -> Any:
    return lambda logits, t, p: max(0, min(nucleus_size(logits, temperature_of(t), p) + change, most))


def in_the_given_order(logits: Tensor, temperature: float, top_p: float) -> int:
    before = (logits / temperature).softmax(-1).cumsum(-1) - (logits / temperature).softmax(-1)
    return max(1, int((before < top_p).sum()))


def the_least_probable_first(logits: Tensor, temperature: float, top_p: float) -> int:
    rising = (logits / temperature).softmax(-1).sort().values
    return max(1, int((rising.cumsum(-1) - rising < top_p).sum()))


def as_a_tensor(logits: Tensor, temperature: float, top_p: float) -> Tensor:
    return torch.tensor(nucleus_size(logits, temperature, top_p))


def none_where_top_p_is_zero(logits: Tensor, temperature: float, top_p: float) -> int:
    return nucleus_size(logits, temperature, top_p) if top_p > 0 else 0


BY_HAND = "halves_by_hand"

SIZES = (
    Wrong("8.3", "one too few", BY_HAND, size_with(-1), says="belongs to it"),
    Wrong("8.3", "one too many", BY_HAND, size_with(1), says="too many"),
    Wrong("8.3", "as many as are above top_p", BY_HAND, lambda z, t, p: int(((z / t).softmax(-1) >= p).sum())),
    Wrong("8.3", "the least probable first", BY_HAND, the_least_probable_first, says="least probable"),
    Wrong("8.3", "a tensor", BY_HAND, as_a_tensor, says="plain number"),
    Wrong("8.3", "none where top_p is 0", "one_token_always_stays", none_where_top_p_is_zero),
    Wrong("8.3", "no temperature", "temperatures_change_the_size", size_with(temperature_of=lambda t: 1.0)),
    Wrong(
        "8.3",
        "turned round",
        "temperatures_change_the_size",
        size_with(temperature_of=lambda t: 1 / t),
        says="multiplied",
    ),
    Wrong("8.3", "50 at most", "temperatures_change_the_size", size_with(most=50)),
    Wrong(
        "8.3",
        "no prediction",
        "predictions_for_the_nucleus",
        answers=(("prediction_one_to_two", ""),),
        says="one_to_two",
    ),
    Wrong("8.3", "not what it gives", "the_sizes_are_in_answers", answers=(("size_two", 40.0),), says="size_two"),
    Wrong("8.3", "no reason", "the_reason_for_the_sizes", answers=(("because", "It is flat."),)),
)


# ---- 8.4 -----------------------------------------------------------------------------------------------------------

RIGHT = "    visible = slot <= positions[:, :, None]  # [B,T,S]\n"
OWN = "a_short_row_sees_its_own_slots"

HUNT = (
    Wrong(
        "8.4",
        "as handed out",
        OWN,
        edits=((RIGHT, "    visible = slot <= positions.amax(dim=0)[:, None]  # [T,S]\n"),),
        says="padding",
    ),
    Wrong(
        "8.4",
        "the shortest row decides",
        "new_tokens_do_not_see_later_ones",
        edits=((RIGHT, "    visible = slot <= positions.amin()\n"),),
    ),
    Wrong(
        "8.4",
        "positions changed instead",
        OWN,
        edits=(("positions = lengths[:, None] +", "positions = (0 * lengths + lengths.max())[:, None] +"),),
        says="column",
    ),
    Wrong(
        "8.4",
        "without itself",
        OWN,
        edits=((RIGHT, "    visible = slot < positions[:, :, None]\n"),),
        says="does not see itself",
    ),
    Wrong(
        "8.4",
        "all new tokens alike",
        "new_tokens_do_not_see_later_ones",
        edits=((RIGHT, "    visible = slot <= positions[:, -1:, None]\n"),),
    ),
    Wrong(
        "8.4",
        "64 rows",
        "many_rows_of_many_lengths",
        edits=((RIGHT, RIGHT + "    visible = visible & (torch.arange(len(lengths)) < 64)[:, None, None]\n"),),
    ),
    Wrong(
        "8.4",
        "written anew",
        "the_layout_is_mended_in_three_lines",
        says="start again",
        edits=(
            (
                "    slot = torch.arange(slots)  # [S]\n",
                "    places = torch.arange(slots)\n    limit = positions\n    limit = limit[:, :, None]\n",
            ),
            (RIGHT, "    visible = places <= limit\n"),
        ),
    ),
)

WRONG = (*CACHE, *MIN_P, *SIZES, *HUNT)


def attend_row_by_row(
    query: Tensor, new_key: Tensor, new_value: Tensor, keys: Tensor, values: Tensor, lengths: Tensor
) -> Tensor:
    """Right: each row is cut to its own length."""
    rows = []
    for b, length in enumerate(lengths.tolist()):
        seen = torch.cat([keys[b, :, :length], new_key[b, :, None]], dim=1)  # [H,s,D]
        given = torch.cat([values[b, :, :length], new_value[b, :, None]], dim=1)  # [H,s,D]
        weights = (seen @ query[b, :, :, None] / query.shape[-1] ** 0.5).softmax(dim=1)  # [H,s,1]
        rows.append((weights * given).sum(dim=1))
    return torch.stack(rows)


ALSO_RIGHT = (("8.1", attend_row_by_row),)
