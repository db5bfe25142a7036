"""first-word.json: what chapter 01 quotes. Four language models on exercises/first_word.py, with two budgets.

    python -m tutorials.numbers.make.first_word

Two minutes of one quiet core. Every network reads the same texts in the same order, has about as many parameters, and
is trained at the same rate, which was not tuned, on the answers only: all other words are chance. The trigram counts
the same texts. The long budget is enough for all three networks; the short one was chosen where the log of one long run
showed them apart.
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
from minigpt.runs.config import Settings, parse
from minigpt.runs.errors import run_main
from tutorials.exercises.first_word import LENGTH, PLACES, WORDS, answers, texts
from tutorials.numbers.make.record import commit, record

V, BATCH, RATE, HELD_OUT = len(WORDS), 64, 0.005, 1000
BUDGETS, SEEDS = (60, 250), (0, 1, 2)  # steps of a training; of the networks and of the texts they learn from


def gpt(seed: int) -> nn.Module:
    return GPT(GPTConfig(vocab_size=V, context=LENGTH, layers=2, heads=2, channels=24), seed=seed)


def gru(seed: int) -> nn.Module:
    return RecurrentModel(V, 48, seed=seed)


def gru_with_attention(seed: int) -> nn.Module:
    return RecurrentModel(V, 36, attention=True, seed=seed)


NETWORKS: dict[str, Callable[[int], nn.Module]] = {"GPT": gpt, "GRU, attention": gru_with_attention, "GRU": gru}


@dataclass(frozen=True)
class FirstWordConfig(Settings):
    """Nothing to choose."""


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


def table(by_seed: dict[str, dict[str, list[list[float]]]], sizes: dict[str, int]) -> str:
    """A row for each model: its parameters, and for each budget the mean loss of the answer, and from which to which
    seed it reaches."""
    head = "".join(f"{f'{budget} steps':>13}{'seeds from':>12}{'to':>6}" for budget in BUDGETS)
    lines = [f"{'':<16}{'parameters':>10}{head}"]
    for name, runs in by_seed.items():
        line = f"{name:<16}{f'{sizes[name]:,}' if name in sizes else '–':>10}"
        for budget in BUDGETS:
            means = [fmean(curve) for curve in runs[str(budget)]]
            line += f"{fmean(means):13.2f}{min(means):12.2f}{max(means):6.2f}"
        lines.append(line)
    return "\n".join(lines)


def main(argv: list[str]) -> None:
    """Trains everything and writes the file."""
    parse(FirstWordConfig, argv, description=__doc__, presets={})
    torch.set_num_threads(1)
    at, started, held_out = commit("tutorials/exercises/first_word.py"), time.monotonic(), texts(HELD_OUT, 1)
    by_seed: dict[str, dict[str, list[list[float]]]] = {name: {} for name in (*NETWORKS, "trigram")}
    sizes = {name: sum(parameter.numel() for parameter in make(0).parameters()) for name, make in NETWORKS.items()}
    for budget in BUDGETS:
        for name, make in NETWORKS.items():
            print(f"{name}, {budget} steps", file=sys.stderr, flush=True)
            networks = [train(make(seed), budget, seed) for seed in SEEDS]
            by_seed[name][str(budget)] = [by_place(network, held_out) for network in networks]
        learned = [texts(BATCH * budget, 1000 + seed).flatten() for seed in SEEDS]
        by_seed["trigram"][str(budget)] = [by_place(NGramModel(3, V).fit(ids), held_out) for ids in learned]
    fields = {
        "table": table(by_seed, sizes),
        "places": list(PLACES),
        "by_seed": by_seed,
        "parameters": sizes,
        "budgets": list(BUDGETS),
        "batch": BATCH,
    }
    record(
        "first-word",
        fields,
        command="python -m tutorials.numbers.make.first_word",
        commit=at,
        seeds=list(SEEDS),
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
