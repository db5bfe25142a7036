"""`plug` for chapter 07: a small GPT is pretrained by the student's optimiser, and on the student's schedule."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from minigpt import pretrain, training
from minigpt.optim import OptimizerConfig
from minigpt.runs.config import with_overrides
from tutorials.exercises.broken_training import CURVES, curve
from tutorials.exercises.checks.ch07_more import BETA
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


def pretrain_losses(**settings: Any) -> list[float]:
    """The losses of a short pretraining run with whatever is installed."""
    with scratch_run() as folder:
        places = {"preset": "tiny", "runs": str(folder), "device": "cpu"}
        pretrain.run(
            with_overrides(pretrain.PretrainConfig(), {**pretrain.PRESETS["tiny"], **SHORT, **settings, **places})
        )
        return losses(folder / "tiny" / "pretrain")


# ---- 7.1 -----------------------------------------------------------------------------------------------------------


def as_optimizer(function: Function) -> type:
    """A class in the form of torch.optim.AdamW whose step is a student's function, one weight tensor at a time."""

    class StudentAdamW:
        def __init__(
            self, groups: list[dict[str, Any]], lr: float, betas: tuple[float, float], eps: float, fused: bool
        ) -> None:
            self.betas, self.eps, self.steps = betas, eps, 0
            self.param_groups = [{**group, "lr": lr} for group in groups]
            self.moments = {p: torch.zeros(2, p.numel()) for p, _ in self.parameters()}

        def parameters(self) -> Iterator[tuple[nn.Parameter, dict[str, Any]]]:
            return ((p, group) for group in self.param_groups for p in group["params"])

        @torch.no_grad()
        def step(self) -> None:
            self.steps += 1
            for p, group in self.parameters():
                state = torch.cat([p.flatten()[None], self.moments[p]])  # [3,N]
                settings = group["lr"], *self.betas, self.eps, group["weight_decay"]
                state = function(state, p.grad.flatten(), self.steps, *settings)
                p.copy_(state[0].view_as(p))
                self.moments[p] = state[1:]

    return StudentAdamW


def pretrain_by_hand(exercise: Exercise) -> None:
    """The student's AdamW moves every weight of a GPT: the same numbers."""
    print("pretraining a small GPT twice, with torch's AdamW and with yours …", file=sys.stderr)
    ours = pretrain_losses(optimizer="adamw")
    with installed(torch.optim, "AdamW", as_optimizer(student_function(exercise))):
        yours = pretrain_losses(optimizer="adamw")
    print_curves(yours, ours, "nats/token")


# ---- 7.2 -----------------------------------------------------------------------------------------------------------


def as_lr_factor(function: Function) -> Function:
    """A student's schedule in the package's form; the last fifth of the run falls."""

    def lr_factor(step: int, steps: int, config: OptimizerConfig) -> float:
        return function(step, steps, config.warmup_steps, steps // 5, config.final_lr_fraction)

    return lr_factor


def pretrain_up_along_down(exercise: Exercise) -> None:
    """The cosine of the package, and the student's schedule, with the same peak."""
    print("pretraining a small GPT twice, on the package's cosine and on your schedule …", file=sys.stderr)
    ours = pretrain_losses()
    with installed(training, "lr_factor", as_lr_factor(student_function(exercise))):
        yours = pretrain_losses()
    print_curves(yours, ours, "nats/token")
    print("not the same numbers: along the peak the loss is higher, and it falls fast where the rate does")


# ---- 7.3 and 7.4 ---------------------------------------------------------------------------------------------------


def read_the_curves(exercise: Exercise) -> None:
    """Where each recorded run has ended."""
    smooth = student_function(exercise)
    print(f"{'':14}{'first loss':>12}{'end':>10}      nats/token; end: smoothed with β = {BETA}")
    for name in CURVES:
        print(f"{name:14}{curve(name)[0]:12.3f}{smooth(curve(name), BETA)[-1]:10.3f}")
    print("write the column end into answers.toml, and why it came out like that")


def train_on_every_split(exercise: Exercise) -> None:
    """The repaired program's own training."""
    module = student_module(exercise)
    print("lines at a time     loss     probability of “no”")
    for rows in (8, 4, 2, 1):
        loss, probability = module.measure(module.train(rows))
        print(f"{rows:15d}   {loss:6.3f}   {probability:21.3f}")


PLUGS = {
    "7.1": pretrain_by_hand,
    "7.2": pretrain_up_along_down,
    "7.3": read_the_curves,
    "7.4": train_on_every_split,
}
