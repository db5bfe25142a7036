"""Exercise 7.4, a bug hunt: another split, another model.

    python -m tutorials.exercises.bugs.ch07_another_split      # five seconds: what is learned, for four splits
    python -m tutorials.exercises check 7.4

A small model learns what people answer: mostly "no", rarely a whole sentence. The lab's machine computes all eight
lines at once. Your classmate's laptop has less memory, and computes one line at a time: the same eight lines in each
step, the same rate, as many steps. But its loss ends higher, and its model says "no" more often. One idea in this file
is wrong. Find it, and change at most three lines.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

LINES = ["no", "no", "no", "no", "ok", "yes", "not before the rain is over", "nobody here can tell you where it is"]
END, NO_TARGET = 0, -1
LETTERS = " abcdefghijklmnopqrstuvwxyz"
V, STEPS, LEARNING_RATE = len(LETTERS) + 1, 200, 20.0


def as_batch(lines: list[str]) -> tuple[Tensor, Tensor]:
    """Inputs [B,T] and targets [B,T]: each line from its beginning to its end, padded where there is no target."""
    rows = [[END, *(LETTERS.index(letter) + 1 for letter in line), END] for line in lines]
    longest = max(map(len, rows)) - 1
    inputs = torch.full((len(rows), longest), END)
    targets = torch.full((len(rows), longest), NO_TARGET)
    for number, row in enumerate(rows):
        inputs[number, : len(row) - 1] = torch.tensor(row[:-1])
        targets[number, : len(row) - 1] = torch.tensor(row[1:])
    return inputs, targets


def gradient_in_parts(table: Tensor, parts: list[tuple[Tensor, Tensor]]) -> Tensor:
    """The gradient [V,V] of the mean loss of all targets of a batch, whose parts are computed one after the other.

    table [V,V]: the scores of the next token, after each token. A part is inputs [B,T] and targets [B,T]; a target of
    −1 is none.
    """
    table = table.detach().clone().requires_grad_()
    # SOLUTION
    total = sum(int((wanted != NO_TARGET).sum()) for _, wanted in parts)
    # STUB
    # total = len(parts)
    # END SOLUTION
    for tokens, wanted in parts:
        scores = table[tokens].flatten(0, 1)  # [B·T,V]
        # SOLUTION
        loss = F.cross_entropy(scores, wanted.flatten(), ignore_index=NO_TARGET, reduction="sum")
        # STUB
        # loss = F.cross_entropy(scores, wanted.flatten(), ignore_index=NO_TARGET)
        # END SOLUTION
        (loss / total).backward()
    return table.grad


def train(rows: int, steps: int = STEPS) -> Tensor:
    """A table [V,V] that was trained on all lines in every step, `rows` of them at a time."""
    parts = [as_batch(LINES[first : first + rows]) for first in range(0, len(LINES), rows)]
    table = torch.zeros(V, V)
    for _ in range(steps):
        table = table - LEARNING_RATE * gradient_in_parts(table, parts)
    return table


def measure(table: Tensor) -> tuple[float, float]:
    """The mean loss of all targets, in nats, and the probability of the answer "no"."""
    inputs, targets = as_batch(LINES)
    loss = F.cross_entropy(table[inputs].flatten(0, 1), targets.flatten(), ignore_index=NO_TARGET).item()
    tokens, wanted = as_batch(["no"])
    return loss, math.exp(table[tokens].log_softmax(-1).gather(2, wanted[:, :, None]).sum().item())


if __name__ == "__main__":
    print("lines at a time     loss     probability of “no”")
    for rows in (8, 4, 2, 1):
        loss, probability = measure(train(rows))
        print(f"{rows:15d}   {loss:6.3f}   {probability:21.3f}")
