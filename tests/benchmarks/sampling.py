"""Sampling: tokens a second beside transformers' generate, and the time a token as the context grows.

Both have random weights, a cache, the same shape, and write the same number of tokens for every row: no token ends a
row, and both sample from the whole distribution.
"""

from collections.abc import Callable
from itertools import pairwise
from statistics import median

import torch

from minigpt.generate import generate
from minigpt.model import GPT, GPTConfig
from minigpt.scale.timing import REPEATS, median_seconds, seconds_of
from tests.benchmarks.report import Options, Part, Result

CPU = torch.device("cpu")
ROWS, PROMPT, NEW = 64, 16, 192
GOAL, FLAT = 2.5, 1.5
LENGTHS = (8, 56, 120, 240)  # new tokens; the windows between them are compared
QUICK = GPTConfig(vocab_size=32, context=32, layers=1, heads=2, channels=8)
SHAPE = GPTConfig(vocab_size=1024, context=256, layers=4, heads=4, channels=128)


def our_writer(config: GPTConfig, rows: int, prompt: int) -> Callable[[int], object]:
    """A function that writes n tokens for each row."""
    model, generator = GPT(config), torch.Generator().manual_seed(0)
    prompts = torch.randint(config.vocab_size, (rows, prompt), generator=generator).tolist()
    return lambda n: generate(model, prompts, max_new_tokens=n, stop_tokens=[], pad_id=0, generator=generator)


def their_writer(config: GPTConfig, rows: int, prompt: int) -> Callable[[int], object]:
    """The same with transformers' GPT-2."""
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=config.vocab_size,
            n_positions=config.context,
            n_embd=config.channels,
            n_layer=config.layers,
            n_head=config.heads,
            bos_token_id=None,
            eos_token_id=None,
            pad_token_id=0,
        )
    ).eval()
    ids = torch.randint(1, config.vocab_size, (rows, prompt))  # [B,T]
    mask = torch.ones_like(ids)  # [B,T]

    def write(n: int) -> None:
        written = model.generate(
            ids, attention_mask=mask, do_sample=True, top_k=0, temperature=1.0, max_new_tokens=n, min_new_tokens=n
        )
        if written.shape[1] != prompt + n:
            raise ValueError(f"transformers wrote {written.shape[1] - prompt} tokens instead of {n}")

    return write


def throughput(config: GPTConfig, rows: int, prompt: int, new: int, rounds: int) -> Result:
    """One after the other, in rounds, after a short run of each that is not counted."""
    writers = our_writer(config, rows, prompt), their_writer(config, rows, prompt)
    for write in writers:
        write(2)
    seconds = [[seconds_of(lambda write=write: write(new), CPU) for write in writers] for _ in range(rounds)]
    ours, theirs = (rows * new / median(times) for times in zip(*seconds, strict=True))
    ratios = tuple(their / our for our, their in seconds)
    what = f"sampling L{config.layers} C{config.channels} V{config.vocab_size}, {rows} rows, {prompt} + {new} tokens"
    return Result(what, ours, "tokens/s", "transformers' generate", theirs, median(ratios), GOAL, rounds=ratios)


def growth_of_a_token(config: GPTConfig, rows: int, prompt: int, lengths: tuple[int, ...], repeats: int) -> Part:
    """Seconds of one more token in windows of the context: differences of runs that stop sooner and later, so that
    reading the prompt does not count."""
    write = our_writer(config, rows, prompt)
    seconds = [median_seconds(lambda n=n: write(n), CPU, repeats) for n in lengths]
    pairs = list(zip(lengths, seconds, strict=True))
    milliseconds = [1000 * (after - before) / (more - fewer) for (fewer, before), (more, after) in pairwise(pairs)]
    windows = [[prompt + fewer, prompt + more] for fewer, more in pairwise(lengths)]
    what = f"a token at context {windows[-1][0]} to {windows[-1][1]}"
    yardstick = f"ms at {windows[0][0]} to {windows[0][1]}"
    ratio = milliseconds[-1] / milliseconds[0]
    result = Result(what, milliseconds[-1], "ms", yardstick, milliseconds[0], ratio, FLAT, at_most=True)
    return Part([result], data={"windows": windows, "milliseconds": milliseconds})


def measure(options: Options) -> Part:
    """Throughput, then flatness."""
    if options.quick:
        first, flat = throughput(QUICK, 2, 4, 4, 1), growth_of_a_token(QUICK, 2, 4, (2, 10, 20), 1)
    else:
        first = throughput(SHAPE, ROWS, PROMPT, NEW, REPEATS)
        flat = growth_of_a_token(SHAPE, ROWS, PROMPT, LENGTHS, REPEATS)
    return Part([first, *flat.results], data=flat.data)
