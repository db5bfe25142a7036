"""`plug` for chapter 04: pretraining on the student's attention."""

from __future__ import annotations

import math
import sys

from torch import Tensor

import minigpt.model
from minigpt import attention as package
from minigpt import pretrain
from minigpt.runs.config import with_overrides
from tutorials.exercises.measure import HEAD_SIZES, KEYS, random_rows
from tutorials.exercises.plugs.common import (
    Function,
    installed,
    losses,
    print_curves,
    scratch_run,
    student_function,
    student_module,
)
from tutorials.exercises.registry import Exercise

WINDOW = 16
SHORT = {"documents": 1000, "steps": 150, "evaluate_every": 0, "checkpoint_every": 0}  # of preset tiny


def pretrain_losses() -> list[float]:
    """The losses of a short pretraining run with whatever is installed."""
    with scratch_run() as folder:
        settings = {**pretrain.PRESETS["tiny"], **SHORT, "preset": "tiny", "runs": str(folder), "device": "cpu"}
        pretrain.run(with_overrides(pretrain.PretrainConfig(), settings))
        return losses(folder / "tiny" / "pretrain")


def pretrain_on(attention: Function) -> None:
    """Pretrain twice, and print both curves."""

    def fused(
        queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None, dropout: float = 0.0
    ) -> Tensor:
        # In training there is no mask but the causal one. Generation reads a cache, which has masks of its own.
        if mask is None and queries.shape == keys.shape:
            return attention(queries, keys, values)
        return package.attention_fused(queries, keys, values, mask, dropout)

    print("pretraining a small GPT twice, with the package's attention and with yours …", file=sys.stderr)
    ours = pretrain_losses()
    with installed(minigpt.model, "attention_fused", fused):
        yours = pretrain_losses()
    print_curves(yours, ours, "nats/token")


def pretrain_on_causal_attention(exercise: Exercise) -> None:
    """The student's attention, the same numbers."""
    pretrain_on(student_function(exercise))


def pretrain_on_sliding_window(exercise: Exercise) -> None:
    """The student's window: what is lost by looking back 16 tokens only."""
    window = student_function(exercise)
    pretrain_on(lambda queries, keys, values: window(queries, keys, values, WINDOW))
    print(f"with a window of {WINDOW} tokens in each of 2 layers, a token hears from at most {2 * WINDOW - 1} tokens")


def train_on_random_digits(exercise: Exercise) -> None:
    """The repaired program's own training."""
    values = student_module(exercise).train()
    print(f"the loss of the last 40 steps: {sum(values[-40:]) / 40:.3f}; a guess costs ln 10 = {math.log(10):.3f}")


class Here:
    """Stands in for a Subject: the student's test, called in this process."""

    def __init__(self, function: Function) -> None:
        self.function = function

    def __call__(self, attention: Function) -> None:
        self.function(attention)


def test_the_package(exercise: Exercise) -> None:
    """The student's test on the attentions that everything in this project runs on."""
    test = student_function(exercise)
    for attention in (package.attention_loops, package.attention_by_heads, package.attention_fused):
        test(attention)  # raises if it fails, and a failure here would be news
        print(f"your test passes minigpt.attention.{attention.__name__}")


def measure_entropy(exercise: Exercise) -> None:
    """Entropies of random weights for growing heads, with and without the division."""
    entropy = student_function(exercise)
    unit = f"nats; {KEYS} keys, so equal weights have ln {KEYS} = {math.log(KEYS):.3f}"
    print(f"{'head size D':>12}{'without':>10}{'with':>10}      {unit}")
    for size in HEAD_SIZES:
        rows = random_rows(size)
        print(f"{size:12d}{entropy(*rows, False):10.3f}{entropy(*rows, True):10.3f}")
    print("write the first and the last row into answers.toml, and why it came out like that")


PLUGS = {
    "4.1": pretrain_on_causal_attention,
    "4.2": pretrain_on_sliding_window,
    "4.3": train_on_random_digits,
    "4.4": test_the_package,
    "4.5": measure_entropy,
}
