"""Wrong solutions of chapter 09: cross-attention (9.1), the open source (9.2), the sides (9.3), the bug hunt (9.4)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tutorials.exercises.checks import ch09 as checks
from tutorials.exercises.specs.ch09 import nats_given, prefix_mask
from tutorials.instructor.wrong import Wrong

# ---- 9.1 -----------------------------------------------------------------------------------------------------------

right = checks.crossed()


def values_from_the_target(
    x: Tensor, memory: Tensor, real: Tensor, query: Tensor, key_value: Tensor, projection: Tensor, heads: int
) -> Tensor:
    """Self-attention of the target, whatever the memory is."""
    everything = torch.ones(x.shape[:2], dtype=torch.bool)
    return right(x, x, everything, query, key_value, projection, heads)


def first_row_decides(
    x: Tensor, memory: Tensor, real: Tensor, query: Tensor, key_value: Tensor, projection: Tensor, heads: int
) -> Tensor:
    """All rows see as many source tokens as row 0."""
    return right(x, memory, real[:1].expand_as(real), query, key_value, projection, heads)


def adds_the_stream(
    x: Tensor, memory: Tensor, real: Tensor, query: Tensor, key_value: Tensor, projection: Tensor, heads: int
) -> Tensor:
    return x + right(x, memory, real, query, key_value, projection, heads)


def memory_detached(
    x: Tensor, memory: Tensor, real: Tensor, query: Tensor, key_value: Tensor, projection: Tensor, heads: int
) -> Tensor:
    """The encoder would never learn."""
    return right(x, memory.detach(), real, query, key_value, projection, heads)


def first_hundred(
    x: Tensor, memory: Tensor, real: Tensor, query: Tensor, key_value: Tensor, projection: Tensor, heads: int
) -> Tensor:
    """Right when small: a source of 100 tokens at most."""
    return right(x, memory[:, :100], real[:, :100], query, key_value, projection, heads)


def row_by_row(
    x: Tensor, memory: Tensor, real: Tensor, query: Tensor, key_value: Tensor, projection: Tensor, heads: int
) -> Tensor:
    """Right: each row is cut to its own length, and each head alone."""
    C, rows = x.shape[-1], []
    D = C // heads
    for b in range(len(x)):
        source, outputs = memory[b][real[b]], []
        for h in range(heads):
            own = slice(h * D, h * D + D)
            scores = (x[b] @ query[own].T) @ (source @ key_value[:C][own].T).T / math.sqrt(D)  # [T,S]
            outputs.append(scores.softmax(-1) @ (source @ key_value[C:][own].T))
        rows.append(torch.cat(outputs, dim=-1) @ projection.T)
    return torch.stack(rows)


ONE, MEAN, EQUAL = "one_source_token_gives_its_values", "equal_keys_give_the_mean", "cross_equals_the_specification"
SHAPE, SIZE = "one_output_a_target_token", "cross_at_any_size"

CROSS = (
    Wrong("9.1", "values from the target", ONE, values_from_the_target),
    Wrong(
        "9.1",
        "padding is seen",
        MEAN,
        checks.crossed(seen=lambda real, tokens: torch.ones_like(real)[:, None, None]),
        says="padding",
    ),
    Wrong("9.1", "late", MEAN, checks.crossed(late=True), says="after the softmax"),
    Wrong("9.1", "turned round", ONE, checks.crossed(seen=lambda real, tokens: ~real[:, None, None]), says="hides"),
    Wrong(
        "9.1",
        "cut by a view",
        MEAN,
        checks.crossed(cut=lambda part, heads: part.reshape(len(part), heads, part.shape[1], -1)),
        says="mixes tokens",
    ),
    Wrong(
        "9.1",
        "cut into [D,H]",
        ONE,
        checks.crossed(cut=lambda part, heads: part.unflatten(-1, (-1, heads)).permute(0, 3, 1, 2)),
        says="neighbouring channels",
    ),
    Wrong("9.1", "queries not transposed", EQUAL, checks.crossed(ask=lambda x, w: x @ w), says="queries are not"),
    Wrong("9.1", "causal", MEAN, checks.crossed(seen=checks.as_if_causal), says="nothing of the source"),
    Wrong("9.1", "halves changed", ONE, checks.crossed(halves=(1, 0)), says="last C rows"),
    Wrong("9.1", "one head", EQUAL, checks.crossed(heads_of=lambda heads: 1), says="one head"),
    Wrong("9.1", "√C", EQUAL, checks.crossed(scale=lambda C, D: C**0.5), says="√C"),
    Wrong("9.1", "no scale", EQUAL, checks.crossed(scale=lambda C, D: 1.0), says="not divided"),
    Wrong("9.1", "no projection", ONE, checks.crossed(project=lambda mixed, weight: mixed), says="missing"),
    Wrong(
        "9.1",
        "projection not transposed",
        ONE,
        checks.crossed(project=lambda mixed, weight: mixed @ weight),
        says="not transposed",
    ),
    Wrong(
        "9.1",
        "merged by a view",
        ONE,
        checks.crossed(merge=lambda mixed: mixed.reshape(mixed.shape[0], mixed.shape[2], -1)),
        says="view",
    ),
    Wrong("9.1", "first row decides", MEAN, first_row_decides),
    Wrong("9.1", "adds the stream", ONE, adds_the_stream),
    Wrong("9.1", "another axis of the softmax", ONE, checks.crossed(axis=-2)),
    Wrong("9.1", "−1e4", "very_low_scores_leave_padding_hidden", checks.crossed(forbidden=-1e4), says="infinity"),
    Wrong("9.1", "memory detached", "cross_gradients_flow", memory_detached),
    Wrong("9.1", "100 source tokens", SIZE, first_hundred, says="S ="),
    Wrong("9.1", "scaled by 8 at most", SIZE, checks.crossed(scale=lambda C, D: min(8.0, D**0.5)), says="D ="),
)

# ---- 9.2 -----------------------------------------------------------------------------------------------------------


def from_table(mistake: str) -> Callable[[Tensor, int], Tensor]:
    """The table that a mistake gives."""
    return lambda lengths, tokens: next(t for text, t in checks.tables(lengths, tokens).items() if mistake in text)


def longest_for_all(lengths: Tensor, tokens: int) -> Tensor:
    return prefix_mask(lengths.amax().expand_as(lengths), tokens)


def one_table(lengths: Tensor, tokens: int) -> Tensor:
    return prefix_mask(lengths[:1], tokens)[0]


def as_numbers(lengths: Tensor, tokens: int) -> Tensor:
    return prefix_mask(lengths, tokens).float()


def sixty_four_tokens(lengths: Tensor, tokens: int) -> Tensor:
    """Right when small: a table of 64 tokens, and nothing beyond it."""
    mask = prefix_mask(lengths, tokens)
    mask[:, 64:] = False
    return mask


def square_by_square(lengths: Tensor, tokens: int) -> Tensor:
    """Right: the causal table, and a block of True in its corner."""
    mask = torch.ones(tokens, tokens).tril().bool().repeat(len(lengths), 1, 1)
    for row, length in zip(mask, lengths.tolist(), strict=True):
        row[:length, :length] = True
    return mask


HAND, KIND = "two_of_five_by_hand", "a_table_for_each_row"

OPEN = (
    Wrong("9.2", "causal", HAND, from_table("causal mask"), says="causal"),
    Wrong("9.2", "everything open", HAND, from_table("everything is open"), says="predict"),
    Wrong("9.2", "source sees target", HAND, from_table("hands on"), says="hands on"),
    Wrong("9.2", "target sees no source", HAND, from_table("do not see the source"), says="do not see the source"),
    Wrong("9.2", "target is open", HAND, from_table("triangle"), says="triangle"),
    Wrong("9.2", "one too many", HAND, from_table("too many"), says="too many"),
    Wrong("9.2", "one too few", HAND, from_table("too few")),
    Wrong("9.2", "turned round", HAND, from_table("MAY"), says="MAY"),
    Wrong("9.2", "transposed", HAND, from_table("changed places"), says="changed places"),
    Wrong("9.2", "not itself", HAND, from_table("see itself"), says="itself"),
    Wrong("9.2", "longest for all", "rows_of_different_lengths", longest_for_all, says="longest"),
    Wrong("9.2", "one table", KIND, one_table),
    Wrong("9.2", "numbers", KIND, as_numbers),
    Wrong("9.2", "64 tokens", "masks_at_any_size", sixty_four_tokens, says="T ="),
)

# ---- 9.3 -----------------------------------------------------------------------------------------------------------


def bits(words: Tensor, before: bool, after: bool) -> float:
    return nats_given(words, before, after) / math.log(2)


def around_of(words: Tensor, before: bool, after: bool, closed: bool = True) -> list[Any]:
    """The context of each word; where the circle is not closed, its ends have neighbours of their own."""
    text = words.tolist()
    left, right = ([text[-1], *text[:-1]], [*text[1:], text[0]]) if closed else ([-1, *text[:-1]], [*text[1:], -2])
    return [(x if before else None, y if after else None) for x, y in zip(left, right, strict=True)]


def mean_over_contexts(words: Tensor, before: bool, after: bool) -> float:
    """Each pair of context and word counts once, however often it occurs."""
    around = around_of(words, before, after)
    contexts, pairs = Counter(around), Counter(zip(around, words.tolist(), strict=True))
    return sum(-math.log(count / contexts[pair[0]]) for pair, count in pairs.items()) / len(pairs)


def log_of_the_mean(words: Tensor, before: bool, after: bool) -> float:
    around = around_of(words, before, after)
    contexts, pairs = Counter(around), Counter(zip(around, words.tolist(), strict=True))
    return -math.log(sum(count * count / contexts[pair[0]] for pair, count in pairs.items()) / len(words))


def joint(words: Tensor, before: bool, after: bool) -> float:
    """The context's own count does not divide: the cost of context and word together."""
    pairs = Counter(zip(around_of(words, before, after), words.tolist(), strict=True))
    return sum(-count * math.log(count / len(words)) for count in pairs.values()) / len(words)


