"""Chapter 18 in plain loops: one answer, one token, one score at a time."""

import torch
from torch import Tensor


def answer_logprobs(logits: Tensor, ids: Tensor, prompt_lengths: Tensor, lengths: Tensor, temperature: float) -> Tensor:
    """Exercise 18.1: the token at place i of a row is predicted in column i − 1."""
    rows = []
    for b in range(len(ids)):
        row = [logits.new_zeros(()) for _ in range(logits.shape[1])]
        begins = int(prompt_lengths[b])
        for place in range(begins, begins + int(lengths[b])):
            distribution = (logits[b, place - 1] / temperature).log_softmax(0)  # [V]
            row[place - 1] = distribution[ids[b, place]]
        rows.append(torch.stack(row))
    return torch.stack(rows)


def remember(scores: list[float]) -> Tensor:
    """Exercise 18.2: from all scores at once, in double precision."""
    mean = sum(scores) / len(scores)
    variance = sum((score - mean) ** 2 for score in scores) / len(scores)
    return torch.tensor([len(scores), mean, variance])


def first_alarm(curve: Tensor, healthy: Tensor, patience: int) -> int:
    """Exercise 18.3."""
    values, runs = curve.tolist(), healthy.tolist()
    outside = []
    for t, value in enumerate(values):
        seen = [run[t] for run in runs]
        outside.append(value < min(seen) or value > max(seen))
    for t in range(patience - 1, len(values)):
        if all(outside[t - patience + 1 : t + 1]):
            return t + 1
    return 0


def update(logits: Tensor, drawn: Tensor, scores: Tensor, steps: int, clip: float = 0.2, rate: float = 1.0) -> Tensor:
    """Exercise 18.4, without autograd: the gradient by ρ·A, written out, where the clip leaves it."""
    start = logits.log_softmax(-1).gather(1, drawn)  # [B,K]
    advantages = scores - scores.mean(dim=1, keepdim=True)  # [B,K]
    V, K = logits.shape[1], drawn.shape[1]
    for _ in range(steps):
        p = logits.softmax(-1)  # [B,V]
        ratio = (logits.log_softmax(-1).gather(1, drawn) - start).exp()  # [B,K]
        too_far = ((advantages > 0) & (ratio > 1 + clip)) | ((advantages < 0) & (ratio < 1 - clip))  # [B,K]
        weight = (ratio * advantages).masked_fill(too_far, 0.0)  # [B,K]
        directions = torch.eye(V, dtype=p.dtype)[drawn] - p[:, None]  # [B,K,V]
        logits = logits + rate * (weight[:, :, None] * directions).sum(1) / K
    return logits
