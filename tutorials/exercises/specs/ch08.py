"""Chapter 08 in plain loops: attention from a cache, and the choice of a token."""

import math

import torch
from torch import Tensor


def attend_with_cache(
    query: Tensor, new_key: Tensor, new_value: Tensor, keys: Tensor, values: Tensor, lengths: Tensor
) -> Tensor:
    """Exercise 8.1: for each row and head, the list of what the new token sees, then chapter 04."""
    B, H, D = query.shape
    rows = []
    for b in range(B):
        for h in range(H):
            seen_keys = [keys[b, h, s] for s in range(int(lengths[b]))] + [new_key[b, h]]
            seen_values = [values[b, h, s] for s in range(int(lengths[b]))] + [new_value[b, h]]
            scores = [(query[b, h] * key).sum() / math.sqrt(D) for key in seen_keys]
            highest = max(score.item() for score in scores)
            exponentials = [torch.exp(score - highest) for score in scores]
            total = sum(exponentials)
            rows.append(sum(e / total * value for e, value in zip(exponentials, seen_values, strict=True)))
    return torch.stack(rows).view(B, H, D)


def min_p_logprobs(logits: Tensor, temperature: float, min_p: float) -> Tensor:
    """Exercise 8.2, one row at a time, with Python's numbers."""
    rows = []
    for row in logits.double().tolist():
        highest = max(row)
        weights = [math.exp((z - highest) / temperature) for z in row]  # of the most probable token: 1
        kept = [weight if weight >= min_p * max(weights) else 0.0 for weight in weights]
        rows.append([math.log(weight / sum(kept)) if weight > 0 else -math.inf for weight in kept])
    return torch.tensor(rows, dtype=logits.dtype)


def nucleus_size(logits: Tensor, temperature: float, top_p: float) -> int:
    """Exercise 8.3."""
    highest = float(logits.max())
    weights = [math.exp((z - highest) / temperature) for z in logits.double().tolist()]
    probabilities = sorted((weight / sum(weights) for weight in weights), reverse=True)
    taken, total = 0, 0.0
    while taken < len(probabilities) and total < top_p - 1e-9:
        total += probabilities[taken]
        taken += 1
    return max(1, taken)


def layout(lengths: Tensor, tokens: int, slots: int) -> tuple[Tensor, Tensor]:
    """Exercise 8.4."""
    positions = torch.zeros(len(lengths), tokens, dtype=torch.long)
    visible = torch.zeros(len(lengths), tokens, slots, dtype=torch.bool)
    for b in range(len(lengths)):
        for t in range(tokens):
            positions[b, t] = int(lengths[b]) + t
            for s in range(slots):
                visible[b, t, s] = s <= int(lengths[b]) + t
    return positions, visible
