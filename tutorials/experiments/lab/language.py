"""Language models on the toy world's documents: their text, training and losses (language_models, positions)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minigpt.data import TokenStream, encode_documents
from minigpt.tokenizer import Tokenizer
from minigpt.toyworld import documents

TOKENIZER_DOCUMENTS = 1000  # the first ones, which the merges are learned from
WARMUP, FINAL = 20, 0.1  # steps; the last rate as a share of the peak
AT_ONCE = 50  # windows of a forward pass that measures
BIN = 16  # places whose losses are averaged


@dataclass(frozen=True)
class Text:
    """Tokens to learn from [N], and windows [W,T+1] of documents that were drawn from another seed."""

    learned: np.ndarray
    held_out: Tensor


def toy_text(count: int, vocab_size: int, length: int, windows: int, seed: int) -> Text:
    """`count` documents to learn from, and `windows` held-out windows with `length` targets each. Raises ValueError if
    a tenth as many other documents hold fewer."""
    learned, others = documents(count, seed), documents(max(count // 10, 1), 1_000_000 + seed)
    tokenizer = Tokenizer.train(learned[:TOKENIZER_DOCUMENTS], vocab_size)
    stream, rest = (np.concatenate(list(encode_documents(tokenizer, texts))) for texts in (learned, others))
    held_out = torch.from_numpy(rest.astype(np.int64)).unfold(0, length + 1, length)  # [W,T+1]
    if len(held_out) < windows:
        raise ValueError(f"{windows} windows of {length} tokens are wanted and there are {len(held_out)}")
    return Text(stream, held_out[:windows])


def train_network(model: nn.Module, stream: TokenStream, rate: float, steps: int) -> None:
    """AdamW on all weights with warm-up, half a cosine and clipping; in place. The model is left ready to measure."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.95), weight_decay=0.1)
    for step in range(steps):
        falling = FINAL + (1 - FINAL) * (1 + math.cos(math.pi * step / steps)) / 2
        optimizer.param_groups[0]["lr"] = rate * min((step + 1) / WARMUP, falling)
        inputs, targets = stream.batch(step)  # [B,T] each
        loss = F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    model.eval()


@torch.no_grad()
def losses_of(model: nn.Module, windows: Tensor) -> Tensor:
    """Nats of every target of windows [W,T+1]: [W,T]."""
    parts = []
    for part in windows.split(AT_ONCE):
        logits = model(part[:, :-1])  # [W,T,V]
        parts.append(F.cross_entropy(logits.transpose(1, 2), part[:, 1:], reduction="none"))  # [W,T]
    return torch.cat(parts)


def by_bins(losses: Tensor) -> list[list[float]]:
    """Losses [W,T] -> for each bin of places the mean of each window, rounded."""
    return [[round(value, 5) for value in part.mean(dim=1).tolist()] for part in losses.split(BIN, dim=1)]
