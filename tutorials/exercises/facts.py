"""A world of 48 facts, in which chapter 06 builds its transformers: who is whose friend, boss, doctor, teacher.

A text has two tokens, a person and a question: "Ada boss". The model answers with a person, after the second token.
The person alone leaves four answers, and the question all twelve, as every person is its answer exactly once.
"""

from __future__ import annotations

import random

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minigpt.model import GPT, GPTConfig

PEOPLE = ["Ada", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gita", "Hugo", "Ida", "Jon", "Kim", "Leo"]
QUESTIONS = ["friend", "boss", "doctor", "teacher"]
WORDS = PEOPLE + QUESTIONS


def make_facts() -> tuple[Tensor, Tensor]:
    """The texts [48,2] and their answers [48], as ids; the same at every call."""
    drawn, texts, answers = random.Random(0), [], []
    for question in range(len(PEOPLE), len(WORDS)):
        others = drawn.sample(range(len(PEOPLE)), len(PEOPLE))
        texts += [[person, question] for person in range(len(PEOPLE))]
        answers += others
    return torch.tensor(texts), torch.tensor(answers)


TEXTS, ANSWERS = make_facts()  # [48,2], [48]


def small_gpt(layers: int) -> GPT:
    """An untrained GPT for these facts: 32 channels, 4 heads, learned positions, biases."""
    shape = GPTConfig(vocab_size=16, context=2, layers=layers, heads=4, channels=32, position="learned", bias=True)
    return GPT(shape, seed=0)


def fit(model: nn.Module, steps: int = 120, rate: float = 0.003) -> float:
    """Trains the model on all facts in every step; the last loss, in nats an answer."""
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    for _ in range(steps):
        loss = F.cross_entropy(model(TEXTS)[:, -1], ANSWERS)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()


@torch.no_grad()
def right(model: nn.Module) -> float:
    """The share of the facts that the model answers rightly: its most probable word is the answer."""
    return (model(TEXTS)[:, -1].argmax(dim=-1) == ANSWERS).float().mean().item()
