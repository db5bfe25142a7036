"""near-the-start.json: what chapter 17 quotes. A small language model is paid for a word, with four weights of the KL.

    python -m tutorials.numbers.make.near_the_start

A minute on one core. Three seeds of the sampling; all start from the same model of chapter 04's sentences.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import fmean

import torch

from minigpt.runs.config import Settings, parse
from minigpt.runs.errors import run_main
from tutorials.exercises.sentences import END, imitate, ppo, say
from tutorials.numbers.make.record import commit, record

WORD, BETAS, SEEDS, STEPS, SHOWN = "banana", (0.0, 0.03, 0.1, 0.3), (0, 1, 2), 60, 2
FIELDS = ("score", "ended", "kl")
LAST = 10  # steps whose mean is quoted


@dataclass(frozen=True)
class NearTheStartConfig(Settings):
    """Nothing to choose."""


def table(curves: dict[str, dict[str, list[float]]]) -> str:
    """A row for each β: means of the last ten steps."""
    lines = [f"{'β':<8}{'score':>8}{'answers that end':>20}{'nats from the start':>22}"]
    for beta, curve in curves.items():
        score, ended, kl = (fmean(curve[field][-LAST:]) for field in FIELDS)
        lines.append(f"{beta:<8}{score:8.2f}{ended:20.2f}{kl:22.2f}")
    return "\n".join(lines)


def main(argv: list[str]) -> None:
    """Runs everything and writes the file."""
    parse(NearTheStartConfig, argv, description=__doc__, presets={})
    torch.set_num_threads(1)
    at, started = commit("tutorials/exercises/sentences.py"), time.monotonic()
    speaker, curves, lines = imitate(), {}, []
    for beta in BETAS:
        logs = []
        for seed in SEEDS:
            policy, log = ppo(speaker, WORD, beta, steps=STEPS, seed=seed)
            logs.append(log)
            if seed == SEEDS[0]:
                texts = say(policy, [[END]] * SHOWN, torch.Generator().manual_seed(1)).texts()
                lines += [f"{f'β = {beta}' if not i else '':<10}{text}" for i, text in enumerate(texts)]
        steps = list(zip(*logs, strict=True))
        curves[str(beta)] = {field: [fmean(row[field] for row in rows) for rows in steps] for field in FIELDS}
        print(beta, {field: round(fmean(values[-LAST:]), 2) for field, values in curves[str(beta)].items()}, flush=True)
    record(
        "near-the-start",
        {"table": table(curves), "sentences": "\n".join(lines), "curves": curves},
        command="python -m tutorials.numbers.make.near_the_start",
        commit=at,
        seeds=list(SEEDS),
        threads=1,
        seconds=time.monotonic() - started,
        code=["tutorials/exercises/sentences.py", "minigpt/model.py", "rlhf/stage3_ppo/losses.py"],
    )


if __name__ == "__main__":
    run_main(main)
