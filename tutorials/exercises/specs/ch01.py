"""Chapter 01 in plain loops: every count is made anew from the text."""

import math

import torch
from torch import Tensor


def smoothed_bigram(ids: Tensor, vocab_size: int, discount: float) -> Tensor:
    """Exercise 1.1."""
    words = ids.tolist()
    follows = [(words[n], words[n + 1]) for n in range(len(words) - 1)]
    different = set(follows)
    table = []
    for h in range(vocab_size):
        after = [w for before, w in follows if before == h]
        row = []
        for w in range(vocab_size):
            lower = len([pair for pair in different if pair[1] == w]) / len(different)
            if not after:
                row.append(lower)
                continue
            share = max(after.count(w) - discount, 0) / len(after)
            row.append(share + discount * len(set(after)) / len(after) * lower)
        table.append(row)
    return torch.tensor(table)


def with_cache(probabilities: Tensor, ids: Tensor, weight: float) -> Tensor:
    """Exercise 1.2."""
    words, rows = ids.tolist(), []
    for t in range(len(words)):
        if t == 0:
            rows.append(probabilities[0].tolist())
            continue
        said = words[:t]
        cache = [said.count(w) / len(said) for w in range(probabilities.shape[1])]
        row = probabilities[t].tolist()
        rows.append([(1 - weight) * p + weight * q for p, q in zip(row, cache, strict=True)])
    return torch.tensor(rows)


def perplexity(logprobs: Tensor) -> float:
    """Exercise 1.3: the N-th root of one over the probability of the whole text."""
    total = 0.0
    for value in logprobs.tolist():
        total += value
    return math.exp(-total / max(len(logprobs), 1))


def loss_of(learned: list[str], words: list[str], vocabulary: int) -> float:
    """Exercise 1.4."""
    losses = []
    for n in range(1, len(words)):
        together = len([m for m in range(1, len(learned)) if learned[m - 1 : m + 1] == words[n - 1 : n + 1]])
        alone = learned[:-1].count(words[n - 1])
        losses.append(-math.log((together + 1) / (alone + vocabulary)))
    return sum(losses) / max(len(losses), 1)
