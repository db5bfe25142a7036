"""`plug` for chapter 18: PPO of preset tiny reads log-probabilities, and scores, with the student's functions."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from minigpt.generate import sampling_logprobs
from rlhf.stage3_ppo import rollout, step
from rlhf.stage3_ppo.rollout import Batch
from tutorials.exercises.broken_runs import ALARMS, PATIENCE, curves
from tutorials.exercises.plugs.ch17 import compare_ppo, run_ppo
from tutorials.exercises.plugs.common import Function, installed, student_function, student_module
from tutorials.exercises.registry import Exercise

# ---- 18.1 ------------------------------------------------------------------------------------------------------------


def as_response_logprobs(function: Function) -> Function:
    """A student's log-probabilities in the package's form. The entropy beside them stays the package's."""

    def response_logprobs(model: nn.Module, batch: Batch, temperature: float) -> tuple[Tensor, Tensor]:
        logits = model(batch.inputs)  # [B,T,V]
        logprobs = function(logits, batch.ids, batch.prompt_lengths, batch.lengths, temperature)  # [B,T]
        distribution = sampling_logprobs(logits.detach()[batch.mask], temperature)  # [M,V]
        entropy = -(distribution.exp() * distribution).sum(dim=1)  # [M]
        return logprobs, torch.zeros_like(batch.logprobs).masked_scatter(batch.mask, entropy)

    return response_logprobs


def run_on_logprobs(exercise: Exercise) -> None:
    """PPO twice; its guard stops it unless the ratio is 1 before the first step of each rollout."""
    compare_ppo("response_logprobs", as_response_logprobs(student_function(exercise)), home=rollout)


# ---- 18.2 ------------------------------------------------------------------------------------------------------------

FACTOR = 100.0  # a reward model whose scores are a hundred times as large


def as_score_responses(function: Function | None) -> Function:
    """Scores a hundred times as large; with a student's function, divided by the spread of all scores so far."""
    theirs, memory = rollout.score_responses, [torch.zeros(3)]

    def score_responses(*arguments: Any) -> Tensor:
        scores = FACTOR * theirs(*arguments)  # [B]
        if function is None:
            return scores
        memory[0] = function(memory[0], scores)
        return scores / memory[0][2].sqrt().clamp(min=1e-6)

    return score_responses


def run_on_any_scale(exercise: Exercise) -> None:
    """PPO with scores that are too large for its β: as they are, and divided by their spread."""
    print(f"running PPO of preset tiny on scores times {FACTOR:.0f}, twice …", file=sys.stderr)
    logs = []
    for function in (None, student_function(exercise)):
        with installed(step, "score_responses", as_score_responses(function)):
            logs.append(run_ppo())
    fields = {"objective/scores": "score", "objective/kl_nats_per_sequence": "KL nats"}
    heads = [f"{name}, {kind}" for name in fields.values() for kind in ("as it is", "rescaled")]
    print(f"{'iteration':>9}" + "".join(f"{head:>20}" for head in heads))
    for number, rows in enumerate(zip(*logs, strict=True), start=1):
        print(f"{number:9d}" + "".join(f"{row[field]:20.3f}" for field in fields for row in rows))


# ---- 18.3 and 18.4 ---------------------------------------------------------------------------------------------------


def measure_alarms(exercise: Exercise) -> None:
    """The iteration in which each alarm rings, for the recorded runs."""
    alarm = student_function(exercise)
    fields = next(iter(ALARMS.values()))
    print(f"{'':18}" + "".join(f"{field:>12}" for field in fields) + f"      iteration; 0 = never; patience {PATIENCE}")
    for run, watched in ALARMS.items():
        print(f"{run:18}" + "".join(f"{alarm(*curves(run, field), PATIENCE):12d}" for field in watched))
    print("write the numbers into answers.toml, and why they came out like that")


def train_with_the_clip(exercise: Exercise) -> None:
    """The repaired program's own training."""
    policies, log = student_module(exercise).train()
    for number in (1, 4, 16, 64):
        print(log[number - 1])
    print(f"probability of the favourite: {policies.max(dim=-1).values.mean():.2f}")


PLUGS: dict[str, Callable[[Exercise], None]] = {
    "18.1": run_on_logprobs,
    "18.2": run_on_any_scale,
    "18.3": measure_alarms,
    "18.4": train_with_the_clip,
}
