"""Exercise 6.4, a bug hunt: it will not remember.

    python -m tutorials.exercises.bugs.ch06_it_forgets      # five seconds: the loss, for three widths
    python -m tutorials.exercises check 6.4

A network learns 48 facts by heart: who is whose friend, boss, doctor and teacher. Each person has four answers, one for
each question. The loss goes down to 1.24 nats, little below ln 4 = 1.386, and stays there: the network knows the four
people, and hardly which question was asked. Your classmate makes the MLP wider, and wider. Nothing changes. One idea in
this file is wrong. Find it, and change at most three lines.
"""

import math
import random

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PEOPLE, QUESTIONS, CHANNELS, STEPS, LEARNING_RATE = 12, 4, 32, 200, 0.01


def feed_forward(x: Tensor, up: Tensor, down: Tensor) -> Tensor:
    """The MLP of a block: x [B,C], up [M,C], down [C,M] -> [B,C]; exact GELU, no biases."""
    hidden = x @ up.T  # [B,M]
    # SOLUTION
    hidden = F.gelu(hidden)  # [B,M]
    # STUB
    # F.gelu(hidden)  # [B,M]
    # END SOLUTION
    return hidden @ down.T  # [B,C]


class Memory(nn.Module):
    """A person and a question in, scores of all people out."""

    def __init__(self, neurons: int) -> None:
        super().__init__()
        self.people, self.questions = nn.Embedding(PEOPLE, CHANNELS), nn.Embedding(QUESTIONS, CHANNELS)
        self.up = nn.Parameter(torch.randn(neurons, CHANNELS) / math.sqrt(CHANNELS))
        self.down = nn.Parameter(torch.randn(CHANNELS, neurons) / math.sqrt(neurons))
        self.answer = nn.Linear(CHANNELS, PEOPLE)

    def forward(self, person: Tensor, question: Tensor) -> Tensor:
        x = self.people(person) + self.questions(question)  # [B,C]
        return self.answer(x + feed_forward(x, self.up, self.down))  # [B,V]


def train(neurons: int, steps: int = STEPS) -> list[float]:
    """Learns all facts in every step; the losses, one a step, in nats a fact."""
    drawn = random.Random(0)
    answers = torch.tensor([drawn.sample(range(PEOPLE), PEOPLE) for _ in range(QUESTIONS)])  # [QUESTIONS,PEOPLE]
    question, person = torch.cartesian_prod(torch.arange(QUESTIONS), torch.arange(PEOPLE)).T  # [B] each
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Memory(neurons)
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    losses = []
    for _ in range(steps):
        loss = F.cross_entropy(model(person, question), answers.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


if __name__ == "__main__":
    print(f"neurons   loss      (to guess among a person's four answers costs ln 4 = {math.log(4):.3f})")
    for neurons in (64, 256, 1024):
        print(f"{neurons:7d}   {train(neurons)[-1]:.3f}")
