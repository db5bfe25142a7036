"""`plug` for chapter 08: a small trained model writes with the student's functions."""

from __future__ import annotations

import sys

import torch
from torch import Tensor

import minigpt.generate
import minigpt.model
from minigpt.attention import attention_fused
from minigpt.generate import generate
from tutorials.exercises.measure import NUCLEUS_P, NUCLEUS_TEMPERATURES, rare_words
from tutorials.exercises.plugs.common import installed, student_function, student_module
from tutorials.exercises.registry import Exercise
from tutorials.exercises.writing import OPENINGS
from tutorials.models import Trained, load_or_train


def written(base: Trained, tokens: int, **settings: object) -> list[str]:
    """What the model writes after each opening."""
    prompts = [base.tokenizer.encode(opening) for opening in OPENINGS]
    ids = generate(
        base.model, prompts, max_new_tokens=tokens, stop_tokens=[], pad_id=0,
        generator=torch.Generator().manual_seed(0), **settings,
    ).tokens  # fmt: skip
    return [base.tokenizer.decode(row) for row in ids.tolist()]


def print_texts(title: str, texts: list[str]) -> None:
    print(title)
    for opening, text in list(zip(OPENINGS, texts, strict=True))[:4]:
        print("   ", (opening + text).replace("\n", " ")[:100])


def write_with_a_cache(exercise: Exercise) -> None:
    """Every attention from the cache is the student's: the same texts."""
    function = student_function(exercise)

    def attention(
        queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None, dropout: float = 0.0
    ) -> Tensor:
        if mask is None or queries.shape[2] > 1:  # the prompts, which are read in one go
            return attention_fused(queries, keys, values, mask, dropout)
        lengths = mask[:, 0, 0].sum(dim=-1) - 1  # [B]: the new token stands in the last slot that is seen
        row = torch.arange(len(lengths))
        new_keys, new_values = keys[row, :, lengths], values[row, :, lengths]  # [B,H,D] each
        return function(queries[:, :, 0], new_keys, new_values, keys, values, lengths)[:, :, None]

    base = load_or_train("base")
    ours = written(base, 24, temperature=0)
    with installed(minigpt.model, "attention_fused", attention):
        yours = written(base, 24, temperature=0)
    print_texts("with yours:", yours)
    same = sum(mine == theirs for mine, theirs in zip(yours, ours, strict=True))
    print(f"{same} of {len(ours)} texts are those of the package, token by token")


def write_with_min_p(exercise: Exercise) -> None:
    """A high temperature, without a limit and with min-p."""
    function, base = student_function(exercise), load_or_train("base")
    print("the model writes at temperature 1.5 …", file=sys.stderr)
    print_texts("temperature 1.5:", written(base, 24, temperature=1.5))

    def limited(logits: Tensor, temperature: float, top_k: int = 0, top_p: float = 1.0) -> Tensor:
        return function(logits.float(), temperature, 0.1)

    with installed(minigpt.generate, "sampling_logprobs", limited):
        print_texts("the same with min_p = 0.1:", written(base, 24, temperature=1.5))


def measure_the_nucleus(exercise: Exercise) -> None:
    """How many of 2,000 tokens are left, for three temperatures."""
    size = student_function(exercise)
    print(f"of {len(rare_words())} tokens, top-p {NUCLEUS_P} leaves")
    for name, temperature in NUCLEUS_TEMPERATURES.items():
        print(f"    size_{name:5} {size(rare_words(), temperature, NUCLEUS_P):5d}      at temperature {temperature}")
    print("write them into answers.toml, and why it came out like that")


def write_side_by_side(exercise: Exercise) -> None:
    """The repaired program's own prompts."""
    module = student_module(exercise)
    short, long = [7, 3], [9, 4, 11, 30, 8, 2, 5, 6, 1]
    print("the short one, alone:               ", module.write([short])[0])
    print("the short one, beside a longer one: ", module.write([short, long])[0])


PLUGS = {
    "8.1": write_with_a_cache,
    "8.2": write_with_min_p,
    "8.3": measure_the_nucleus,
    "8.4": write_side_by_side,
}
