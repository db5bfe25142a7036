"""Sentences about animals, fruit and traffic, and a small GPT that reads them: chapter 03 looks at its vectors.

before, after = learn_words()           # the vector of each word, before training and after it
neighbours(after, "cow")                # the other nouns with their cosines, the nearest first
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from minigpt.model import GPT, GPTConfig

FACTS = {
    "eats grass": "cow goat sheep horse",
    "gives milk": "cow goat sheep",
    "lives on a farm": "cow goat sheep horse hen duck",
    "lays eggs": "hen duck",
    "eats grain": "hen duck",
    "swims": "duck frog fish",
    "lives in a pond": "frog fish",
    "hangs on a tree": "apple pear plum",
    "tastes sweet": "apple pear plum cake",
    "has four wheels": "car bus",
    "needs a driver": "car bus train",
    "runs on rails": "train",
}
NOUNS = tuple(dict.fromkeys(noun for nouns in FACTS.values() for noun in nouns.split()))
SENTENCES = tuple(f"The {noun} {fact} .".split() for fact, nouns in FACTS.items() for noun in nouns.split())
WORDS = tuple(dict.fromkeys(word for sentence in SENTENCES for word in sentence))
LONGEST = max(map(len, SENTENCES))


def learn_words(steps: int = 100) -> tuple[Tensor, Tensor]:
    """The embedding table [V,C] of a small GPT before and after it has learned to predict the next word."""
    rows = [[WORDS.index(word) for word in sentence] for sentence in SENTENCES]
    ids = torch.tensor([row + row[-1:] * (LONGEST - len(row)) for row in rows])  # [B,T], filled up with full stops
    shape = GPTConfig(len(WORDS), context=LONGEST, layers=1, heads=2, channels=32, position="learned")
    model = GPT(shape, seed=0)
    before = model.token_embedding.weight.detach().clone()  # [V,C]
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(steps):
        loss = F.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return before, model.token_embedding.weight.detach()


def neighbours(table: Tensor, noun: str) -> list[tuple[str, float]]:
    """The other nouns with the cosine of their vectors and that of `noun`, the largest first."""
    own = table[WORDS.index(noun)]  # [C]
    others = [other for other in NOUNS if other != noun]
    cosines = [float(F.cosine_similarity(own, table[WORDS.index(other)], dim=0)) for other in others]
    return sorted(zip(others, cosines, strict=True), key=lambda pair: -pair[1])