def not_a_circle(words: Tensor, before: bool, after: bool) -> float:
    """The ends have no neighbour beyond them."""
    around = around_of(words, before, after, closed=False)
    contexts, pairs = Counter(around), Counter(zip(around, words.tolist(), strict=True))
    return sum(-count * math.log(count / contexts[pair[0]]) for pair, count in pairs.items()) / len(words)


def one_side_only(words: Tensor, before: bool, after: bool) -> float:
    return nats_given(words, before or after, False)


def with_smoothing(words: Tensor, before: bool, after: bool) -> float:
    return nats_given(words, before, after) + 1 / len(words)


def five_hundred_words(words: Tensor, before: bool, after: bool) -> float:
    """Right when small."""
    return nats_given(words[:500], before, after)


def by_dictionaries(words: Tensor, before: bool, after: bool) -> float:
    """Right: entropies of what is counted, the pair's minus the context's."""
    around, n = around_of(words, before, after), len(words)

    def entropy(things: list[Any]) -> float:
        return -sum(count / n * math.log(count / n) for count in Counter(things).values())

    return entropy(list(zip(around, words.tolist(), strict=True))) - entropy(around)


FOUR, CIRCLE, SAME = "four_words_by_hand", "the_circle_is_closed", "nats_equal_the_specification"

