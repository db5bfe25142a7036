"""broken-training.json: what chapter 07 quotes. Pretraining, healthy and broken on purpose.

    python -m tutorials.numbers.make.broken_training

Twenty-four short runs of preset tiny, 150 steps of 8 texts each: three to four minutes of one quiet core. A broken run
differs from the healthy one in one setting, or two; only the bad start is no setting: every matrix of the untrained
model is multiplied by ten.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from minigpt import pretrain
from minigpt.model import GPT, GPTConfig
from minigpt.runs.config import Settings, parse, with_overrides
from minigpt.runs.errors import UserError, run_main
from tutorials.models import quiet_and_alone
from tutorials.numbers.make.record import commit, record

SEEDS = (0, 1, 2)
# over preset tiny; AdamW moves all weights, but for one run
SHORT: dict[str, Any] = {
    "documents": 1000,
    "steps": 150,
    "batch_size": 8,
    "evaluate_every": 0,
    "checkpoint_every": 0,
    "optimizer": "adamw",
}
RATE = 3e-3
RUNS: dict[str, dict[str, Any]] = {
    "healthy": {},
    "no_warmup": {"warmup_steps": 0},
    "rate_x100": {"learning_rate": 100 * RATE},
    "bad_init": {},
    "rate_tenth": {"learning_rate": RATE / 10},
    "rate_x10": {"learning_rate": 10 * RATE},
    "x10_no_warmup": {"learning_rate": 10 * RATE, "warmup_steps": 0},
    "muon": {"optimizer": "muon"},
}
TOO_LARGE = 10.0  # the factor of the bad start
FIELDS = ("loss", "learning_rate", "grad_norm")
LAST = 20  # steps whose mean is in the table


@dataclass(frozen=True)
class BrokenTrainingConfig(Settings):
    """Nothing to choose."""


# ---- Pretraining -----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def broken(name: str) -> Iterator[None]:
    """Pretraining that starts from matrices which are too large, where the run is not broken by a setting."""
    original = pretrain.GPT

    def large(config: GPTConfig, seed: int) -> GPT:
        model = original(config, seed=seed)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim >= 2:
                    parameter.mul_(TOO_LARGE)
        return model

    if name == "bad_init":
        pretrain.GPT = large
    try:
        yield
    finally:
        pretrain.GPT = original


def run_pretraining(name: str, seed: int) -> dict[str, list[float]]:
    """The log of one run, a list for each field; shorter where the loop stopped it."""
    with tempfile.TemporaryDirectory() as folder, broken(name), quiet_and_alone():
        places = {"preset": "tiny", "runs": folder, "device": "cpu", "seed": seed}
        settings = {**pretrain.PRESETS["tiny"], **SHORT, **RUNS[name], **places}
        with contextlib.redirect_stderr(io.StringIO()):
            try:
                pretrain.run(with_overrides(pretrain.PretrainConfig(), settings))
            except UserError as error:
                print(error)
        text = next(Path(folder).rglob("metrics.jsonl")).read_text(encoding="utf-8")
        rows = [row for row in map(json.loads, text.splitlines()) if "loss" in row]
    return {field: [row[field] for row in rows] for field in FIELDS}


# ---- The table -------------------------------------------------------------------------------------------------------


def end_of(curve: list[float]) -> float:
    """The mean of the last steps."""
    return fmean(curve[-LAST:])


def table(curves: dict[str, list[dict[str, list[float]]]]) -> str:
    """A row for each run: its first loss, its loss in the middle and at the end, and how far the seeds differ there."""
    lines = [f"{'':14}{'first':>8}{'step 50':>10}{'end':>8}{'seeds from':>13}{'to':>7}"]
    for name, logs in curves.items():
        ends = [end_of(log["loss"]) for log in logs]
        first, middle = (fmean(fmean(log["loss"][a:b]) for log in logs) for a, b in ((0, 1), (45, 55)))
        cells = f"{first:8.2f}{middle:10.2f}{fmean(ends):8.2f}{min(ends):13.2f}{max(ends):7.2f}"
        lines.append(f"{name.replace('_', ' '):<14}{cells}")
    return "\n".join(lines)


def fields(curves: dict[str, list[dict[str, list[float]]]]) -> dict[str, Any]:
    """What the file holds."""
    return {
        "table": table(curves),
        "ends": {name: fmean(end_of(log["loss"]) for log in logs) for name, logs in curves.items()},
        "curves": curves,
    }


def main(argv: list[str]) -> None:
    """Runs everything and writes the file."""
    parse(BrokenTrainingConfig, argv, description=__doc__, presets={})
    torch.set_num_threads(1)
    at, started = commit(), time.monotonic()
    curves: dict[str, list[dict[str, list[float]]]] = {name: [] for name in RUNS}
    for seed in SEEDS:
        for name in RUNS:
            log = run_pretraining(name, seed)
            curves[name].append({field: [round(value, 5) for value in curve] for field, curve in log.items()})
            print(seed, name, round(end_of(log["loss"]), 3), len(log["loss"]), file=sys.stderr, flush=True)
    record(
        "broken-training",
        fields(curves),
        command="python -m tutorials.numbers.make.broken_training",
        commit=at,
        seeds=list(SEEDS),
        threads=1,
        seconds=time.monotonic() - started,
        code=["minigpt/training.py", "minigpt/optim.py", "minigpt/model.py", "minigpt/pretrain.py"],
    )


if __name__ == "__main__":
    run_main(main)
