"""`plug` for chapter 06: a GPT of the student's blocks, and the count of three models."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable

import torch
from torch import Tensor

from minigpt.cache import KVCache
from minigpt.model import Block, Rotary
from tutorials.exercises.measure import MODEL_SHAPES
from tutorials.exercises.plugs.ch04 import pretrain_losses
from tutorials.exercises.plugs.common import Function, installed, print_curves, student_function, student_module
from tutorials.exercises.registry import Exercise

OneBlock = Callable[[Block, Tensor, Callable[[Tensor], Tensor]], Tensor]


def pretrain_with(one_block: OneBlock) -> tuple[list[float], list[float]]:
    """The losses of a short pretraining run with the package's blocks, and with others."""

    def forward(
        block: Block,
        x: Tensor,
        rotary: Rotary | None = None,
        mask: Tensor | None = None,
        cache: KVCache | None = None,
        at: Tensor | None = None,
    ) -> Tensor:
        y = one_block(block, x, lambda normed: block.attention(normed, rotary, mask, cache))  # [B,T,C]
        return y if at is None else y[at]  # preset tiny has no dropout and no biases

    print("pretraining a small GPT twice, with the package's blocks and with yours …", file=sys.stderr)
    ours = pretrain_losses()
    with installed(Block, "forward", forward):
        return ours, pretrain_losses()


def pretrain_on_blocks(exercise: Exercise) -> None:
    """The student's block: the same numbers."""
    function = student_function(exercise)

    def one_block(block: Block, x: Tensor, attention: Callable[[Tensor], Tensor]) -> Tensor:
        norms = block.attention_norm.weight, block.mlp_norm.weight
        mlp = block.mlp
        return function(x, attention, *norms, mlp.up.weight, mlp.projection.weight, block.mlp_norm.eps)

    ours, yours = pretrain_with(one_block)
    print_curves(yours, ours, "nats/token")


def pretrain_side_by_side(exercise: Exercise) -> None:
    """The student's parallel block: what it costs that the MLP does not see what attention has found."""
    function: Function = student_function(exercise)

    def one_block(block: Block, x: Tensor, attention: Callable[[Tensor], Tensor]) -> Tensor:
        mlp, norm = block.mlp, block.attention_norm
        block.mlp_norm.weight.grad = torch.zeros_like(
            block.mlp_norm.weight
        )  # it takes no part, and the optimiser wants a gradient
        return function(x, attention, norm.weight, mlp.up.weight, mlp.projection.weight, norm.eps)

    ours, yours = pretrain_with(one_block)
    print_curves(yours, ours, "nats/token")


def count_three_models(exercise: Exercise) -> None:
    """The shares of three models."""
    share = student_function(exercise)
    print(f"{'':12}{'embedding':>11}{'attention':>11}{'mlp':>11}")
    for name, shape in MODEL_SHAPES.items():
        print(f"{name:12}" + "".join(f"{share(part, *shape):11.3f}" for part in ("embedding", "attention", "mlp")))
    print("write the columns embedding and mlp into answers.toml, and why it came out like that")


def train_the_memory(exercise: Exercise) -> None:
    """The repaired program's own training, for three widths."""
    module = student_module(exercise)
    print(f"neurons   loss      (to guess among a person's four answers costs ln 4 = {math.log(4):.3f})")
    for neurons in (16, 64, 256):
        print(f"{neurons:7d}   {module.train(neurons)[-1]:.3f}")


PLUGS = {
    "6.1": pretrain_on_blocks,
    "6.2": pretrain_side_by_side,
    "6.3": count_three_models,
    "6.4": train_the_memory,
}
