"""Attentions with one mistake each. Checks use them twice: to tell you which mistake your numbers look like, and to try
out the test that you write in exercise 4.4.

They are the loops of ch04.py, with a mistake instead of a line. (Which line would be a hint.)
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from tutorials.exercises.specs.ch04 import average, for_each_head, softmax


def score(queries: Tensor, keys: Tensor, t: int, s: int, root_of: int) -> Tensor:
    """The score of key s for query t."""
    return (queries[t] * keys[s]).sum() / math.sqrt(root_of)


def no_mask(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Every token sees every token."""
    return _with_visible(queries, keys, values, lambda t, T: range(T))


def one_too_many(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """A token sees the one after it as well."""
    return _with_visible(queries, keys, values, lambda t, T: range(min(t + 2, T)))


def only_the_future(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """The mask is the wrong way round."""
    return _with_visible(queries, keys, values, lambda t, T: range(t, T))


def _with_visible(
    queries: Tensor, keys: Tensor, values: Tensor, visible: Callable[[int, int], Sequence[int]]
) -> Tensor:
    """`visible(t, T)` are the tokens that token t of T sees."""

    def head(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        rows = []
        for t in range(len(q)):
            seen = visible(t, len(q))
            rows.append(average([v[s] for s in seen], softmax([score(q, k, t, s, q.shape[1]) for s in seen])))
        return torch.stack(rows)

    return for_each_head(head, queries, keys, values)


def without_scale(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Scores are not divided by anything."""
    return _with_root(queries, keys, values, lambda T, D: 1)


def root_of_the_length(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Scores are divided by the root of the number of tokens."""
    return _with_root(queries, keys, values, lambda T, D: T)


def whole_head_size(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Scores are divided by the head size, not by its root."""
    return _with_root(queries, keys, values, lambda T, D: D**2)


def _with_root(queries: Tensor, keys: Tensor, values: Tensor, root_of: Callable[[int, int], int]) -> Tensor:
    """Scores are divided by the root of `root_of(T, D)`."""

    def head(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        rows = []
        for t in range(len(q)):
            scores = [score(q, k, t, s, root_of(*q.shape)) for s in range(t + 1)]
            rows.append(average(list(v[: t + 1]), softmax(scores)))
        return torch.stack(rows)

    return for_each_head(head, queries, keys, values)


def mask_after_softmax(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """The future gets no weight, but it was there when the weights were shared out."""

    def head(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        rows = []
        for t in range(len(q)):
            weights = softmax([score(q, k, t, s, q.shape[1]) for s in range(len(q))])
            rows.append(average(list(v[: t + 1]), weights[: t + 1]))
        return torch.stack(rows)

    return for_each_head(head, queries, keys, values)


def multiplied_mask(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Forbidden scores become 0 instead of minus infinity, and a score of 0 still gets a weight."""

    def head(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        rows = []
        for t in range(len(q)):
            scores = [score(q, k, t, s, q.shape[1]) * (s <= t) for s in range(len(q))]
            rows.append(average(list(v), softmax(scores)))
        return torch.stack(rows)

    return for_each_head(head, queries, keys, values)


def mask_of_minus_ten_thousand(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Forbidden scores become −10,000, which is far below most scores and not below all."""

    def head(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        rows = []
        for t in range(len(q)):
            scores = [score(q, k, t, s, q.shape[1]) if s <= t else q.new_tensor(-1e4) for s in range(len(q))]
            rows.append(average(list(v), softmax(scores)))
        return torch.stack(rows)

    return for_each_head(head, queries, keys, values)


def softmax_over_queries(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """The weights of a key add up to 1, not those of a query."""

    def head(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        T = len(q)
        columns = [softmax([score(q, k, t, s, q.shape[1]) for t in range(s, T)]) for s in range(T)]
        return torch.stack([average(list(v[: t + 1]), [columns[s][t - s] for s in range(t + 1)]) for t in range(T)])

    return for_each_head(head, queries, keys, values)


def keys_for_values(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """The mean is taken of the keys."""
    return _with_visible(queries, keys, keys, lambda t, T: range(t + 1))


def one_head_for_all(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """All heads share the keys of the first one."""
    return _with_visible(queries, keys[:, :1].expand_as(keys), values, lambda t, T: range(t + 1))
