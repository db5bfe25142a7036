"""Chapter 07 in plain loops: one weight, one step and one target at a time."""

import math

import torch
from torch import Tensor


def adamw_step(
    state: Tensor, gradient: Tensor, step: int, rate: float, beta1: float, beta2: float, epsilon: float, decay: float
) -> Tensor:
    """Exercise 7.1."""
    new = torch.zeros_like(state)
    for i, slope in enumerate(gradient.tolist()):
        weight, first, second = state[:, i].tolist()
        first = beta1 * first + (1 - beta1) * slope
        second = beta2 * second + (1 - beta2) * slope * slope
        corrected_first = first / (1 - beta1**step)
        corrected_second = second / (1 - beta2**step)
        direction = corrected_first / (math.sqrt(corrected_second) + epsilon)
        new[:, i] = torch.tensor([weight - rate * direction - rate * decay * weight, first, second])
    return new


def warmup_stable_decay(step: int, steps: int, warmup: int, decay: int, final: float) -> float:
    """Exercise 7.2: a list of the whole run, first all ones, then its beginning, then its end."""
    factors = [1.0] * steps
    for number in range(min(warmup, steps)):
        factors[number] = (number + 1) / warmup
    for number in range(min(decay, steps)):  # counted from the end: 0 is the last step
        fallen = final + (1 - final) * number / decay
        factors[steps - 1 - number] = min(factors[steps - 1 - number], fallen)
    return factors[step]


def smoothed(losses: Tensor, beta: float) -> Tensor:
    """Exercise 7.3: every mean is computed anew, from all losses so far."""
    values, means = losses.tolist(), []
    for now in range(len(values)):
        weights = [beta ** (now - then) for then in range(now + 1)]
        means.append(sum(w * loss for w, loss in zip(weights, values, strict=False)) / sum(weights))
    return torch.tensor(means, dtype=losses.dtype)


def gradient_in_parts(table: Tensor, parts: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Exercise 7.4: each target pushes the scores of the token before it, by p − 1 at the target and by p elsewhere,
    divided by the number of all targets. In which part it stands does not matter."""
    pushes = torch.zeros_like(table)
    count = 0
    for inputs, targets in parts:
        for token, target in zip(inputs.flatten().tolist(), targets.flatten().tolist(), strict=True):
            if target == -1:
                continue
            count += 1
            pushes[token] += table[token].softmax(-1)
            pushes[token, target] -= 1
    return pushes / count
