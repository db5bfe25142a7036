"""heads-tiny.json: the loss of preset tiny with 1, 4 and 16 heads, which have as many parameters.

    python -m tutorials.numbers.make.heads

The models see the same batches, rows of 64 tokens, and start from the same weights; only the number of heads differs.
"""

from __future__ import annotations

import dataclasses
import time

import torch

from minigpt.model import GPT
from minigpt.objective import LanguageModelObjective
from minigpt.pretrain import PRESETS, PretrainConfig
from minigpt.pretraining_data import prepare
from minigpt.runs.config import parse
from minigpt.runs.errors import run_main
from tutorials.numbers.make.attention import train
from tutorials.numbers.make.record import commit, record

CPU = torch.device("cpu")
HEADS, CONTEXT = (1, 4, 16), 64


def main(argv: list[str]) -> None:
    """Trains the models one after the other and writes the file."""
    config = parse(PretrainConfig, ["--preset", "tiny", *argv], description=__doc__, presets=PRESETS)
    torch.set_num_threads(1)
    at, started = commit(), time.monotonic()
    data = prepare(config, config.model.vocab_size)
    shape = dataclasses.replace(config.model, vocab_size=data.tokenizer.vocab_size, context=CONTEXT)
    objective = LanguageModelObjective(
        data.tokenizer,
        data.training,
        data.validation,
        context=CONTEXT,
        batch_size=config.training.batch_size,
        micro_batch_size=0,
        seed=config.seed,
        device=CPU,
    )
    losses, parameters, lines = {}, set(), [f"{'heads':>5}{'numbers in a head':>19}{'nats/token':>12}"]
    for heads in HEADS:
        model = GPT(dataclasses.replace(shape, heads=heads), seed=config.seed)
        parameters.add(model.parameter_count())
        train(objective, model, config)
        losses[str(heads)] = objective.evaluate(model.eval())["loss"]
        lines.append(f"{heads:5d}{shape.channels // heads:19d}{losses[str(heads)]:12.2f}")
        print(lines[-1], flush=True)
    (count,) = parameters
    record(
        "heads-tiny",
        {"table": "\n".join(lines), "losses": losses, "parameters": count},
        command="python -m tutorials.numbers.make.heads",
        commit=at,
        seeds=[config.seed],
        threads=1,
        seconds=time.monotonic() - started,
        code=["minigpt/attention.py", "minigpt/model.py", "minigpt/pretrain.py"],
    )


if __name__ == "__main__":
    run_main(main)
