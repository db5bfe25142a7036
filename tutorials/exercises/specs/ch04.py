"""Chapter 04 in plain loops: attention, one number at a time."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

OneHead = Callable[[Tensor, Tensor, Tensor], Tensor]  # queries, keys, values [T,D] -> [T,D]


def for_each_head(one_head: OneHead, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Run `one_head` on every head of every sequence, each alone: [B,H,T,D] three times -> [B,H,T,D]."""
    rows = []
    for b in range(queries.shape[0]):
        for h in range(queries.shape[1]):
            rows.append(one_head(queries[b, h], keys[b, h], values[b, h]))  # [T,D]
    return torch.stack(rows).view(queries.shape)  # [B,H,T,D]


def softmax(scores: list[Tensor]) -> list[Tensor]:
    """Shares that add up to 1. The largest score is taken off first: exp() of a large number overflows."""
    highest = max(score.item() for score in scores)
    exponentials = [torch.exp(score - highest) for score in scores]
    total = sum(exponentials)
    return [exponential / total for exponential in exponentials]


def average(values: list[Tensor], weights: list[Tensor]) -> Tensor:
    """Σ weight · value."""
    return sum(weight * value for weight, value in zip(weights, values, strict=True))


def causal_head(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """One head: [T,D] three times -> [T,D]."""
    rows = []
    for t in range(len(queries)):
        visible = range(t + 1)  # the tokens 0 … t
        scores = [(queries[t] * keys[s]).sum() / math.sqrt(queries.shape[1]) for s in visible]
        rows.append(average([values[s] for s in visible], softmax(scores)))
    return torch.stack(rows)


def causal_attention(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Exercise 4.1."""
    return for_each_head(causal_head, queries, keys, values)


def sliding_window_attention(queries: Tensor, keys: Tensor, values: Tensor, window: int) -> Tensor:
    """Exercise 4.2."""

    def window_head(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        rows = []
        for t in range(len(queries)):
            visible = range(max(0, t - window + 1), t + 1)  # the last `window` tokens, t among them
            scores = [(queries[t] * keys[s]).sum() / math.sqrt(queries.shape[1]) for s in visible]
            rows.append(average([values[s] for s in visible], softmax(scores)))
        return torch.stack(rows)

    return for_each_head(window_head, queries, keys, values)


def entropy_of_weights(queries: Tensor, keys: Tensor, scaled: bool) -> float:
    """Exercise 4.5: in double precision and with Python's numbers; 0 · log 0 is 0."""
    total = 0.0
    for query in queries.double().tolist():
        scores = [sum(q * k for q, k in zip(query, key, strict=True)) for key in keys.double().tolist()]
        if scaled:
            scores = [score / math.sqrt(len(query)) for score in scores]
        highest = max(scores)
        exponentials = [math.exp(score - highest) for score in scores]
        weights = [exponential / sum(exponentials) for exponential in exponentials]
        total += sum(-weight * math.log(weight) for weight in weights if weight > 0)
    return total / len(queries)
