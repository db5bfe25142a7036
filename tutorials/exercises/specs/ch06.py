"""Chapter 06 in plain loops: norms, the MLP and blocks, one token at a time."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

Attention = Callable[[Tensor], Tensor]  # [B,T,C] -> [B,T,C]


def rms_norm(token: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """One token [C], its channels scaled to a mean square of 1, each then by its weight."""
    mean_square = sum(channel * channel for channel in token) / len(token)
    size = torch.sqrt(mean_square + epsilon)
    return torch.stack([channel / size * w for channel, w in zip(token, weight, strict=True)])


def gelu(z: Tensor) -> Tensor:
    """z times the probability that a standard normal number is below z."""
    return z * (1 + torch.erf(z / math.sqrt(2))) / 2


def mlp(token: Tensor, up: Tensor, down: Tensor) -> Tensor:
    """One token [C]: each neuron compares it with its row of `up`, and adds its column of `down` by as much."""
    result = torch.zeros_like(token)
    for neuron in range(len(up)):
        strength = gelu((up[neuron] * token).sum())
        result = result + strength * down[:, neuron]
    return result


def for_each_token(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """`function` on every token of every sequence, each alone: [B,T,C] -> [B,T,C]."""
    rows = [torch.stack([function(token) for token in sequence]) for sequence in x]
    return torch.stack(rows)


def block(
    x: Tensor, attention: Attention, attention_norm: Tensor, mlp_norm: Tensor, up: Tensor, down: Tensor, epsilon: float
) -> Tensor:
    """Exercise 6.1."""
    x = x + attention(for_each_token(lambda token: rms_norm(token, attention_norm, epsilon), x))  # [B,T,C]
    return x + for_each_token(lambda token: mlp(rms_norm(token, mlp_norm, epsilon), up, down), x)  # [B,T,C]


def parallel_block(x: Tensor, attention: Attention, norm: Tensor, up: Tensor, down: Tensor, epsilon: float) -> Tensor:
    """Exercise 6.2."""
    read = for_each_token(lambda token: rms_norm(token, norm, epsilon), x)  # [B,T,C]
    return x + attention(read) + for_each_token(lambda token: mlp(token, up, down), read)  # [B,T,C]


def share_of(
    part: str,
    vocab_size: int,
    layers: int,
    channels: int,
    kv_channels: int,
    hidden: int,
    mlp_matrices: int,
    tied: bool,
) -> float:
    """Exercise 6.3: every matrix is written down with its part, and its numbers are counted."""
    matrices = [("embedding", vocab_size, channels)]
    if not tied:
        matrices.append(("embedding", channels, vocab_size))  # the output matrix
    for _ in range(layers):
        matrices.append(("attention", channels, channels))  # queries
        matrices.append(("attention", channels, kv_channels))  # keys
        matrices.append(("attention", channels, kv_channels))  # values
        matrices.append(("attention", channels, channels))  # projection
        matrices += [("mlp", channels, hidden)] * mlp_matrices
    total = sum(rows * columns for _, rows, columns in matrices)
    return sum(rows * columns for name, rows, columns in matrices if name == part) / total


def feed_forward(x: Tensor, up: Tensor, down: Tensor) -> Tensor:
    """Exercise 6.4: x [B,C]."""
    return torch.stack([mlp(token, up, down) for token in x])
