"""Sentences with four clues, and a reader of one layer that must name all four at its last token. For chapter 05.

reader = learn(heads=4)                    # trained on 300 batches of random sentences
right(reader)                              # the share of right answers to each question, [4], on 1,000 more
right(reader, silent=[2])                  # the same with head 2 silenced
looks(reader)                              # where the last token looks, [H,T], a mean over sentences
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minigpt.attention import attention_by_heads

NOUNS = ["monkey", "banana", "fox", "pear", "duck", "cake", "mouse", "plum", "goat", "fish", "bear", "egg"]
SENTENCE = ["The", "_", "gave", "the", "_", "the", "_", "near", "the", "_", "."]
CLUES = ("giver", "receiver", "gift", "near")
PLACES = [place for place, word in enumerate(SENTENCE) if word == "_"]
WORDS = [*NOUNS, *dict.fromkeys(word for word in SENTENCE if word != "_")]


def sentences(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Sentences with four different nouns, drawn at random: ids [B,T], and the nouns in the order of CLUES [B,4]."""
    nouns = torch.rand(count, len(NOUNS), generator=generator).argsort(dim=1)[:, : len(CLUES)]  # [B,4]
    row = [0 if word == "_" else WORDS.index(word) for word in SENTENCE]
    ids = torch.tensor(row).repeat(count, 1)  # [B,T]
    ids[:, PLACES] = nouns
    return ids, nouns


class Reader(nn.Module):
    """One layer of attention. Its last token answers four questions: who gave, to whom, what, and near what."""

    def __init__(self, heads: int, channels: int = 32) -> None:
        super().__init__()
        self.heads = heads
        self.word, self.place = nn.Embedding(len(WORDS), channels), nn.Embedding(len(SENTENCE), channels)
        self.to_qkv = nn.Linear(channels, 3 * channels, bias=False)
        self.projection = nn.Linear(channels, channels, bias=False)
        self.answers = nn.Linear(channels, len(CLUES) * len(NOUNS))
        for table in (self.word, self.place):
            nn.init.normal_(table.weight, std=0.05)

    def qkv(self, x: Tensor) -> Tensor:
        """x [B,T,C] -> queries, keys and values, [3,B,H,T,D]."""
        B, T, C = x.shape
        return self.to_qkv(x).view(B, T, 3, self.heads, C // self.heads).permute(2, 0, 3, 1, 4)

    def forward(self, ids: Tensor, silent: Sequence[int] = ()) -> Tensor:
        """ids [B,T] -> a score for each noun as the answer to each question, [B,4,12]. `silent` heads give zeros."""
        x = self.word(ids) + self.place.weight  # [B,T,C]
        mixed = attention_by_heads(*self.qkv(x))  # [B,H,T,D]
        sounding = torch.tensor([head not in silent for head in range(self.heads)])  # [H]
        mixed = mixed * sounding[:, None, None]  # [B,H,T,D]
        x = x + self.projection(mixed.transpose(1, 2).flatten(2))  # [B,T,C]
        return self.answers(x[:, -1]).view(len(ids), len(CLUES), len(NOUNS))


def learn(heads: int, steps: int = 300, seed: int = 0) -> Reader:
    """A reader that has learned from `steps` batches of 128 random sentences each."""
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        reader = Reader(heads)
    optimizer = torch.optim.Adam(reader.parameters(), lr=0.01)
    for _ in range(steps):
        ids, nouns = sentences(128, generator)
        loss = F.cross_entropy(reader(ids).flatten(0, 1), nouns.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return reader


@torch.no_grad()
def right(reader: Reader, silent: Sequence[int] = (), count: int = 1000) -> Tensor:
    """The share of right answers to each question, [4], on sentences drawn from another seed."""
    ids, nouns = sentences(count, torch.Generator().manual_seed(-1))
    return (reader(ids, silent).argmax(dim=-1) == nouns).float().mean(dim=0)


@torch.no_grad()
def looks(reader: Reader, count: int = 1000) -> Tensor:
    """The weights of the last token in each head, [H,T], a mean over sentences."""
    ids, _ = sentences(count, torch.Generator().manual_seed(-1))
    queries, keys, _ = reader.qkv(reader.word(ids) + reader.place.weight)  # [B,H,T,D] each
    scores = queries[:, :, -1:] @ keys.transpose(-2, -1) / math.sqrt(keys.shape[-1])  # [B,H,1,T]
    return scores.softmax(dim=-1).mean(dim=0)[:, 0]  # [H,T]
