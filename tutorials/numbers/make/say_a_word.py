"""say-a-word.json: what chapter 16 quotes. A small language model learns to say "banana" from a score alone.

    python -m tutorials.numbers.make.say_a_word

Some twenty seconds on one core. Three seeds of the sampling; all start from the same model of chapter 04's sentences.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import torch

from minigpt.model import GPT
from minigpt.runs.config import Settings, parse
from minigpt.runs.errors import run_main
from tutorials.exercises.sentences import END, imitate, reinforce, say
from tutorials.numbers.make.record import commit, record

WORD, SEEDS, STEPS, SHOWN = "banana", (0, 1, 2), 60, 3
RUNS: dict[str, dict[str, Any]] = {
    "no baseline": {"baseline": False},
    "baseline": {},
    "paid for each": {"most": 99.0},  # as often as it is said, not once
}
FIELDS = {"score": "score", "ended": "answers that end", "kl": "nats from the start"}
AT = (1, 20, 40, 60)


@dataclass(frozen=True)
class SayAWordConfig(Settings):
    """Nothing to choose."""


def table(curves: dict[str, dict[str, list[float]]]) -> str:
    """A row for each run and field, a column for some of the steps."""
    lines = [f"{'':38}" + "".join(f"{f'step {step}':>9}" for step in AT)]
    for run, curve in curves.items():
        for field, name in FIELDS.items():
            cells = "".join(f"{curve[field][step - 1]:9.2f}" for step in AT)
            lines.append(f"{run if field == 'score' else '':<16}{name:<22}{cells}")
    return "\n".join(lines)


def sentences(policies: dict[str, GPT]) -> str:
    """A few answers of each model, not selected."""
    lines = []
    for name, policy in policies.items():
        said = say(policy, [[END]] * SHOWN, torch.Generator().manual_seed(1))
        lines += [f"{name if not i else '':<16}{text}" for i, text in enumerate(said.texts())]
    return "\n".join(lines)


def main(argv: list[str]) -> None:
    """Runs everything and writes the file."""
    parse(SayAWordConfig, argv, description=__doc__, presets={})
    torch.set_num_threads(1)
    at, started = commit("tutorials/exercises/sentences.py"), time.monotonic()
    speaker = imitate()
    policies, curves = {"before": speaker}, {}
    for name, settings in RUNS.items():
        logs = []
        for seed in SEEDS:
            policy, log = reinforce(speaker, WORD, steps=STEPS, seed=seed, **settings)
            policies.setdefault(name, policy)  # that of the first seed
            logs.append(log)
        curves[name] = {
            field: [fmean(row[field] for row in rows) for rows in zip(*logs, strict=True)] for field in FIELDS
        }
        print(name, {field: round(values[-1], 2) for field, values in curves[name].items()}, flush=True)
    record(
        "say-a-word",
        {"table": table(curves), "sentences": sentences(policies), "curves": curves},
        command="python -m tutorials.numbers.make.say_a_word",
        commit=at,
        seeds=list(SEEDS),
        threads=1,
        seconds=time.monotonic() - started,
        code=["tutorials/exercises/sentences.py", "minigpt/model.py", "minigpt/generate.py"],
    )


if __name__ == "__main__":
    run_main(main)
