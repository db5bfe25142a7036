"""Chapter 03 in plain loops: positions, one number at a time."""

import math

import torch
from torch import Tensor


def sinusoids(positions: Tensor, channels: int, base: float = 10000.0) -> Tensor:
    """Exercise 3.1, in double precision and rounded at the end."""
    table = torch.zeros(len(positions), channels)
    for t, position in enumerate(positions.tolist()):
        for i in range(channels // 2):
            angle = position / base ** (2 * i / channels)
            table[t, 2 * i] = math.sin(angle)
            table[t, 2 * i + 1] = math.cos(angle)
    return table  # [T,C]


def rotate_neighbours(x: Tensor, positions: Tensor, base: float) -> Tensor:
    """Exercise 3.2: each pair of each token, turned by its own angle."""
    D = x.shape[-1]
    columns = []
    for i in range(D // 2):
        rows = []
        for t, position in enumerate(positions.tolist()):
            angle = position * base ** (-2 * i / D)
            first, second = x[:, :, t, 2 * i], x[:, :, t, 2 * i + 1]  # [B,H] each
            rows.append(
                torch.stack(
                    (first * math.cos(angle) - second * math.sin(angle),
                     first * math.sin(angle) + second * math.cos(angle)),
                    dim=-1,
                )
            )  # fmt: skip
        columns.append(torch.stack(rows, dim=2))  # [B,H,T,2]
    return torch.cat(columns, dim=-1)  # [B,H,T,D]


def kept_score(distance: int, head_size: int, base: float) -> float:
    """Exercise 3.3, by turning two vectors and multiplying them."""
    x = torch.ones(1, 1, 2, head_size, dtype=torch.float64)
    turned = rotate_neighbours(x, torch.tensor([0, distance]), base)[0, 0]  # [2,D]: the key, then the query
    return float(turned[0] @ turned[1]) / head_size


def positions_of(mask: Tensor) -> Tensor:
    """Exercise 3.4: for each token, how many real tokens of its row stand before it. What padding gets is all the same,
    as long as it is a place that exists; here it is 0."""
    places = torch.zeros(mask.shape, dtype=torch.int64)
    for b in range(mask.shape[0]):
        count = 0
        for t in range(mask.shape[1]):
            if mask[b, t]:
                places[b, t] = count
                count += 1
    return places  # [B,T]
