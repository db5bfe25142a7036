"""The growth of cost: tokens/s and memory over parameters, context, batch, answers to a prompt, and cores.

One thing varies at a time, around the shape L4 C128 T128 B32 V1024. Memory is the peak of live tensors, weights,
gradients and moments included, in a run of its own, because the meter slows what it watches.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from statistics import median
from typing import Any

import torch

from minigpt.generate import generate
from minigpt.model import GPT, GPTConfig
from minigpt.optim import Optimizer
from minigpt.scale.bench import RandomTokens, training_rates
from minigpt.scale.timing import median_seconds
from minigpt.training import TrainingConfig
from tests.benchmarks.report import Options, Part, cores
from tests.meter import Meter

CPU = torch.device("cpu")
BASE = GPTConfig(vocab_size=1024, context=128, layers=4, heads=4, channels=128)
BATCH = 32
STEPS = 8
PROMPTS, PROMPT_TOKENS, NEW_TOKENS = 8, 64, 32

Point = dict[str, Any]


def train_memory(config: GPTConfig, training: TrainingConfig) -> float:
    """MB at the worst moment of a second step, when gradients and moments are there."""
    with Meter() as meter:
        model = GPT(config)
        optimizer, objective = Optimizer(model, training), RandomTokens(config, training, CPU)
        for _ in range(2):
            optimizer.zero_grad()
            for micro in objective.micro_batches(0):
                objective.loss_sum(model, micro)[0].backward()
            optimizer.step(1.0)
        return meter.peak / 1e6


def train_point(x: float, config: GPTConfig, batch_size: int, steps: int) -> Point:
    """Training: tokens/s and MB."""
    training = TrainingConfig(optimizer="adamw", steps=steps, batch_size=batch_size)
    return {
        "x": x,
        "tokens_per_second": median(training_rates(config, training, CPU)),
        "megabytes": train_memory(config, training),
    }


def sample_point(copies: int, config: GPTConfig, new_tokens: int, repeats: int) -> Point:
    """Writing K answers to each prompt: tokens/s of all rows, and MB."""
    model, generator = GPT(config), torch.Generator().manual_seed(0)
    prompts = torch.randint(config.vocab_size, (PROMPTS, config.context - new_tokens), generator=generator).tolist()

    def write() -> None:
        generate(
            model,
            [prompt[:PROMPT_TOKENS] for prompt in prompts],
            max_new_tokens=new_tokens,
            stop_tokens=[],
            pad_id=0,
            generator=generator,
            samples_per_prompt=copies,
        )

    seconds = median_seconds(write, CPU, repeats)
    with Meter() as meter:
        write()
    weights = 4 * config.parameter_count()  # they were there before the meter
    rate = PROMPTS * copies * new_tokens / seconds
    return {"x": copies, "tokens_per_second": rate, "megabytes": (meter.peak + weights) / 1e6}


@contextmanager
def threads(count: int) -> Iterator[None]:
    """So many of them, and afterwards as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def on_cores(count: int, config: GPTConfig, batch_size: int, steps: int) -> Point:
    with threads(count):
        return train_point(count, config, batch_size, steps)


def measure(options: Options) -> Part:
    """Five curves. With a longer context the batch shrinks, so that a step always has as many tokens."""
    base = replace(BASE, layers=1, heads=2, channels=16, vocab_size=64, context=16) if options.quick else BASE
    batch, steps, repeats = (4, 4, 1) if options.quick else (BATCH, STEPS, 3)
    few = 2 if options.quick else 5
    # not in a quick run: beside other tests, two threads for so little work wait for each other most of the time
    counts = [count for count in (1, 2, 4, 8, 16) if count <= (1 if options.quick else cores())]
    wide = [replace(base, channels=base.channels * factor // 2) for factor in (1, 2, 3, 4, 6)[:few]]
    long = [(base.context * factor // 2, batch * 2 // factor) for factor in (1, 2, 4, 8)[:few]]
    new_tokens = min(NEW_TOKENS, base.context // 2)
    data = {
        "parameters": [train_point(shape.parameter_count(), shape, batch, steps) for shape in wide],
        "context": [train_point(T, replace(base, context=T), B, steps) for T, B in long],
        "batch": [train_point(B, base, B, steps) for B in (batch // 4, batch // 2, batch, batch * 2)[:few]],
        "answers to a prompt": [sample_point(K, base, new_tokens, repeats) for K in (1, 2, 4, 8, 16)[:few]],
        "cores": [on_cores(count, base, batch, steps) for count in counts],
    }
    return Part([], remarks=[line for name, points in data.items() for line in in_words(name, points)], data=data)


def in_words(name: str, points: list[Point]) -> list[str]:
    """One line for each point."""
    return [
        f"{name} {point['x']:,}: {point['tokens_per_second']:,.0f} tokens/s, {point['megabytes']:,.1f} MB"
        for point in points
    ]
