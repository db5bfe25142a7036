"""positions-tiny.json: what positions are worth, and what happens past the trained length. Preset tiny, four models.

    python -m tutorials.numbers.make.positions

About a minute on one core. The models see the same batches and start from the same weights; they differ in how a token
knows its place. They are trained on rows of 64 tokens and tried on rows of 192.
"""

from __future__ import annotations

import dataclasses
import time
from statistics import fmean

import torch
import torch.nn.functional as F
from torch import Tensor

from minigpt.data import IGNORE, validation_batches
from minigpt.model import GPT, GPTConfig
from minigpt.objective import LanguageModelObjective
from minigpt.pretrain import PRESETS, PretrainConfig
from minigpt.pretraining_data import prepare
from minigpt.runs.config import parse
from minigpt.runs.errors import run_main
from tutorials.numbers.make.attention import train
from tutorials.numbers.make.record import commit, record

CPU = torch.device("cpu")
TRAINED, TRIED, BIN = 64, 192, 16  # tokens of a row in training and afterwards, and of a bin whose loss is averaged
NAMES = ("none", "learned", "sinusoidal", "rotary")


class EverywhereAtZero(GPT):
    """A GPT without positions: every token is told that it stands at place 0, where rotary positions turn nothing."""

    def embed(self, ids: Tensor, positions: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor] | None]:
        return super().embed(ids, torch.zeros_like(positions))


def model_of(name: str, shape: GPTConfig, context: int, seed: int = 0) -> GPT:
    """An untrained model with one kind of positions. All kinds begin with the same weights; the learned ones come on
    top, drawn from the same generator, which would give the layers after them other weights."""
    shape = dataclasses.replace(shape, position="rotary", context=context)
    if name == "none":
        return EverywhereAtZero(shape, seed=seed)
    model = GPT(dataclasses.replace(shape, position=name), seed=seed)
    model.load_state_dict(model.state_dict() | GPT(shape, seed=seed).state_dict())
    return model


@torch.no_grad()
def loss_by_place(model: GPT, batches: list[tuple[Tensor, Tensor]], length: int) -> list[float]:
    """The mean loss in nats/token of each bin of BIN places, over the rows of the batches, cut to `length` tokens."""
    total, count = torch.zeros(length), torch.zeros(length)  # [T] each
    for inputs, targets in batches:
        inputs, targets = inputs[:, :length], targets[:, :length]  # [B,T] each
        losses = F.cross_entropy(model(inputs).transpose(1, 2), targets, ignore_index=IGNORE, reduction="none")  # [B,T]
        total += losses.sum(dim=0)
        count += (targets != IGNORE).sum(dim=0)
    return (total.view(-1, BIN).sum(dim=1) / count.view(-1, BIN).sum(dim=1)).tolist()


def table(losses: dict[str, list[float]]) -> str:
    """A row for each model: the mean over the trained places, and over those past them."""
    seen = TRAINED // BIN
    lines = [f"{'positions':<12}{f'places 0–{TRAINED - 1}':>14}{f'{TRAINED}–{2 * TRAINED - 1}':>9}"
             f"{f'{2 * TRAINED}–{TRIED - 1}':>10}"]  # fmt: skip
    for name, bins in losses.items():
        parts = [bins[i : i + seen] for i in range(0, TRIED // BIN, seen)]
        cells = [f"{fmean(part):.2f}" if part else "–" for part in parts]
        lines.append(f"{name:<12}{cells[0]:>14}{cells[1]:>9}{cells[2]:>10}")
    return "\n".join(lines)


def main(argv: list[str]) -> None:
    """Trains the four models one after the other and writes the file."""
    config = parse(PretrainConfig, ["--preset", "tiny", *argv], description=__doc__, presets=PRESETS)
    torch.set_num_threads(1)
    at, started = commit(), time.monotonic()
    data = prepare(config, config.model.vocab_size)
    shape = dataclasses.replace(config.model, vocab_size=data.tokenizer.vocab_size)
    objective = LanguageModelObjective(
        data.tokenizer,
        data.training,
        data.validation,
        context=TRAINED,
        batch_size=config.training.batch_size,
        micro_batch_size=0,
        seed=config.seed,
        device=CPU,
    )
    batches = validation_batches(data.validation, context=TRIED, batch_size=32, most_tokens=1 << 16)
    losses = {}
    for name in NAMES:
        model = model_of(name, shape, TRAINED)
        train(objective, model, config)
        length = TRIED
        if name == "learned":
            length = TRAINED  # it has no vector for place 64
        else:
            longer = model_of(name, shape, TRIED)
            longer.load_state_dict(model.state_dict())
            model = longer
        losses[name] = loss_by_place(model.eval(), batches, length)
        print(name, [round(x, 2) for x in losses[name]], flush=True)
    trained = {name: fmean(bins[: TRAINED // BIN]) for name, bins in losses.items()}
    record(
        "positions-tiny",
        {"table": table(losses), "losses": losses, "trained": trained, "bin": BIN},
        command="python -m tutorials.numbers.make.positions",
        commit=at,
        seeds=[config.seed],
        threads=1,
        seconds=time.monotonic() - started,
        code=["minigpt/positions.py", "minigpt/attention.py", "minigpt/model.py", "minigpt/pretrain.py"],
    )


if __name__ == "__main__":
    run_main(main)
