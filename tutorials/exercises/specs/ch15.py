"""Chapter 15 in plain loops: the losses pair by pair, the score row by row."""

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor


def pairs_of(ranks: list[int], group: list[int], prompt: int) -> list[tuple[int, int]]:
    """(winner, loser) for every two answers to one prompt whose ranks differ."""
    answers = [n for n in range(len(ranks)) if group[n] == prompt]
    return [(w, l) for w, l in itertools.permutations(answers, 2) if ranks[w] < ranks[l]]


def kwise_loss(scores: Tensor, ranks: Tensor, group: Tensor) -> Tensor:
    """Exercise 15.1."""
    total = torch.zeros((), dtype=scores.dtype)
    for prompt in sorted(set(group.tolist())):
        pairs = pairs_of(ranks.tolist(), group.tolist(), prompt)
        for winner, loser in pairs:
            total = total - F.logsigmoid(scores[winner] - scores[loser]) / len(pairs)
    return total


def last_token_scores(hidden: Tensor, lengths: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Exercise 15.2."""
    scores = []
    for row, length in enumerate(lengths.tolist()):
        total = bias[0]
        for channel in range(hidden.shape[2]):
            total = total + weight[0, channel] * hidden[row, length - 1, channel]
        scores.append(total)
    return torch.stack(scores)


def answers_read(answer_counts: list[int], grouped: bool) -> int:
    """Exercise 15.3: count them one by one."""
    read = 0
    for k in answer_counts:
        if grouped:
            read += len(range(k))
        else:
            for pair in itertools.combinations(range(k), 2):
                read += len(pair)
    return read


def kwise_loss_with_ties(scores: Tensor, ranks: Tensor, group: Tensor) -> Tensor:
    """Exercise 15.4."""
    total = torch.zeros((), dtype=scores.dtype)
    for prompt in sorted(set(group.tolist())):
        answers = [n for n in range(len(scores)) if group[n] == prompt]
        pairs = list(itertools.combinations(answers, 2))
        for i, j in pairs:
            wins = 1.0 if ranks[i] < ranks[j] else 0.0 if ranks[i] > ranks[j] else 0.5
            pair = -wins * F.logsigmoid(scores[i] - scores[j]) - (1 - wins) * F.logsigmoid(scores[j] - scores[i])
            total = total + pair / len(pairs)
    return total
