"""first-word.json: what chapter 01 quotes. Four language models on exercises/first_word.py, with one budget.

    python -m tutorials.numbers.make.first_word

Every network reads the same texts in the same order, has about as many parameters, and is trained at the same rate,
which was not tuned, on the answers only: all other words are chance. The trigram counts the same texts.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minigpt.model import GPT, GPTConfig
from minigpt.relatives.ngram import NGramModel
from minigpt.relatives.recurrent import RecurrentModel
from minigpt.runs.config import Settings, option, parse
from minigpt.runs.errors import run_main
from tutorials.exercises.first_word import LENGTH, PLACES, WORDS, answers, texts
from tutorials.numbers.make.record import commit, record

V, BATCH, RATE, HELD_OUT = len(WORDS), 64, 0.005, 1000
SHOWN = (2, 4, 8, 14)


def gpt(seed: int) -> nn.Module:
    return GPT(GPTConfig(vocab_size=V, context=LENGTH, layers=2, heads=2, channels=24), seed=seed)


def gru(seed: int) -> nn.Module:
    return RecurrentModel(V, 48, seed=seed)


def gru_with_attention(seed: int) -> nn.Module:
    return RecurrentModel(V, 36, attention=True, seed=seed)


NETWORKS: dict[str, Callable[[int], nn.Module]] = {"GPT": gpt, "GRU, attention": gru_with_attention, "GRU": gru}


@dataclass(frozen=True)
class FirstWordConfig(Settings):
    """How long."""

    steps: int = option(250, "steps of each network, 64 texts each", low=1)
    seeds: int = option(1, "how many seeds of the networks and of their texts", low=1)


def train(network: nn.Module, steps: int, seed: int) -> nn.Module:
    """Adam with a warm-up and a linear decay, on fresh texts at every step."""
    data = texts(BATCH * steps, 1000 + seed).view(steps, BATCH, LENGTH + 1)
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
    for step, ids in enumerate(data):
        optimizer.param_groups[0]["lr"] = RATE * min((step + 1) / 20, 1 - step / steps)
        asked = answers(ids)  # [B,T]
        loss = F.cross_entropy(network(ids[:, :-1])[asked], ids[:, 1:][asked])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        if step % 50 == 49:
            print(f"step {step + 1} {loss.item():.3f}", file=sys.stderr, flush=True)
    return network.eval()


@torch.no_grad()
def by_place(model: nn.Module, ids: Tensor) -> list[float]:
    """The mean loss of the answer, for each place of the question."""
    losses = F.cross_entropy(model(ids[:, :-1]).transpose(1, 2), ids[:, 1:], reduction="none")  # [B,T]
    asked = answers(ids)  # [B,T]
    return [float(losses[:, place][asked[:, place]].mean()) for place in PLACES]


def table(curves: dict[str, list[float]], sizes: dict[str, int]) -> str:
    """A row for each model: parameters, mean loss of the answer, and that for a few places of the question."""
    head = "".join(f"{f'place {place}':>10}" for place in SHOWN)
    lines = [f"{'':<16}{'parameters':>11}{'mean':>8}{head}"]
    for name, curve in curves.items():
        size = f"{sizes[name]:,}" if name in sizes else "–"
        cells = "".join(f"{curve[place - PLACES.start]:10.2f}" for place in SHOWN)
        lines.append(f"{name:<16}{size:>11}{fmean(curve):8.2f}{cells}")
    return "\n".join(lines)


def main(argv: list[str]) -> None:
    """Trains everything and writes the file."""
    config = parse(FirstWordConfig, argv, description=__doc__, presets={})
    torch.set_num_threads(1)
    at, started = commit("tutorials/exercises/first_word.py"), time.monotonic()
    held_out, seeds = texts(HELD_OUT, 1), list(range(config.seeds))
    trigram = NGramModel(3, V).fit(texts(BATCH * config.steps, 1000).flatten())
    every, sizes = {"trigram": [by_place(trigram, held_out)]}, {}
    for name, make in NETWORKS.items():
        print(name, file=sys.stderr, flush=True)
        networks = [train(make(seed), config.steps, seed) for seed in seeds]
        sizes[name] = sum(parameter.numel() for parameter in networks[0].parameters())
        every[name] = [by_place(network, held_out) for network in networks]
    curves = {name: [fmean(values) for values in zip(*runs, strict=True)] for name, runs in every.items()}
    fields = {
        "table": table(curves, sizes),
        "places": list(PLACES),
        "curves": curves,
        "means": {name: fmean(curve) for name, curve in curves.items()},
        "by_seed": {name: [fmean(run) for run in runs] for name, runs in every.items()},
        "parameters": sizes,
        "steps": config.steps,
        "batch": BATCH,
    }
    record(
        "first-word",
        fields,
        command="python -m tutorials.numbers.make.first_word",
        commit=at,
        seeds=seeds,
        threads=1,
        seconds=time.monotonic() - started,
        code=[
            "minigpt/model.py",
            "minigpt/relatives/ngram.py",
            "minigpt/relatives/recurrent.py",
            "tutorials/exercises/first_word.py",
        ],
    )


if __name__ == "__main__":
    run_main(main)
