"""`plug` for chapter 00."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from minigpt.model import GPT, GPTConfig
from tutorials.exercises.plugs.common import student_function
from tutorials.exercises.registry import Exercise


def compare_with_an_untrained_model(exercise: Exercise) -> None:
    """The guess, and what a GPT with fresh weights costs on random text."""
    guess = student_function(exercise)
    for vocab_size in (64, 1024):
        model = GPT(GPTConfig(vocab_size=vocab_size, context=64, layers=2, heads=2, channels=64), seed=0).eval()
        ids = torch.randint(0, vocab_size, (32, 64), generator=torch.Generator().manual_seed(0))  # [B,T]
        with torch.no_grad():
            loss = F.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten()).item()
        print(f"{vocab_size:5d} tokens: your guess {guess(vocab_size):.3f} nats, an untrained GPT {loss:.3f} nats")


PLUGS = {"0.1": compare_with_an_untrained_model}
