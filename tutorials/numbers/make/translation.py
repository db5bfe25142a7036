"""translation.json: what chapter 09 quotes: an encoder-decoder beside GPTs, where its articles look, both sides or one.

    python -m tutorials.numbers.make.translation

About two minutes on one core. All models learn from the same batches of the same sentences at the same rate.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from minigpt.attention import causal_mask
from minigpt.data import IGNORE
from minigpt.model import GPT
from minigpt.relatives.encoder_decoder import EncoderDecoder, teacher_forcing_loss
from minigpt.runs.config import Settings, parse
from minigpt.runs.errors import run_main
from tutorials.exercises.fill_in import learn_bert, learn_gpt, surprise
from tutorials.exercises.translation import (
    ARTICLES,
    NOUNS,
    SHAPE,
    Mask,
    backwards,
    corpus,
    fit,
    looks_of,
    mask_loss,
    pairs,
    right,
    row_logits,
    rows,
)
from tutorials.numbers.make.record import commit, record

STEPS, EVERY, RATE, SEEDS = 800, 100, 0.006, (0, 1, 2)
TWO_BLOCKS = dataclasses.replace(SHAPE, layers=2, position="rotary")  # encoder and decoder have one each


@dataclass(frozen=True)
class TranslationConfig(Settings):
    """Nothing to choose."""


def causal(source: Tensor, tokens: int) -> Tensor:
    """The mask of a GPT, for each row [B,T,T]."""
    return causal_mask(tokens, source.device).expand(len(source), tokens, tokens)


def open_source(source: Tensor, tokens: int) -> Tensor:
    """The mask of exercise 9.2, a row at a time."""
    mask = causal_mask(tokens, source.device).repeat(len(source), 1, 1)  # [B,T,T]
    for row, length in zip(mask, source.tolist(), strict=True):
        row[:, :length] = True
    return mask


@torch.no_grad()
def gpt_right(model: GPT, mask: Mask) -> float:
    """The share of translations without a fault. Greedy writes the right one exactly if every most probable token after
    the right ones before it is right, so one call says it."""
    ids, due, source = rows(corpus()[1])
    best = row_logits(model, mask, ids, source).argmax(-1)  # [B,T]
    return float(((best == due) | (due == IGNORE)).all(dim=1).float().mean())


def curve(name: str, model: nn.Module, loss_of: Callable[..., Tensor], form: Any, share: Callable[[], float]) -> Any:
    """The share of right translations after every hundred steps."""
    shares, optimizer = [0.0], torch.optim.Adam(model.parameters(), lr=RATE)
    for part in range(STEPS // EVERY):
        fit(model, loss_of, form, steps=EVERY, seed=part, optimizer=optimizer)
        shares.append(share())
        print(name, (part + 1) * EVERY, shares[-1], flush=True)
    return {"shares": shares, "parameters": sum(weight.numel() for weight in model.parameters())}


def looks(seed: int) -> dict[str, Any]:
    """Where the articles and the nouns of one translator look."""
    model = EncoderDecoder(SHAPE, seed=seed)
    fit(model, seed=seed)
    nouns = [*map(backwards, NOUNS)]
    return {"right": right(model), "articles": looks_of(model, ARTICLES), "nouns": looks_of(model, nouns)}


def main(argv: list[str]) -> None:
    """Trains everything one after the other and writes the file."""
    parse(TranslationConfig, argv, description=__doc__, presets={})
    torch.set_num_threads(1)
    at, started = commit("tutorials/exercises"), time.monotonic()
    both, left, whole = EncoderDecoder(SHAPE), GPT(TWO_BLOCKS), GPT(TWO_BLOCKS)
    curves = {
        "encoder-decoder": curve("encoder-decoder", both, teacher_forcing_loss, pairs, lambda: right(both)),
        "GPT": curve("GPT", left, mask_loss(causal), rows, lambda: gpt_right(left, causal)),
        "GPT, open source": curve("open", whole, mask_loss(open_source), rows, lambda: gpt_right(whole, open_source)),
    }
    articles = {f"seed_{seed}": looks(seed) for seed in SEEDS}
    sides = {
        f"steps_{steps}": {"BERT": surprise(learn_bert(steps)), "GPT": surprise(learn_gpt(steps))}
        for steps in (300, 600)
    }
    kinds = list(sides["steps_600"]["GPT"])
    lines = [f"{'':18}" + "".join(f"{kind:>11}" for kind in kinds)]
    for steps, models in sides.items():
        for name, costs in models.items():
            label = f"{name}, {steps.removeprefix('steps_')} steps"
            lines.append(f"{label:18}" + "".join(f"{costs[kind]:11.2f}" for kind in kinds))
    record(
        "translation",
        {
            "steps": [EVERY * number for number in range(STEPS // EVERY + 1)],
            "curves": list(curves),
            "shares": {name: found["shares"] for name, found in curves.items()},
            "parameters": {name: found["parameters"] for name, found in curves.items()},
            "after_200": {name: found["shares"][200 // EVERY] for name, found in curves.items()},
            "at_the_end": {name: found["shares"][-1] for name, found in curves.items()},
            "looks": articles,
            "most_at_the": max(found["articles"]["own"] + found["articles"]["the"] for found in articles.values()),
            "least_at_the_noun": min(found["articles"]["noun"] for found in articles.values()),
            "most_at_the_noun": max(found["articles"]["noun"] for found in articles.values()),
            "sides": sides,
            "sides_table": "\n".join(lines),
        },
        command="python -m tutorials.numbers.make.translation",
        commit=at,
        seeds=list(SEEDS),
        threads=1,
        seconds=time.monotonic() - started,
        code=[
            "minigpt/relatives/encoder_decoder.py",
            "minigpt/relatives/bert.py",
            "minigpt/model.py",
            "tutorials/exercises/translation.py",
            "tutorials/exercises/fill_in.py",
        ],
    )


if __name__ == "__main__":
    run_main(main)
