"""Exercise 15.5, a bug hunt: the score that changes with its neighbours.

    python -m tutorials.exercises.bugs.ch15_reads_the_pad      # three seconds: one answer, scored twice
    python -m tutorials.exercises check 15.5

A small reward model, whole and working, learns which of two answers is better. It trains, its accuracy rises. Yet the
same answer gets one score when it stands alone and another when it stands beside a longer one. One idea in this file is
wrong. Find it, and change at most three lines.
"""

import math
import random

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minigpt.model import GPT, GPTConfig

PAD, WORDS = 0, 12  # token ids 1 … 11 are words; the larger the id of the last one, the better the answer
STEPS, PAIRS, LEARNING_RATE = 150, 16, 3e-3


class RewardModel(nn.Module):
    """A GPT trunk with a scalar head."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.trunk = GPT(GPTConfig(vocab_size=WORDS, context=16, layers=2, heads=2, channels=16), seed=seed)
        self.head = nn.Linear(16, 1)
        with torch.no_grad():
            self.head.weight.normal_(0.0, 1 / math.sqrt(17), generator=torch.Generator().manual_seed(seed))
            self.head.bias.zero_()

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """ids [B,T] padded on the right, lengths [B] -> scores [B]."""
        hidden = self.trunk.hidden(ids)  # [B,T,C]
        rows = torch.arange(ids.shape[0])  # [B]
        # SOLUTION
        last = lengths - 1  # [B]
        # STUB
        # last = lengths.clamp(max=ids.shape[1] - 1)  # [B]
        # END SOLUTION
        return self.head(hidden[rows, last]).squeeze(-1)  # [B]


def collate(answers: list[list[int]], pad: int = PAD) -> tuple[Tensor, Tensor]:
    """Answers of different lengths side by side: ids [B,T], padded on the right, and lengths [B]."""
    lengths = torch.tensor([len(answer) for answer in answers])  # [B]
    ids = torch.full((len(answers), int(lengths.max())), pad)  # [B,T]
    for row, answer in enumerate(answers):
        ids[row, : len(answer)] = torch.tensor(answer)
    return ids, lengths


def score_answers(answers: list[list[int]], pad: int = PAD, seed: int = 0) -> Tensor:
    """The scores [B] that a reward model with fresh weights gives to some answers in one batch."""
    model = RewardModel(seed).eval()
    with torch.no_grad():
        return model(*collate(answers, pad))


def train(steps: int = STEPS) -> tuple[RewardModel, list[float]]:
    """Learn from pairs of answers; the model, and the share of pairs that it put in order, one number a step."""
    rng, model = random.Random(0), RewardModel(seed=0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)
    accuracies = []
    for _ in range(steps):
        pairs = []
        for _ in range(PAIRS):
            worse, better = sorted(rng.sample(range(1, WORDS), 2))
            for last in (better, worse):  # each is some words, of which only the last one matters
                pairs.append([rng.randrange(1, WORDS) for _ in range(rng.randrange(1, 12))] + [last])
        scores = model(*collate(pairs)).view(PAIRS, 2)  # [pairs,2]: better, worse
        loss = F.softplus(scores[:, 1] - scores[:, 0]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        accuracies.append(float((scores[:, 0] > scores[:, 1]).float().mean()))
    return model, accuracies


if __name__ == "__main__":
    model, accuracies = train()
    first, last = sum(accuracies[:30]) / 30, sum(accuracies[-30:]) / 30
    print(f"pairs in order: {first:.2f} in the first 30 steps, {last:.2f} in the last 30")
    short, long = [3, 8, 5], [2, 9, 4, 4, 7, 1, 6]
    with torch.no_grad():
        alone, beside = model(*collate([short]))[0].item(), model(*collate([short, long]))[0].item()
    print(f"the score of {short}: {alone:.3f} alone, {beside:.3f} beside {long}")
