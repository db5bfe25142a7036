"""Chapter 09 in plain loops: cross-attention, a mask with an open source, and a word from its neighbours."""

import math

import torch
from torch import Tensor


def cross_attention(
    x: Tensor,
    memory: Tensor,
    real: Tensor,
    query_weight: Tensor,
    key_value_weight: Tensor,
    projection_weight: Tensor,
    heads: int,
) -> Tensor:
    """Exercise 9.1: for each row, head and token of x, a softmax over the real tokens of the memory."""
    B, T, C = x.shape
    D = C // heads
    outputs = []
    for b in range(B):
        visible = [s for s in range(memory.shape[1]) if real[b, s]]
        for t in range(T):
            query = query_weight @ x[b, t]  # [C]
            parts = []
            for h in range(heads):
                own = slice(h * D, (h + 1) * D)
                keys = [key_value_weight[:C][own] @ memory[b, s] for s in visible]  # [D] each
                values = [key_value_weight[C:][own] @ memory[b, s] for s in visible]  # [D] each
                scores = [query[own] @ key / math.sqrt(D) for key in keys]
                highest = max(score.item() for score in scores)
                weights = [torch.exp(score - highest) for score in scores]
                total = sum(weights)
                parts.append(sum(weight / total * value for weight, value in zip(weights, values, strict=True)))
            outputs.append(projection_weight @ torch.cat(parts))
    return torch.stack(outputs).view(B, T, C)


def prefix_mask(lengths: Tensor, tokens: int) -> Tensor:
    """Exercise 9.2."""
    visible = torch.zeros(len(lengths), tokens, tokens, dtype=torch.bool)
    for b, length in enumerate(lengths.tolist()):
        for t in range(tokens):
            for s in range(tokens):
                visible[b, t, s] = s < length or s <= t
    return visible


def nats_given(words: Tensor, before: bool, after: bool) -> float:
    """Exercise 9.3."""
    text = words.tolist()
    contexts = []
    for place in range(len(text)):
        left = text[place - 1] if before else None
        right = text[(place + 1) % len(text)] if after else None
        contexts.append((left, right))
    times: dict[object, int] = {}  # how often each context occurs, and each context with its word
    for context, word in zip(contexts, text, strict=True):
        times[context] = times.get(context, 0) + 1
        times[context, word] = times.get((context, word), 0) + 1
    costs = [-math.log(times[c, word] / times[c]) for c, word in zip(contexts, text, strict=True)]
    return sum(costs) / len(costs)


def hide(ids: Tensor, chosen: Tensor, mask_id: int, ignore: int) -> tuple[Tensor, Tensor]:
    """Exercise 9.4."""
    inputs, targets = torch.zeros_like(ids), torch.zeros_like(ids)
    for b in range(ids.shape[0]):
        for t in range(ids.shape[1]):
            inputs[b, t] = mask_id if chosen[b, t] else ids[b, t]
            targets[b, t] = ids[b, t] if chosen[b, t] else ignore
    return inputs, targets
