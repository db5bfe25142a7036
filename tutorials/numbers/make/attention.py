"""attention-tiny.json: what attention is worth, and what a broken one does. Preset tiny, with five kinds of attention.

    python -m tutorials.numbers.make.attention

About 80 seconds on one core. Each model sees the same batches and starts from the same weights; only the function that
moves information between tokens differs.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

import minigpt.model
from minigpt.attention import attention_by_heads, attention_fused, causal_mask
from minigpt.model import GPT, GPTConfig
from minigpt.objective import LanguageModelObjective
from minigpt.optim import Optimizer, lr_factor
from minigpt.pretrain import PRESETS, PretrainConfig
from minigpt.pretraining_data import prepare
from minigpt.runs.config import parse
from minigpt.runs.errors import run_main
from tutorials.numbers.make.record import commit, record

CPU = torch.device("cpu")
Mix = Callable[..., Tensor]  # (queries, keys, values [B,H,T,D], mask, dropout) -> [B,H,T,D]

# ---- Five ways to move information between tokens; mask and dropout are unused here ----------------------------------


def alone(queries: Tensor, keys: Tensor, values: Tensor, mask: None, dropout: float) -> Tensor:
    """Every token keeps its own value."""
    return values


def average(queries: Tensor, keys: Tensor, values: Tensor, mask: None, dropout: float) -> Tensor:
    """Every token gets the plain mean of the values up to its own."""
    count = torch.arange(1, values.shape[2] + 1)[:, None]  # [T,1]
    return values.cumsum(dim=2) / count  # [B,H,T,D]


def unscaled(queries: Tensor, keys: Tensor, values: Tensor, mask: None, dropout: float) -> Tensor:
    """Attention without the 1/√D."""
    return attention_by_heads(queries * math.sqrt(queries.shape[-1]), keys, values)


def masked_too_late(queries: Tensor, keys: Tensor, values: Tensor, mask: None, dropout: float) -> Tensor:
    """WRONG on purpose: the softmax runs over all tokens, and the forbidden weights become 0 after it."""
    scores = queries @ keys.transpose(-2, -1) / math.sqrt(queries.shape[-1])  # [B,H,T,S]
    weights = scores.softmax(dim=-1) * causal_mask(queries.shape[2], queries.device)  # [B,H,T,S]
    return weights @ values  # [B,H,T,D]


MIXES: dict[str, Mix] = {
    "alone": alone,
    "average": average,
    "attention": attention_fused,
    "unscaled": unscaled,
    "masked_too_late": masked_too_late,
}


@contextmanager
def model_uses(mix: Mix) -> Iterator[None]:
    """Every GPT computes attention with `mix` until the block ends."""
    original = minigpt.model.attention_fused
    minigpt.model.attention_fused = mix
    try:
        yield
    finally:
        minigpt.model.attention_fused = original


# ---- The run ---------------------------------------------------------------------------------------------------------


def train(objective: LanguageModelObjective, model: GPT, config: PretrainConfig) -> None:
    """The steps of `minigpt.training.train`, without the files."""
    optimizer, steps = Optimizer(model, config.training), config.training.steps
    for step in range(steps):
        optimizer.zero_grad()
        (micro,) = objective.micro_batches(step)
        loss, _ = objective.loss_sum(model, micro)
        (loss / objective.weight(micro)).backward()
        optimizer.clip_gradients()
        optimizer.step(lr_factor(step, steps, config.training))


def measure(mix: Mix, objective: LanguageModelObjective, shape: GPTConfig, config: PretrainConfig) -> dict[str, float]:
    """Validation loss in nats/token: as trained, and with the right attention in place of a wrong one.

    The second is the loss of a model that writes: then the last token has no future, and a mask that comes too late has
    nothing left to hide.
    """
    model = GPT(shape, seed=config.seed)
    with model_uses(mix):
        train(objective, model, config)
        model.eval()
        measured = {"loss": objective.evaluate(model)["loss"]}
    if mix is masked_too_late:
        measured["loss_without_future"] = objective.evaluate(model)["loss"]
    return measured


def table(rows: dict[str, float]) -> str:
    """Names and losses, two digits."""
    width = max(map(len, rows))
    return "\n".join(f"{name:<{width}}  {loss:.2f}" for name, loss in rows.items())


def main(argv: list[str]) -> None:
    """Trains the five models one after the other and writes the file."""
    config = parse(PretrainConfig, ["--preset", "tiny", *argv], description=__doc__, presets=PRESETS)
    torch.set_num_threads(1)
    at = commit()
    data = prepare(config, config.model.vocab_size)
    tokenizer = data.tokenizer
    shape = dataclasses.replace(config.model, vocab_size=tokenizer.vocab_size)
    objective = LanguageModelObjective(
        tokenizer,
        data.training,
        data.validation,
        context=shape.context,
        batch_size=config.training.batch_size,
        micro_batch_size=0,
        seed=config.seed,
        device=CPU,
    )
    started, results = time.monotonic(), {}
    for name, mix in MIXES.items():
        results[name] = measure(mix, objective, shape, config)
        print(name, results[name], flush=True)
    useful = {
        "every token alone": results["alone"]["loss"],
        "equal average of the past": results["average"]["loss"],
        "attention": results["attention"]["loss"],
    }
    wrong = {
        "attention": results["attention"]["loss"],
        "mask after the softmax": results["masked_too_late"]["loss"],
        "the same weights, when there is no future to see": results["masked_too_late"]["loss_without_future"],
    }
    record(
        "attention-tiny",
        {"table": table(useful), "wrong_table": table(wrong), "results": results, "head_size": shape.head_size},
        command="python -m tutorials.numbers.make.attention",
        commit=at,
        seeds=[config.seed],
        threads=1,
        seconds=time.monotonic() - started,
        code=["minigpt/attention.py", "minigpt/model.py", "minigpt/pretrain.py"],
    )


if __name__ == "__main__":
    run_main(main)
