"""Exercise 4.3, a bug hunt: the loss is too good.

    python -m tutorials.exercises.bugs.ch04_too_good      # three seconds: watch the loss
    python -m tutorials.exercises check 4.3

A small transformer, whole and working, learns to predict digits. The digits are random, so the best that any model can
do is to guess: a loss of ln 10 = 2.303 nats per digit. This one reaches far less. Nothing crashes, every shape is
right, the curve looks like the best run of your life. One idea in this file is wrong. Find it, and change at most three
lines.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

DIGITS, CONTEXT, CHANNELS, HEADS, LAYERS = 10, 8, 32, 4, 2
STEPS, BATCH, LEARNING_RATE = 240, 64, 3e-3


def attention(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Causal attention: queries, keys, values [B,H,T,D] -> [B,H,T,D]."""
    T, D = queries.shape[-2:]
    scores = queries @ keys.transpose(-2, -1) / math.sqrt(D)  # [B,H,T,T]
    visible = torch.tril(torch.ones(T, T, dtype=torch.bool, device=scores.device))  # [T,T]
    weights = torch.softmax(scores, dim=-1)  # [B,H,T,T]
    weights = weights.masked_fill(~visible, 0.0)  # [B,H,T,T]
    return weights @ values  # [B,H,T,D]


class Block(nn.Module):
    """Attention, then an MLP; both add to the residual stream."""

    def __init__(self) -> None:
        super().__init__()
        self.attention_norm, self.mlp_norm = nn.LayerNorm(CHANNELS), nn.LayerNorm(CHANNELS)
        self.qkv = nn.Linear(CHANNELS, 3 * CHANNELS, bias=False)
        self.projection = nn.Linear(CHANNELS, CHANNELS, bias=False)
        self.mlp = nn.Sequential(nn.Linear(CHANNELS, 4 * CHANNELS), nn.GELU(), nn.Linear(4 * CHANNELS, CHANNELS))

    def forward(self, x: Tensor) -> Tensor:
        B, T, C = x.shape
        qkv = self.qkv(self.attention_norm(x)).view(B, T, 3, HEADS, C // HEADS)  # [B,T,3,H,D]
        queries, keys, values = qkv.permute(2, 0, 3, 1, 4)  # [B,H,T,D] each
        mixed = attention(queries, keys, values).transpose(1, 2).reshape(B, T, C)  # [B,T,C]
        x = x + self.projection(mixed)  # [B,T,C]
        return x + self.mlp(self.mlp_norm(x))  # [B,T,C]


class Transformer(nn.Module):
    """Digits in, scores of the next digit out."""

    def __init__(self) -> None:
        super().__init__()
        self.digits, self.positions = nn.Embedding(DIGITS, CHANNELS), nn.Embedding(CONTEXT, CHANNELS)
        self.blocks = nn.Sequential(*(Block() for _ in range(LAYERS)))
        self.norm, self.unembedding = nn.LayerNorm(CHANNELS), nn.Linear(CHANNELS, DIGITS)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.digits(ids) + self.positions(torch.arange(ids.shape[1]))  # [B,T,C]
        return self.unembedding(self.norm(self.blocks(x)))  # [B,T,V]


def train(steps: int = STEPS) -> list[float]:
    """Train on new random digits in every step; the losses, one a step, in nats per digit."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Transformer()
        optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)
        losses = []
        for _ in range(steps):
            ids = torch.randint(0, DIGITS, (BATCH, CONTEXT + 1))  # [B,T+1]
            logits = model(ids[:, :-1])  # [B,T,V]
            loss = F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses


if __name__ == "__main__":
    print(f"step   loss      (a guess costs ln {DIGITS} = {math.log(DIGITS):.3f})")
    for step, loss in enumerate(train(), start=1):
        if step == 1 or step % 40 == 0:
            print(f"{step:4d}   {loss:.3f}")
