"""Chapter 05 in plain loops: many heads, one at a time."""

import math

import torch
from torch import Tensor

from tutorials.exercises.specs.ch04 import causal_head


def multi_head_attention(x: Tensor, qkv_weight: Tensor, projection_weight: Tensor, heads: int) -> Tensor:
    """Exercise 5.1: each head by itself, with its own rows of the weights; all side by side, and the projection."""
    C = x.shape[-1]
    D = C // heads
    sequences = []
    for sequence in x:  # [T,C]
        outputs = []
        for h in range(heads):
            rows = [slice(part * C + h * D, part * C + (h + 1) * D) for part in range(3)]
            queries, keys, values = (sequence @ qkv_weight[row].T for row in rows)  # [T,D] each
            outputs.append(causal_head(queries, keys, values))
        sequences.append(torch.cat(outputs, dim=-1) @ projection_weight.T)  # [T,C]
    return torch.stack(sequences)  # [B,T,C]


def grouped_query_attention(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Exercise 5.2: head h of the queries looks up which head of keys and values it shares."""
    B, H = queries.shape[:2]
    shared_by = H // keys.shape[1]
    heads = []
    for b in range(B):
        for h in range(H):
            heads.append(causal_head(queries[b, h], keys[b, h // shared_by], values[b, h // shared_by]))  # [T,D]
    return torch.stack(heads).view(queries.shape)  # [B,H,T,D]


def mean_loss(scores: list[list[float]], answers: list[int]) -> float:
    """The mean of −log p(answer), in double precision."""
    total = 0.0
    for row, answer in zip(scores, answers, strict=True):
        highest = max(row)
        total += highest + math.log(sum(math.exp(score - highest) for score in row)) - row[answer]
    return total / len(answers)


def damage(parts: Tensor, answers: Tensor, silent: list[int]) -> float:
    """Exercise 5.4: the scores added up head by head, with all heads and without the silent ones."""
    H, B, V = parts.shape
    numbers = parts.double().tolist()

    def loss(heads: list[int]) -> float:
        scores = [[sum(numbers[h][b][v] for h in heads) for v in range(V)] for b in range(B)]
        return mean_loss(scores, answers.tolist())

    return loss([h for h in range(H) if h not in silent]) - loss(list(range(H)))


def merge_heads(mixed: Tensor) -> Tensor:
    """Exercise 5.3: the row of a token is what head 0 has for it, then what head 1 has for it, and so on."""
    rows = []
    for b in range(mixed.shape[0]):
        for t in range(mixed.shape[2]):
            rows.append(torch.cat([mixed[b, h, t] for h in range(mixed.shape[1])]))  # [C]
    return torch.stack(rows).view(mixed.shape[0], mixed.shape[2], -1)  # [B,T,C]
