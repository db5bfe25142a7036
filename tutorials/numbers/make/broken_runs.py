"""broken-runs.json: what chapter 18 quotes. Stage 3, healthy and broken in six ways, on small models.

    python -m tutorials.numbers.make.broken_runs

Nine runs of forty iterations, some ten minutes on one quiet core: the healthy one with three seeds, which show how much
chance does, and each broken one with the first of them. All start from the models of `tutorials.models`. A broken run
differs from the healthy one in one setting; only the reward at the pad is no setting: a function is replaced.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from minigpt.runs.config import Settings, parse, with_overrides
from minigpt.runs.errors import run_main
from rlhf.evaluation.rollouts import graded_rows
from rlhf.stage3_ppo import stage, step
from rlhf.stage3_ppo.losses import kl_k1
from tutorials.models import load_or_train, quiet_and_alone
from tutorials.numbers.make.record import commit, record

SEEDS = (0, 1, 2)
HEALTHY: dict[str, Any] = {"iterations": 40, "prompts": 2000, "critic_warmup": 4}  # over preset tiny
RUNS: dict[str, dict[str, Any]] = {
    "healthy": {},
    "paid_at_the_pad": {},
    "critic_cold": {"critic_warmup": 0},
    "no_end_penalty": {"missing_end_score": None},
    "beta_0": {"beta": 0.0},
    "not_whitened": {"whiten_advantages": False},
    "rate_x10": {"learning_rate": 2e-3, "value_learning_rate": 7e-3},
}
FIELDS = {
    "score": "objective/scores",
    "gold": "objective/gold",
    "kl": "objective/kl_nats_per_sequence",
    "ended": "val/ended_share",
    "length": "val/response_length",
    "entropy": "objective/entropy",
    "explained": "val/explained_variance",
    "value_loss": "loss/value_avg",
    "policy_loss": "loss/policy_avg",
    "approxkl": "policy/approxkl_avg",
    "clipfrac": "policy/clipfrac_avg",
    "value_clipfrac": "val/clipfrac_avg",
    "grad_norm": "policy/grad_norm",
}
LAST = 10  # iterations whose mean is in the table


@dataclass(frozen=True)
class BrokenRunsConfig(Settings):
    """Nothing to choose."""


def paid_at_the_pad(scores: Tensor, logprobs: Tensor, ref_logprobs: Tensor, mask: Tensor, beta: float) -> Tensor:
    """WRONG on purpose: the score stands one place too late, on the first pad, where no token of the answer is."""
    rewards = torch.where(mask, -beta * kl_k1(logprobs, ref_logprobs), 0.0)  # [B,T]
    first_pad = ~mask & F.pad(mask[:, :-1], (1, 0))  # [B,T]: the column before is the answer's last
    return torch.where(first_pad, scores[:, None], rewards)


@contextlib.contextmanager
def broken(name: str) -> Iterator[None]:
    """The step with the wrong function where a run is not broken by a setting."""
    original = step.shape_rewards
    if name == "paid_at_the_pad":
        step.shape_rewards = paid_at_the_pad
    try:
        yield
    finally:
        step.shape_rewards = original


def run_stage_3(name: str, seed: int) -> dict[str, list[float | None]]:
    """The log of one run, a list for each field; None where the policy was not updated."""
    sft, reward_model = load_or_train("sft").stage_dir, load_or_train("reward_model").stage_dir
    with tempfile.TemporaryDirectory() as folder, broken(name), quiet_and_alone():
        run = Path(folder) / "tiny"
        shutil.copytree(sft, run / "sft")
        shutil.copytree(reward_model, run / "reward_model")
        shutil.copy(sft.parent / "tokenizer.json", run / "tokenizer.json")
        places = {"preset": "tiny", "runs": folder, "device": "cpu", "seed": seed}
        settings = {**stage.PRESETS["tiny"], **HEALTHY, **RUNS[name], **places}
        stage.run(with_overrides(stage.PPOConfig(), settings))
        rows = graded_rows(run / "ppo")
    return {field: [row.get(key) for row in rows if "objective/scores" in row] for field, key in FIELDS.items()}


def end_of(curve: list[float | None]) -> float:
    """The mean of the last iterations."""
    return fmean(value for value in curve[-LAST:] if value is not None)


def table(curves: dict[str, list[dict[str, list[float | None]]]]) -> str:
    """A row for each run, a column for some fields: the mean of the last iterations, over its seeds."""
    shown = {"score": 2, "gold": 2, "kl": 1, "ended": 2, "length": 1, "entropy": 1, "explained": 2, "value_loss": 3}
    lines = [f"{'':16}" + "".join(f"{field:>11}" for field in shown)]
    for name, logs in curves.items():
        cells = "".join(f"{fmean(end_of(log[field]) for log in logs):11.{digits}f}" for field, digits in shown.items())
        lines.append(f"{name.replace('_', ' '):<16}{cells}")
    return "\n".join(lines)


def main(argv: list[str]) -> None:
    """Runs everything and writes the file."""
    parse(BrokenRunsConfig, argv, description=__doc__, presets={})
    torch.set_num_threads(1)
    at, started = commit("tutorials/models.py"), time.monotonic()
    load_or_train("reward_model")
    curves: dict[str, list[dict[str, list[float | None]]]] = {name: [] for name in RUNS}
    for name, seed in [*((name, SEEDS[0]) for name in RUNS), *(("healthy", seed) for seed in SEEDS[1:])]:
        curves[name].append(run_stage_3(name, seed))
        ends = {field: round(end_of(curve), 4) for field, curve in curves[name][-1].items()}
        print(seed, name, ends, file=sys.stderr, flush=True)
    rounded = {
        name: [{f: [None if x is None else round(x, 5) for x in curve] for f, curve in log.items()} for log in logs]
        for name, logs in curves.items()
    }
    ends = {name: {f: fmean(end_of(log[f]) for log in logs) for f in FIELDS} for name, logs in curves.items()}
    record(
        "broken-runs",
        {"table": table(curves), "ends": ends, "curves": rounded},
        command="python -m tutorials.numbers.make.broken_runs",
        commit=at,
        seeds=list(SEEDS),
        threads=1,
        seconds=time.monotonic() - started,
        code=["rlhf/stage3_ppo/step.py", "rlhf/stage3_ppo/losses.py", "rlhf/stage3_ppo/training.py"],
    )


if __name__ == "__main__":
    run_main(main)
