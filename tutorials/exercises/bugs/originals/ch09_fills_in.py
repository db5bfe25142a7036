"""Exercise 9.4, a bug hunt: the loss of a BERT goes to zero, and it fills in nothing.

    python -m tutorials.exercises.bugs.ch09_fills_in      # ten seconds: the loss, and how much it fills in
    python -m tutorials.exercises check 9.4

Texts are palindromes of ten letters, abcdeedcba, so each letter stands there twice. Some are hidden, and a small
encoder must say which they were: mostly the other end of the text knows. Sometimes both of a pair are hidden, and then
a guess among ten letters costs ln 10; a loss of less than about 0.35 is not possible. The loss of this program goes to
0.00. And when one letter of a new text is hidden, it is never right. One idea in this file is wrong. Find it, and
change at most three lines.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LETTERS, HALF, CHANNELS, SHARE = 10, 5, 32, 0.15
MASK, IGNORE = LETTERS, -100  # the id of [MASK]; the target of a place that is not asked for


def hide(ids: Tensor, chosen: Tensor, mask_id: int, ignore: int) -> tuple[Tensor, Tensor]:
    """What the model reads, and what it must say: ids [B,T], chosen [B,T] bool -> inputs and targets [B,T].

    The inputs are the ids, with mask_id at the chosen places. The targets are the ids that stood at the chosen places,
    and `ignore` at all others.
    """
    inputs = ids
    inputs[chosen] = mask_id
    targets = ids.masked_fill(~chosen, ignore)  # [B,T]
    return inputs, targets


class Encoder(nn.Module):
    """One layer of attention without a mask, and one linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.letter, self.place = nn.Embedding(LETTERS + 1, CHANNELS), nn.Embedding(2 * HALF, CHANNELS)
        self.qkv = nn.Linear(CHANNELS, 3 * CHANNELS)
        self.answer = nn.Linear(CHANNELS, LETTERS + 1)

    def forward(self, ids: Tensor) -> Tensor:
        """ids [B,T] -> scores of each letter, and of [MASK], at each place [B,T,11]."""
        x = self.letter(ids) + self.place.weight  # [B,T,C]
        queries, keys, values = self.qkv(x).chunk(3, dim=-1)  # [B,T,C] each
        weights = (queries @ keys.transpose(1, 2) / math.sqrt(CHANNELS)).softmax(dim=-1)  # [B,T,T]
        return self.answer(x + weights @ values)


def palindromes(count: int, generator: torch.Generator) -> Tensor:
    """Random texts [B,T]."""
    half = torch.randint(LETTERS, (count, HALF), generator=generator)  # [B,T/2]
    return torch.cat([half, half.flip(1)], dim=1)


def train(steps: int = 400) -> tuple[float, float]:
    """The mean loss of the last 20 steps, and the share of right letters where one letter of a new text is hidden."""
    torch.manual_seed(0)
    encoder, generator = Encoder(), torch.Generator().manual_seed(0)
    optimizer, losses = torch.optim.Adam(encoder.parameters(), lr=0.01), []
    for _ in range(steps):
        ids = palindromes(128, generator)
        chosen = torch.rand(ids.shape, generator=generator) < SHARE  # [B,T]
        inputs, targets = hide(ids, chosen, MASK, IGNORE)
        loss = F.cross_entropy(encoder(inputs).flatten(0, 1), targets.flatten(), ignore_index=IGNORE)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    ids = palindromes(500, generator)
    rows, place = torch.arange(500), torch.randint(2 * HALF, (500,), generator=generator)  # [B] each
    hidden = ids.clone()
    hidden[rows, place] = MASK
    right = encoder(hidden)[rows, place].argmax(-1) == ids[rows, place]  # [B]
    return sum(losses[-20:]) / 20, float(right.float().mean())


if __name__ == "__main__":
    loss, share = train()
    print(f"loss {loss:.2f}, of the letters that are hidden alone {share:.2f} are filled in rightly")
