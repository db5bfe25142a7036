"""Exercise 8.4, a bug hunt: right alone, wrong beside a longer one.

    python -m tutorials.exercises.bugs.ch08_beside_a_longer_one      # two seconds: what two prompts become
    python -m tutorials.exercises check 8.4

A small transformer writes with a cache. Every row of the batch has a length of its own, and a prompt that is shorter
than the others is padded on the right. Alone, each prompt is continued as it is without a cache. Beside a longer one,
the short one is continued in another way: it depends on its neighbours. One idea in this file is wrong. Find it, and
change at most three lines.
"""

import math

import torch
from torch import Tensor

TOKENS, CHANNELS, HEADS, CONTEXT, NEW, PAD = 50, 32, 4, 24, 8, 0


def layout(lengths: Tensor, tokens: int, slots: int) -> tuple[Tensor, Tensor]:
    """Where the next `tokens` tokens of each row stand, and which slots they see.

    lengths [B], how many real tokens each row has -> positions [B,T], which are also their slots; and visible [B,T,S],
    True where token t of a row sees slot s: its own, and all before it in its own row.
    """
    positions = lengths[:, None] + torch.arange(tokens)  # [B,T]
    slot = torch.arange(slots)  # [S]
    visible = slot <= positions.amax(dim=0)[:, None]  # [T,S]
    return positions, visible.expand(len(lengths), tokens, slots)


class Writer:
    """One layer of attention with random weights and a cache. Rows [B] are texts side by side."""

    def __init__(self, rows: int) -> None:
        generator = torch.Generator().manual_seed(3)
        self.token, self.score = (torch.randn(TOKENS, CHANNELS, generator=generator) for _ in range(2))
        self.place = torch.randn(CONTEXT, CHANNELS, generator=generator)
        self.qkv = torch.randn(3, CHANNELS, CHANNELS, generator=generator) / math.sqrt(CHANNELS)
        self.lengths = torch.zeros(rows, dtype=torch.long)  # [B]
        self.keys, self.values = torch.zeros(2, rows, CONTEXT, CHANNELS)  # [B,S,C] each

    def read(self, ids: Tensor, real: Tensor) -> Tensor:
        """ids [B,T], of which the first real[b] of row b are no padding -> scores of the next token, [B,T,V]."""
        positions, visible = layout(self.lengths, ids.shape[1], CONTEXT)  # [B,T], [B,T,S]
        x = self.token[ids] + self.place[positions]  # [B,T,C]
        queries, keys, values = (x @ matrix for matrix in self.qkv)  # [B,T,C] each
        row = torch.arange(len(ids))[:, None]  # [B,1]
        self.keys[row, positions], self.values[row, positions] = keys, values
        scores = queries @ self.keys.transpose(1, 2) / math.sqrt(CHANNELS)  # [B,T,S]
        mixed = scores.masked_fill(~visible, -math.inf).softmax(dim=-1) @ self.values  # [B,T,C]
        self.lengths = self.lengths + real  # what is behind a row's length is padding: the next tokens overwrite it
        return (x + 2 * mixed) @ self.score.T  # [B,T,V]


def write(prompts: list[list[int]], new: int = NEW) -> list[list[int]]:
    """The most probable continuation of each prompt."""
    lengths = torch.tensor([len(prompt) for prompt in prompts])  # [B]
    ids = torch.tensor([prompt + [PAD] * (int(lengths.max()) - len(prompt)) for prompt in prompts])  # [B,T]
    writer = Writer(len(prompts))
    chosen = writer.read(ids, lengths)[torch.arange(len(ids)), lengths - 1].argmax(dim=-1)  # [B]
    written = [chosen]
    for _ in range(new - 1):
        chosen = writer.read(chosen[:, None], torch.ones_like(lengths))[:, 0].argmax(dim=-1)  # [B]
        written.append(chosen)
    return torch.stack(written, dim=1).tolist()


if __name__ == "__main__":
    short, long = [7, 3], [9, 4, 11, 30, 8, 2, 5, 6, 1]
    print("the short one, alone:                 ", write([short])[0])
    print("the short one, beside a longer one:   ", write([short, long])[0])
    print("the long one, alone:                  ", write([long])[0])
    print("the long one, beside the shorter one: ", write([short, long])[1])
