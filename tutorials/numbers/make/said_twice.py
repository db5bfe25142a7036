"""said-twice.json: what chapter 01 quotes. Four language models on exercises/said_twice.py, with one budget.

    python -m tutorials.numbers.make.said_twice

Every network reads the same texts in the same order, has about as many parameters, and is trained at the same rate,
which was not tuned; the trigram counts the same texts.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minigpt.model import GPT, GPTConfig
from minigpt.relatives.ngram import NGramModel
from minigpt.relatives.recurrent import RecurrentModel
from minigpt.runs.config import Settings, option, parse
from minigpt.runs.errors import run_main
from tutorials.exercises.said_twice import LENGTH, LIST, WORDS, least_loss, texts
from tutorials.numbers.make.record import commit, record

V, BATCH = len(WORDS), 32
HELD_OUT, SHOWN = 500, (1, 8, 9, 12, 16)


def gpt(seed: int) -> nn.Module:
    return GPT(GPTConfig(vocab_size=V, context=LENGTH, layers=2, heads=2, channels=32), seed=seed)


def gru(seed: int) -> nn.Module:
    return RecurrentModel(V, 64, seed=seed)


def gru_with_attention(seed: int) -> nn.Module:
    return RecurrentModel(V, 48, attention=True, seed=seed)


NETWORKS: dict[str, Callable[[int], nn.Module]] = {"GPT": gpt, "GRU, attention": gru_with_attention, "GRU": gru}
RATE = 0.01


@dataclass(frozen=True)
class SaidTwiceConfig(Settings):
    """How long."""

    steps: int = option(400, "steps of each network, 32 texts each", low=1)
    seeds: int = option(1, "how many seeds of the networks and of their texts", low=1)


def train(network: nn.Module, rate: float, steps: int, seed: int) -> nn.Module:
    """Adam with a warm-up and a linear decay, on fresh texts at every step."""
    data = texts(BATCH * steps, 1000 + seed).view(steps, BATCH, LENGTH + 1)
    optimizer = torch.optim.Adam(network.parameters(), lr=rate)
    for step, ids in enumerate(data):
        optimizer.param_groups[0]["lr"] = rate * min((step + 1) / 30, 1 - step / steps)
        loss = F.cross_entropy(network(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
    return network.eval()


@torch.no_grad()
def losses_of(model: nn.Module, ids: Tensor) -> Tensor:
    """The loss of every prediction: texts [B,T+1] -> [B,T]."""
    return F.cross_entropy(model(ids[:, :-1]).transpose(1, 2), ids[:, 1:], reduction="none")


def table(curves: dict[str, list[float]], means: dict[str, float], sizes: dict[str, int]) -> str:
    """A row for each model: parameters, mean loss, loss at a few places."""
    head = "".join(f"{f'#{place}':>7}" for place in SHOWN)
    lines = [f"{'':<16}{'parameters':>11}{'all words':>11}   at place{head}"]
    for name, curve in curves.items():
        size = f"{sizes[name]:,}" if name in sizes else "–"
        cells = "".join(f"{curve[place - 1]:7.2f}" for place in SHOWN)
        lines.append(f"{name:<16}{size:>11}{means[name]:>11.3f}{'':>11}{cells}")
    return "\n".join(lines)


def main(argv: list[str]) -> None:
    """Trains everything and writes the file."""
    config = parse(SaidTwiceConfig, argv, description=__doc__, presets={})
    torch.set_num_threads(1)
    at, started = commit("tutorials/exercises/said_twice.py"), time.monotonic()
    held_out, seeds = texts(HELD_OUT, 1), range(config.seeds)
    trigram = NGramModel(3, V).fit(texts(BATCH * config.steps, 1000).flatten())
    every = {"trigram": [losses_of(trigram, held_out)]}
    sizes: dict[str, int] = {}
    for name, make in NETWORKS.items():
        networks = [train(make(seed), RATE, config.steps, seed) for seed in seeds]
        sizes[name] = sum(parameter.numel() for parameter in networks[0].parameters())
        every[name] = [losses_of(network, held_out) for network in networks]
        print(
            name, f"{time.process_time():.0f} s", [round(float(run.mean()), 3) for run in every[name]], file=sys.stderr
        )
    curves = {name: torch.stack(runs).mean((0, 1)).tolist() for name, runs in every.items()}
    means = {name: fmean(float(run.mean()) for run in runs) for name, runs in every.items()}
    by_seed = {name: [float(run[:, LIST:].mean()) for run in runs] for name, runs in every.items()}
    last = {name: fmean(runs) for name, runs in by_seed.items()}
    fields: dict[str, Any] = {"table": table(curves, means, sizes), "means": means, "parameters": sizes}
    curves["least possible"] = [least_loss(place) for place in range(LENGTH)]
    fields |= {
        "curves": curves,
        "second_time": last,
        "second_time_by_seed": by_seed,
        "steps": config.steps,
        "batch": BATCH,
    }
    record(
        "said-twice",
        fields,
        command="python -m tutorials.numbers.make.said_twice",
        commit=at,
        seeds=list(seeds),
        threads=1,
        seconds=time.monotonic() - started,
        code=[
            "minigpt/model.py",
            "minigpt/relatives/ngram.py",
            "minigpt/relatives/recurrent.py",
            "tutorials/exercises/said_twice.py",
        ],
    )


if __name__ == "__main__":
    run_main(main)
