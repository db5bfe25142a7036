"""`plug` for chapter 05: pretraining on the student's heads."""

from __future__ import annotations

import math
import sys

from torch import Tensor, nn

import minigpt.model
from minigpt import pretrain
from minigpt.attention import attention_fused
from minigpt.model import Attention
from minigpt.runs.config import with_overrides
from tutorials.exercises.measure import TWINS, twin_heads
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

# of preset tiny; rotary positions turn queries and keys inside the heads, so here places are added to the words
SHORT = {"documents": 1000, "steps": 150, "evaluate_every": 0, "checkpoint_every": 0, "position": "learned"}
GROUPS = 2  # heads of keys and values in the plug of 5.2


def pretrain_losses() -> list[float]:
    """The losses of a short pretraining run with whatever is installed."""
    with scratch_run() as folder:
        settings = {**pretrain.PRESETS["tiny"], **SHORT, "preset": "tiny", "runs": str(folder), "device": "cpu"}
        pretrain.run(with_overrides(pretrain.PretrainConfig(), settings))
        return losses(folder / "tiny" / "pretrain")


def compare(place: object, name: str, replacement: Function) -> None:
    """Pretrain twice, and print both curves."""
    print("pretraining a small GPT twice, with the package's heads and with yours …", file=sys.stderr)
    ours = pretrain_losses()
    with installed(place, name, replacement):
        yours = pretrain_losses()
    print_curves(yours, ours, "nats/token")


def as_attention(multi_head_attention: Function) -> Function:
    """The student's layer as the forward of the package's Attention, which keeps the work where there is a cache or a
    mask: the student's function has neither."""
    package = Attention.forward

    def forward(self: nn.Module, x: Tensor, rotary: object = None, mask: object = None, cache: object = None) -> Tensor:
        if rotary is not None or mask is not None or cache is not None:
            return package(self, x, rotary, mask, cache)
        return multi_head_attention(x, self.qkv.weight, self.projection.weight, self.heads)  # [B,T,C]

    return forward


def pretrain_on_many_heads(exercise: Exercise) -> None:
    """The student's layer, the same numbers."""
    compare(Attention, "forward", as_attention(student_function(exercise)))


def pretrain_on_groups(exercise: Exercise) -> None:
    """The student's groups: of four heads of keys and values only the first two are used."""
    grouped = student_function(exercise)

    def attention(queries: Tensor, keys: Tensor, values: Tensor, mask: object = None, dropout: float = 0.0) -> Tensor:
        if mask is None and queries.shape == keys.shape:
            return grouped(queries, keys[:, :GROUPS], values[:, :GROUPS])
        times = queries.shape[1] // GROUPS
        shared = (part[:, :GROUPS].repeat_interleave(times, dim=1) for part in (keys, values))
        return attention_fused(queries, *shared, mask, dropout)

    compare(minigpt.model, "attention_fused", attention)
    print(f"yours has {GROUPS} heads of keys and values for 4 of queries: half as much to keep while it writes")


def train_on_random_digits(exercise: Exercise) -> None:
    """The repaired program's own training."""
    train = student_module(exercise).train
    for heads in (1, 4):
        values = train(heads)
        print(f"{heads} heads: {sum(values[-20:]) / 20:.3f}; a guess costs ln 10 = {math.log(10):.3f}")


def measure_damage(exercise: Exercise) -> None:
    """What it costs to silence each of three heads, and both twins."""
    damage, (parts, answers) = student_function(exercise), twin_heads()
    for name, silent in TWINS.items():
        print(f"{name:<12} heads {silent!s:<8} silent: {damage(parts, answers, silent):6.3f} nats")
    print("write these four numbers into answers.toml, and why it came out like that")


PLUGS = {
    "5.1": pretrain_on_many_heads,
    "5.2": pretrain_on_groups,
    "5.3": train_on_random_digits,
    "5.4": measure_damage,
}
