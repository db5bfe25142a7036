"""`plug` for chapter 03: pretraining on the student's positions."""

from __future__ import annotations

import sys

import torch
from torch import Tensor, nn

import minigpt.model
import minigpt.positions
from minigpt import pretrain
from minigpt.runs.config import with_overrides
from tutorials.exercises.measure import BASES, DISTANCES, ROTARY_HEAD
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

SHORT = {"documents": 1000, "steps": 150, "evaluate_every": 0, "checkpoint_every": 0}  # of preset tiny


def pretrain_losses(position: str) -> list[float]:
    """The losses of a short pretraining run with one kind of positions, and with whatever is installed."""
    with scratch_run() as folder:
        settings = {**pretrain.PRESETS["tiny"], **SHORT, "position": position}
        settings |= {"preset": "tiny", "runs": str(folder), "device": "cpu"}
        pretrain.run(with_overrides(pretrain.PretrainConfig(), settings))
        return losses(folder / "tiny" / "pretrain")


def pretrain_on_sinusoids(exercise: Exercise) -> None:
    """The student's table in the place of the package's."""
    sinusoids = student_function(exercise)

    def table(context: int, channels: int) -> Tensor:
        return sinusoids(torch.arange(context), channels)

    print("pretraining a small GPT twice, with the package's sinusoids and with yours …", file=sys.stderr)
    ours = pretrain_losses("sinusoidal")
    with installed(minigpt.positions, "sinusoidal_table", table):
        yours = pretrain_losses("sinusoidal")
    print_curves(yours, ours, "nats/token")


class Places(nn.Module):
    """Stands in for RotaryPositions: hands on the positions and the base where the package hands on cos and sin."""

    def __init__(self, context: int, head_size: int, base: float) -> None:
        super().__init__()
        self.base = base

    def forward(self, positions: Tensor) -> tuple[Tensor, float]:
        return positions, self.base


def rotating(rotate_neighbours: Function) -> Function:
    """The student's function as the model calls `rotate`, with the two things that Places hands on."""

    def rotate(x: Tensor, positions: Tensor, base: float) -> Tensor:
        if positions.dim() == 1:
            return rotate_neighbours(x, positions, base)  # [B,H,T,D]
        rows = [rotate_neighbours(x[b : b + 1], row, base) for b, row in enumerate(positions)]
        return torch.cat(rows)  # [B,H,T,D]

    return rotate


def pretrain_on_neighbours(exercise: Exercise) -> None:
    """The student's rotation in the place of the package's, which turns other pairs."""
    print("pretraining a small GPT twice, with the package's rotation and with yours …", file=sys.stderr)
    ours = pretrain_losses("rotary")
    rotate = rotating(student_function(exercise))
    with installed(minigpt.model, "RotaryPositions", Places), installed(minigpt.model, "rotate", rotate):
        yours = pretrain_losses("rotary")
    print_curves(yours, ours, "nats/token")
    print("not the same numbers, as other channels are paired; but the weights are random, and one pairing is as good")


def measure_reach(exercise: Exercise) -> None:
    """What is left of a perfect match, for both bases and growing distances."""
    kept = student_function(exercise)
    print(f"{'distance':>10}" + "".join(f"{f'base {base:,}':>14}" for base in BASES) + f"      head size {ROTARY_HEAD}")
    for distance in (1, 2, *DISTANCES, 256, 1024):
        print(f"{distance:10d}" + "".join(f"{kept(distance, ROTARY_HEAD, float(base)):14.3f}" for base in BASES))
    print("write the rows of 4 and 64 into answers.toml, and why it came out like that")


def complete_dates(exercise: Exercise) -> None:
    """The repaired program's own trial."""
    module = student_module(exercise)
    print(f"{'beginning':<12}{'alone':<14}beside others")
    for beginning, alone, beside in module.try_out(module.train()):
        print(f"{beginning:<12}{alone:<14}{beside}")


PLUGS = {
    "3.1": pretrain_on_sinusoids,
    "3.2": pretrain_on_neighbours,
    "3.3": measure_reach,
    "3.4": complete_dates,
}
