"""Chapter 14 in plain loops: one row, one token at a time."""

import torch
from torch import Tensor

IGNORE = -100


def sft_loss(logits: Tensor, ids: Tensor, prompt_lengths: Tensor, lengths: Tensor) -> Tensor:
    """Exercise 14.1."""
    total, count = logits.new_zeros(()), 0
    for b in range(ids.shape[0]):
        for place in range(int(prompt_lengths[b]), int(lengths[b])):
            total = total - logits[b, place - 1].log_softmax(0)[ids[b, place]]
            count += 1
    return total / count


def answers_as_targets(ids: Tensor, lengths: Tensor, assistant_id: int, end_id: int) -> Tensor:
    """Exercise 14.2."""
    targets = torch.full((ids.shape[0], ids.shape[1] - 1), IGNORE)
    for b in range(ids.shape[0]):
        answering = False
        for place in range(int(lengths[b])):
            token = int(ids[b, place])
            if answering:
                targets[b, place - 1] = token
            if token == assistant_id:
                answering = True
            if token == end_id:
                answering = False
    return targets


def imitated(lengths: Tensor, counts: Tensor, kind: str) -> Tensor:
    """Exercise 14.3: person by person, at the token where the answers part."""
    votes = [0.0] * len(lengths)
    for answer, people in enumerate(counts.tolist()):
        for _ in range(int(people)):
            votes[answer] += 1.0 if kind == "tokens" else 1.0 / float(lengths[answer])
    return torch.tensor([vote / sum(votes) for vote in votes])


def targets_of(ids: Tensor, prompt_lengths: Tensor, lengths: Tensor) -> Tensor:
    """Exercise 14.4."""
    targets = torch.full((ids.shape[0], ids.shape[1] - 1), IGNORE)
    for b in range(ids.shape[0]):
        for place in range(int(prompt_lengths[b]), int(lengths[b])):
            targets[b, place - 1] = ids[b, place]
    return targets
