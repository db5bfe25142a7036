"""The K-wise loss of a reward model, and the count of pairs in the right order.

Annotators rank K answers to one prompt. For every pair of them, the better one should score higher:

    L = −1/pairs · Σ over pairs (w better than l) of log σ(r_w − r_l)             InstructGPT, eq. 1

All pairs of a prompt are one batch element: K forward passes serve K·(K−1)/2 comparisons, and every answer is seen
once an epoch. The same pairs shuffled into one big data set show each answer K−1 times an epoch, and overfit
(InstructGPT, section 3.5).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def better_pairs(ranks: Tensor, group: Tensor) -> Tensor:
    """The pairs of which one answer is better: [N,N] bool, True at (w, l) where w has the better rank.

    ranks [N]: smaller is better. group [N]: the number of the prompt.

    Only answers to the same prompt are compared; a tie is no pair.
    """
    return (ranks[:, None] < ranks[None, :]) & (group[:, None] == group[None, :])  # [N,N]


def kwise_loss(scores: Tensor, ranks: Tensor, group: Tensor) -> Tensor:
    """Σ over prompts of the mean over the prompt's pairs of −log σ(r_w − r_l): scores, ranks, group [N] -> scalar.

    Divide by the number of prompts that have a pair. The weight 1/pairs makes a prompt with 9 answers count as much
    as one with 4; without it, 6 times as much. Ties are dropped and `pairs` counts what is left (InstructGPT, C.2).
    `group` numbers the prompts from 0; K may differ between them.
    """
    better = better_pairs(ranks, group)  # [N,N]
    pairs = torch.zeros(int(group.max()) + 1, device=scores.device, dtype=scores.dtype).index_add(
        0, group, better.sum(1).to(scores.dtype)
    )  # [P]
    weight = better / pairs[group].clamp(min=1)[:, None]  # [N,N]
    difference = scores[:, None] - scores[None, :]  # [N,N], r_w − r_l at (w, l)
    return (weight * F.softplus(-difference)).sum()  # softplus(−x) = −log σ(x), without the overflow


def right_pairs(scores: Tensor, better: Tensor) -> Tensor:
    """The number of pairs that the scores put in the right order; an equal score counts half."""
    difference = (scores[:, None] - scores[None, :])[better]  # [pairs]
    return (difference > 0).sum() + 0.5 * (difference == 0).sum()
