"""Chapter 16 in plain loops: one answer, one token, one number at a time."""

import torch
from torch import Tensor


def reinforce_loss(logprobs: Tensor, scores: Tensor, baseline: float, mask: Tensor) -> Tensor:
    """Exercise 16.1."""
    total = logprobs.new_zeros(())
    for b in range(len(scores)):
        for n in range(logprobs.shape[1]):
            if mask[b, n]:
                total = total - (scores[b] - baseline) * logprobs[b, n]
    return total / len(scores)


def leave_one_out(scores: Tensor, group: Tensor) -> Tensor:
    """Exercise 16.2."""
    score, prompt, advantages = scores.tolist(), group.tolist(), []
    for b in range(len(score)):
        others = [score[i] for i in range(len(score)) if prompt[i] == prompt[b] and i != b]
        advantages.append(score[b] - sum(others) / len(others) if others else 0.0)
    return torch.tensor(advantages, dtype=scores.dtype)


def variance_of_estimate(probabilities: Tensor, rewards: Tensor, baseline: float) -> float:
    """Exercise 16.3: the mean first, then the squared distances from it."""
    V = len(rewards)
    p, r = probabilities.tolist(), rewards.tolist()

    def estimate(y: int) -> list[float]:
        return [(r[y] - baseline) * ((1.0 if k == y else 0.0) - p[k]) for k in range(V)]

    mean = [sum(p[y] * estimate(y)[k] for y in range(V)) for k in range(V)]
    return sum(p[y] * sum((g - m) ** 2 for g, m in zip(estimate(y), mean, strict=True)) for y in range(V))


def returns_of(rewards: Tensor) -> Tensor:
    """Exercise 16.4: what is still to come, from each token on."""
    returns = torch.zeros_like(rewards)
    for b in range(rewards.shape[0]):
        for n in range(rewards.shape[1]):
            for later in range(n, rewards.shape[1]):
                returns[b, n] += rewards[b, later]
    return returns