SIDES = (
    Wrong("9.3", "bits", FOUR, bits, says="bits"),
    Wrong("9.3", "minus", FOUR, lambda w, b, a: -nats_given(w, b, a), says="negative"),
    Wrong("9.3", "sum", FOUR, lambda w, b, a: len(w) * nats_given(w, b, a), says="number of words"),
    Wrong("9.3", "joint", FOUR, joint),
    Wrong("9.3", "logarithm of the mean", FOUR, log_of_the_mean, says="mean of the logarithms"),
    Wrong("9.3", "a tensor", FOUR, lambda w, b, a: torch.tensor(nats_given(w, b, a)), says="plain number"),
    Wrong("9.3", "mean over kinds", FOUR, mean_over_contexts),
    Wrong("9.3", "not a circle", FOUR, not_a_circle),
    Wrong("9.3", "one side only", CIRCLE, one_side_only),
    Wrong("9.3", "smoothed", FOUR, with_smoothing),
    Wrong("9.3", "500 words", SAME, five_hundred_words),
    Wrong("9.3", "no prediction", "predictions_for_the_sides", answers=(("prediction_side", "left"),), says="side"),
    Wrong("9.3", "another number", "the_sides_are_in_answers", answers=(("both", 0.5),), says="both"),
    Wrong("9.3", "no reason", "the_reason_for_the_sides", answers=(("because", "They are equal."),)),
)

# ---- 9.4 -----------------------------------------------------------------------------------------------------------

COPY = "    inputs = ids.clone()\n"
TARGETS = "    targets = ids.masked_fill(~chosen, ignore)  # [B,T]\n"
STOOD = "targets_are_what_stood_there"

HUNT = (
    Wrong("9.4", "as handed out", STOOD, edits=((COPY, "    inputs = ids\n"),), says="overwritten"),
    Wrong(
        "9.4",
        "targets first",
        "the_texts_are_not_overwritten",
        edits=(
            (COPY, "    inputs, kept = ids, ids.clone()\n"),
            (TARGETS, "    targets = kept.masked_fill(~chosen, ignore)\n"),
        ),
        says="another name",
    ),
    Wrong("9.4", "every token", STOOD, edits=((TARGETS, "    targets = ids\n"),), says="every token"),
    Wrong("9.4", "targets of the others", STOOD, edits=((TARGETS, "    targets = ids.masked_fill(chosen, ignore)\n"),)),
    Wrong(
        "9.4",
        "nothing is hidden",
        STOOD,
        edits=(("    inputs[chosen] = mask_id\n", "    inputs[chosen] = ids[chosen]\n"),),
        says="nothing is hidden",
    ),
    Wrong(
        "9.4",
        "100 texts",
        "hidden_at_any_size",
        edits=((TARGETS, TARGETS + "    targets[100:] = ignore\n"),),
    ),
    Wrong(
        "9.4",
        "written anew",
        "the_hiding_is_mended_in_three_lines",
        says="start again",
        edits=(
            (COPY, "    inputs = torch.where(chosen, mask_id, ids)\n    answers = ids\n"),
            ("    inputs[chosen] = mask_id\n", "    others = ~chosen\n"),
            (TARGETS, "    targets = answers.masked_fill(others, ignore)\n"),
        ),
    ),
)

WRONG = (*CROSS, *OPEN, *SIDES, *HUNT)

ALSO_RIGHT = (("9.1", row_by_row), ("9.2", square_by_square), ("9.3", by_dictionaries))
