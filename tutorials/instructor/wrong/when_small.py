"""Solutions that are right when everything is small, and wrong from some size on.

Each does the right thing until a size reaches a limit, as code with a table of fixed length or a constant does. A check
that draws all sizes between 2 and 6 passes every one of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from tutorials.instructor.wrong import Wrong
from tutorials.instructor.wrong.ch04 import distances, mask_of, scores_of, with_mask
from tutorials.instructor.wrong.ch04_more import entropy
from tutorials.instructor.wrong.ch15 import beats, half_wins, mean_per_prompt, without_diagonal
from tutorials.instructor.wrong.ch15_more import RIGHT_LINE, read

Attention = Callable[[Tensor, Tensor, Tensor], Tensor]


def causal(queries: Tensor, keys: Tensor, values: Tensor, scale: float = 1.0) -> Tensor:
    return with_mask(queries * scale, keys, values, mask_of(queries.shape[2]))


# ---- 4.1 and 4.3 ---------------------------------------------------------------------------------------------------


def window_of_sixteen(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Causal attention that looks back 16 tokens and no further."""
    return with_mask(queries, keys, values, mask_of(queries.shape[2]) & (distances(queries.shape[2]) < 16))


def first_key_from_sixteen(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """From 17 tokens on the first key is hidden: it has fallen out of a cache."""
    mask = mask_of(queries.shape[2])
    if len(mask) > 16:
        mask[1:, 0] = False
    return with_mask(queries, keys, values, mask)


def another_scale_from_forty(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    return causal(queries, keys, values, 1.0 if queries.shape[2] < 40 else 0.5)


def mask_for_128_tokens(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """A table of 128 rows, and no mask for what is longer."""
    T = queries.shape[2]
    return with_mask(queries, keys, values, mask_of(T) if T <= 128 else torch.ones(T, T, dtype=torch.bool))


def scale_of_small_heads(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    return causal(queries, keys, values, math.sqrt(queries.shape[-1] / min(queries.shape[-1], 64)))


def sixteen_heads(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Heads beyond the sixteenth use the keys of the sixteenth."""
    heads = torch.arange(keys.shape[1]).clamp(max=15)
    return causal(queries, keys[:, heads], values)


def batches_of_64(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Rows beyond the 64th come back as they are."""
    mixed = causal(queries, keys, values)
    return torch.cat([mixed[:64], values[64:]])


def mask_of_minus_ten_thousand(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    scores = scores_of(queries, keys).masked_fill(~mask_of(queries.shape[2]), -1e4)
    return scores.softmax(-1) @ values


ANY_SIZE, LOW = "right_at_any_size", "very_low_scores_leave_the_mask_whole"

CAUSAL = (
    Wrong("4.1", "a window of 16", ANY_SIZE, window_of_sixteen, says="T ="),
    Wrong("4.1", "the first key is lost", ANY_SIZE, first_key_from_sixteen, says="T ="),
    Wrong("4.1", "another scale from 40 tokens on", ANY_SIZE, another_scale_from_forty, says="T ="),
    Wrong("4.1", "a mask of 128 rows", ANY_SIZE, mask_for_128_tokens, says="T ="),
    Wrong("4.1", "scaled by 8 at most", ANY_SIZE, scale_of_small_heads, says="D ="),
    Wrong("4.1", "sixteen heads", ANY_SIZE, sixteen_heads, says="H ="),
    Wrong("4.1", "64 sequences", ANY_SIZE, batches_of_64, says="B ="),
    Wrong("4.1", "a mask of −1e4", LOW, mask_of_minus_ten_thousand, says="minus infinity"),
    Wrong(
        "4.3",
        "a table of 64 tokens",
        ANY_SIZE,
        edits=(("torch.ones(T, T, dtype=torch.bool, device=scores.device)", "torch.ones(T, T) > (T > 64) * 2"),),
        says="T =",
    ),
)


# ---- 4.2 -----------------------------------------------------------------------------------------------------------


def banded(queries: Tensor, keys: Tensor, values: Tensor, window: int, forbidden: float = -math.inf) -> Tensor:
    distance = distances(queries.shape[2])
    scores = scores_of(queries, keys).masked_fill((distance < 0) | (distance >= window), forbidden)
    return scores.softmax(-1) @ values


def windows_up_to_sixteen(queries: Tensor, keys: Tensor, values: Tensor, window: int) -> Tensor:
    # a window that covers the whole text is causal attention, however long
    return banded(queries, keys, values, window if window >= queries.shape[2] else min(window, 16))


def first_key_always_visible(queries: Tensor, keys: Tensor, values: Tensor, window: int) -> Tensor:
    """An attention sink: from 16 tokens on the key at place 0 is visible to everybody."""
    distance = distances(queries.shape[2])
    mask = (distance >= 0) & (distance < window)
    if len(mask) >= 16:
        mask[:, 0] = True
    return with_mask(queries, keys, values, mask)


def window_scale_from_forty(queries: Tensor, keys: Tensor, values: Tensor, window: int) -> Tensor:
    return banded(queries if queries.shape[2] < 40 else queries * 0.5, keys, values, window)


WINDOWS, WINDOW_LOW = "windows_at_any_size", "window_very_low_scores"

SLIDING = (
    Wrong("4.2", "windows up to 16", WINDOWS, windows_up_to_sixteen, says="window ="),
    Wrong("4.2", "the first key always visible", WINDOWS, first_key_always_visible, says="T ="),
    Wrong("4.2", "another scale from 40 tokens on", WINDOWS, window_scale_from_forty, says="T ="),
    Wrong("4.2", "a mask of −1e4", WINDOW_LOW, lambda *a: banded(*a, forbidden=-1e4), says="minus infinity"),
)


# ---- 4.5 and 0.1 ---------------------------------------------------------------------------------------------------


def entropy_of_128_keys(queries: Tensor, keys: Tensor, scaled: bool) -> float:
    return entropy(queries, keys[:128], scaled)


def entropy_of_64_queries(queries: Tensor, keys: Tensor, scaled: bool) -> float:
    return entropy(queries[:64], keys, scaled)


def entropy_scaled_by_8_at_most(queries: Tensor, keys: Tensor, scaled: bool) -> float:
    return entropy(queries, keys, scaled, min(8.0, math.sqrt(queries.shape[1])) if scaled else None)


MEASURED = (
    Wrong("4.5", "128 keys", "entropies_at_any_size", entropy_of_128_keys, says="S ="),
    Wrong("4.5", "64 queries", "entropies_at_any_size", entropy_of_64_queries, says="T ="),
    Wrong("4.5", "scaled by 8 at most", "entropies_at_any_size", entropy_scaled_by_8_at_most, says="D ="),
    Wrong(
        "0.1",
        "10,000 tokens at most",
        "the_smallest_and_the_largest",
        lambda vocab_size: math.log(min(vocab_size, 10_000)),
        says="probability",
    ),
)


# ---- Chapter 15 ----------------------------------------------------------------------------------------------------


def room_for_64_prompts(scores: Tensor, ranks: Tensor, group: Tensor) -> Tensor:
    room = group < 64
    return mean_per_prompt(scores[room], beats(ranks, group)[room][:, room], group[room])


def room_for_16_answers(scores: Tensor, ranks: Tensor, group: Tensor) -> Tensor:
    """Of a prompt with more than 16 answers, the first 16."""
    kept = [n for n in range(len(group)) if (group[:n] == group[n]).sum() < 16]
    return mean_per_prompt(scores[kept], beats(ranks, group)[kept][:, kept], group[kept])


def ties_of_64_prompts(scores: Tensor, ranks: Tensor, group: Tensor) -> Tensor:
    wins = without_diagonal(half_wins(ranks, group))
    wins = torch.where((group < 64)[:, None], wins, beats(ranks, group).float())
    return mean_per_prompt(scores, wins, group)


def no_bias_from_64(hidden: Tensor, lengths: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return read(hidden, lengths - 1, weight, bias if len(hidden) < 64 else bias * 0)


def columns_up_to_128(hidden: Tensor, lengths: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return read(hidden, (lengths - 1).clamp(max=127), weight, bias)


def channels_up_to_64(hidden: Tensor, lengths: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return read(hidden[:, :, :64], lengths - 1, weight[:, :64], bias)


def last_state_that_is_not_zero(hidden: Tensor, lengths: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """In a full row the last state that is not all zeros; elsewhere the length says where to read."""
    places = torch.arange(hidden.shape[1])
    nonzero = ((hidden != 0).any(-1) * (places + 1)).amax(1) - 1  # [B]
    return read(hidden, torch.where(lengths == hidden.shape[1], nonzero, lengths - 1), weight, bias)


MANY, MANY_TIES = "right_for_many_prompts_and_answers", "ties_among_many_prompts_and_answers"

REWARD = (
    Wrong("15.1", "room for 64 prompts", MANY, room_for_64_prompts, says="prompts"),
    Wrong("15.1", "room for 16 answers", MANY, room_for_16_answers, says="K ="),
    Wrong("15.4", "ties of 64 prompts", MANY_TIES, ties_of_64_prompts, says="prompts"),
    Wrong("15.2", "no bias from 64 rows on", ANY_SIZE, no_bias_from_64, says="B ="),
    Wrong("15.2", "128 columns", ANY_SIZE, columns_up_to_128, says="T ="),
    Wrong("15.2", "64 channels", ANY_SIZE, channels_up_to_64, says="C ="),
    Wrong("15.2", "the last state that is not 0", "states_of_zero_are_read_too", last_state_that_is_not_zero),
    Wrong("15.3", "64 prompts", "long_lists_are_counted", lambda ks, g: sum(k if g else k * (k - 1) for k in ks[:64])),
    Wrong(
        "15.5",
        "64 answers",
        "many_answers_and_long_ones",
        edits=((RIGHT_LINE, "        last = torch.where(rows < 64, lengths - 1, 0)\n"),),
        says="B =",
    ),
)

WRONG = (*CAUSAL, *SLIDING, *MEASURED, *REWARD)
