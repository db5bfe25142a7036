"""Exercise 5.3, a bug hunt: one head learns nothing, as it should; four heads learn what cannot be learned.

    python -m tutorials.exercises.bugs.ch05_four_heads      # some seconds: watch the two losses
    python -m tutorials.exercises check 5.3

A small transformer predicts digits that are random, so nobody can do better than guess: a loss of ln 10 = 2.303 nats
per digit. With one head that is what it reaches. With four heads, and as many parameters, it does better. The mask is
right, the softmax is right, all shapes are right. One idea in this file is wrong. Find it, and change at most three
lines.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

DIGITS, CONTEXT, CHANNELS = 10, 8, 32
STEPS, BATCH, LEARNING_RATE = 150, 64, 3e-3


def merge_heads(mixed: Tensor) -> Tensor:
    """The outputs of all heads, side by side in the row of their token: mixed [B,H,T,D] -> [B,T,C]."""
    B, H, T, D = mixed.shape
    rows = mixed.contiguous()  # [B,H,T,D]
    return rows.view(B, T, H * D)  # [B,T,C]


class Transformer(nn.Module):
    """Digits in, scores of the next digit out: one layer of attention and an MLP."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.digits, self.positions = nn.Embedding(DIGITS, CHANNELS), nn.Embedding(CONTEXT, CHANNELS)
        self.qkv = nn.Linear(CHANNELS, 3 * CHANNELS, bias=False)
        self.projection = nn.Linear(CHANNELS, CHANNELS, bias=False)
        self.mlp = nn.Sequential(nn.Linear(CHANNELS, 4 * CHANNELS), nn.GELU(), nn.Linear(4 * CHANNELS, CHANNELS))
        self.norm, self.scores = nn.LayerNorm(CHANNELS), nn.Linear(CHANNELS, DIGITS)

    def forward(self, ids: Tensor) -> Tensor:
        B, T = ids.shape
        x = self.digits(ids) + self.positions(torch.arange(T))  # [B,T,C]
        qkv = self.qkv(x).view(B, T, 3, self.heads, CHANNELS // self.heads)  # [B,T,3,H,D]
        queries, keys, values = qkv.permute(2, 0, 3, 1, 4)  # [B,H,T,D] each
        mixed = F.scaled_dot_product_attention(queries, keys, values, is_causal=True)  # [B,H,T,D]
        x = x + self.projection(merge_heads(mixed))  # [B,T,C]
        return self.scores(self.norm(x + self.mlp(x)))  # [B,T,V]


def train(heads: int, steps: int = STEPS) -> list[float]:
    """The losses of training on new random digits in every step, in nats per digit."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Transformer(heads)
        optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)
        losses = []
        for _ in range(steps):
            ids = torch.randint(0, DIGITS, (BATCH, CONTEXT + 1))  # [B,T+1]
            loss = F.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses


if __name__ == "__main__":
    one, four = train(1), train(4)
    print(f"step   1 head   4 heads      (a guess costs ln {DIGITS} = {math.log(DIGITS):.3f})")
    for step in range(STEPS // 5, STEPS + 1, STEPS // 5):
        print(f"{step:4d}{one[step - 1]:9.3f}{four[step - 1]:10.3f}")
