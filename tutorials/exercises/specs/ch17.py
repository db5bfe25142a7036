"""Chapter 17 in plain loops: one answer, one token at a time; advantages as sums, without recursion."""

import math

import torch
from torch import Tensor


def advantages_of(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float) -> Tensor:
    """Exercise 17.1, as its definition: A_t = Σ (γλ)^l · δ_{t+l} to the answer's end."""
    advantages = torch.zeros_like(rewards)
    for b in range(rewards.shape[0]):
        N = int(mask[b].sum())
        r, v = rewards[b, :N].tolist(), [*values[b, :N].tolist(), 0.0]
        delta = [r[t] + gamma * v[t + 1] - v[t] for t in range(N)]
        for t in range(N):
            advantages[b, t] = sum((gamma * lam) ** (l - t) * delta[l] for l in range(t, N))
    return advantages


def clipped_loss(logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, mask: Tensor, clip: float) -> Tensor:
    """Exercise 17.2, by the two cases: what the ratio may earn is limited above for A > 0 and below for A < 0."""
    total, count = logprobs.new_zeros(()), 0
    for b in range(mask.shape[0]):
        for n in range(mask.shape[1]):
            if mask[b, n]:
                ratio, advantage = torch.exp(logprobs[b, n] - old_logprobs[b, n]), advantages[b, n]
                limit = (1 + clip if advantage >= 0 else 1 - clip) * advantage
                gain = ratio * advantage
                total, count = total - (gain if gain < limit else limit), count + 1
    return total / count


def exact_kl(logits: Tensor, ref_logits: Tensor, mask: Tensor) -> Tensor:
    """Exercise 17.3."""
    rows = []
    for b in range(mask.shape[0]):
        row = []
        for n in range(mask.shape[1]):
            total = logits.new_zeros(())
            if mask[b, n]:
                policy, reference = logits[b, n].log_softmax(0), ref_logits[b, n].log_softmax(0)
                for v in range(len(policy)):
                    if policy[v] > -math.inf:
                        total = total + policy[v].exp() * (policy[v] - reference[v])
            row.append(total)
        rows.append(torch.stack(row))
    return torch.stack(rows)


def spread_of_estimate(policy: Tensor, reference: Tensor, kind: str) -> float:
    """Exercise 17.4."""
    p, q = policy.tolist(), reference.tolist()
    estimates = []
    for mine, other in zip(p, q, strict=True):
        delta = math.log(mine) - math.log(other)
        estimates.append({"k1": delta, "k2": delta * delta / 2, "k3": math.exp(-delta) - 1 + delta}[kind])
    mean = sum(weight * k for weight, k in zip(p, estimates, strict=True))
    return math.sqrt(sum(weight * (k - mean) ** 2 for weight, k in zip(p, estimates, strict=True)))


def objective_gradient(policy: Tensor, reference: Tensor, scores: Tensor, beta: float) -> Tensor:
    """Exercise 17.5: the gradient of E[score] − β·KL(policy ‖ reference) by the logits of the policy: all [V]."""
    logits = policy.log().requires_grad_()
    now = logits.log_softmax(0)
    objective = (now.exp() * (scores - beta * (now - reference.log()))).sum()
    return torch.autograd.grad(objective, logits)[0]
