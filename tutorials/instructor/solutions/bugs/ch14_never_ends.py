"""Exercise 14.4, a bug hunt: the answers that never end.

    python -m tutorials.exercises.bugs.ch14_never_ends      # five seconds: the answers of a model that has learned
    python -m tutorials.exercises check 14.4

Stage 1, whole and working, in a small world: the prompt is a number, and the answer counts from it down to 1. As in
GPT-2, the vocabulary has no token for padding, so the token that ends an answer is used for that too. The loss falls to
nearly nothing, and the model counts as it should. But no answer ends where it should. One idea in this file is wrong.
Find it, and change at most three lines.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from minigpt.model import GPT, GPTConfig

END, ASK, LARGEST = 0, 10, 9  # token ids: the end of an answer, "count down from", and the numbers 1 … 9 in between
PAD, IGNORE = END, -100
STEPS, ROWS, LEARNING_RATE, LONGEST = 150, 16, 1e-2, 14


def collate(numbers: list[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Rows `ASK n  n … 2 1 END`: ids [B,T], padded on the right, and the lengths [B] of each prompt and each row."""
    rows = [[ASK, n, *range(n, 0, -1), END] for n in numbers]
    lengths = torch.tensor([len(row) for row in rows])  # [B]
    ids = torch.full((len(rows), int(lengths.max())), PAD)  # [B,T]
    for b, row in enumerate(rows):
        ids[b, : len(row)] = torch.tensor(row)
    return ids, torch.full_like(lengths, 2), lengths


def targets_of(ids: Tensor, prompt_lengths: Tensor, lengths: Tensor) -> Tensor:
    """What the model is to say after each of ids[:, :-1]: the response, and IGNORE elsewhere: [B,T-1]."""
    targets = ids[:, 1:].clone()  # [B,T-1]
    column = torch.arange(1, ids.shape[1])  # [T-1], of the token that is predicted
    of_prompt = column < prompt_lengths[:, None]  # [B,T-1]
    # SOLUTION
    padding = column >= lengths[:, None]  # [B,T-1]
    # STUB
    # padding = targets == PAD  # [B,T-1]
    # END SOLUTION
    return targets.masked_fill(of_prompt | padding, IGNORE)


def train(steps: int = STEPS) -> tuple[GPT, list[float]]:
    """A model that has learned to count down, and its loss at each step."""
    generator = torch.Generator().manual_seed(0)
    model = GPT(GPTConfig(vocab_size=ASK + 1, context=16, layers=1, heads=2, channels=32), seed=0)
    optimizer, losses = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE), []
    for _ in range(steps):
        ids, prompt_lengths, lengths = collate(torch.randint(1, LARGEST + 1, (ROWS,), generator=generator).tolist())
        targets = targets_of(ids, prompt_lengths, lengths)  # [B,T-1]
        logits = model(ids[:, :-1])  # [B,T-1,V]
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORE)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return model, losses


@torch.no_grad()
def answer(model: GPT, number: int) -> list[int]:
    """The most probable answer to a number, until it ends, or LONGEST tokens of it."""
    ids = [ASK, number]
    while len(ids) < 2 + LONGEST:
        ids.append(int(model(torch.tensor([ids]))[0, -1].argmax()))
        if ids[-1] == END:
            break
    return ids[2:]


if __name__ == "__main__":
    model, losses = train()
    print(f"loss {losses[0]:.2f} at the first step, {losses[-1]:.2f} at the last")
    for number in (3, 6):
        print(f"count down from {number}: {' '.join(map(str, answer(model, number)))}")
