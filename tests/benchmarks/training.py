"""Training throughput: what share of the matrix product's rate do our training steps reach, and a plain GPT-2's?

Both take AdamW steps on random tokens, in rounds: product, ours, plain, product. A round gives one ratio; their median
is the result. FLOPs are counted alike, 6·N·tokens + attention, as accounting.flops_per_token says.
"""

from statistics import fmean, median

import torch

from minigpt.model import GPTConfig
from minigpt.scale.accounting import flops_per_token
from minigpt.scale.bench import WARM_UP, training_rates
from minigpt.scale.timing import matrix_product_rate, seconds_of
from minigpt.training import TrainingConfig
from tests.benchmarks.peers.plain_gpt2 import PlainGPT2, adamw, training_step
from tests.benchmarks.report import Options, Part, Result

CPU = torch.device("cpu")
ROUNDS = 5
STEPS = 13  # of each round, of which the first few are not counted
MICRO_BATCH = 8  # rows of ours at once; fewer stay in the caches of the processor, more fill its units better
GOAL, AS_FAST = 0.70, 1.0
WIDTHS = (192, 128)


def shape(channels: int) -> GPTConfig:
    """The shapes of the issue; all else is what our stages train."""
    return GPTConfig(vocab_size=1024, context=128, layers=4, heads=4, channels=channels)


def plain_rate(config: GPTConfig, batch_size: int, steps: int) -> float:
    """Tokens a second of the plain GPT-2, the median over all steps but those of the warm-up."""
    model = PlainGPT2(config.vocab_size, config.context, config.layers, config.heads, config.channels)
    optimizer = adamw(model)
    ids = torch.randint(config.vocab_size, (batch_size, config.context + 1))  # [B,T+1]
    seconds = [seconds_of(lambda: training_step(model, optimizer, ids[:, :-1], ids[:, 1:]), CPU) for _ in range(steps)]
    return batch_size * config.context / median(seconds[WARM_UP:])


def one_shape(config: GPTConfig, training: TrainingConfig, rounds: int, side: int) -> list[Result]:
    """Both models against the product, and against each other."""
    ours, plain, products = [], [], []
    for _ in range(rounds):
        before = matrix_product_rate(CPU, torch.float32, side)
        ours.append(median(training_rates(config, training, CPU)))
        plain.append(plain_rate(config, training.batch_size, training.steps))
        products.append(fmean((before, matrix_product_rate(CPU, torch.float32, side))))
    flops = flops_per_token(config, config.context)
    name = f"training L{config.layers} C{config.channels} T{config.context} B{training.batch_size}"
    product = median(products) / 1e9

    def share(what: str, rates: list[float], goal: float | None) -> Result:
        ratios = [rate * flops / rate_of_product for rate, rate_of_product in zip(rates, products, strict=True)]
        value = median(rates) * flops / 1e9
        return Result(
            what, value, "GFLOP/s", "of a matrix product", product, median(ratios), goal, rounds=tuple(ratios)
        )

    times = [one / other for one, other in zip(ours, plain, strict=True)]
    return [
        share(name, ours, GOAL),
        share(f"{name}, plain GPT-2", plain, None),
        Result(
            name, median(ours), "tokens/s", "plain GPT-2", median(plain), median(times), AS_FAST, rounds=tuple(times)
        ),
    ]


def measure(options: Options) -> Part:
    """Both shapes of the issue."""
    if options.quick:
        tiny = GPTConfig(vocab_size=32, context=8, layers=1, heads=2, channels=8)
        return Part(one_shape(tiny, TrainingConfig(optimizer="adamw", steps=5, batch_size=2), rounds=1, side=32))
    training = TrainingConfig(optimizer="adamw", steps=STEPS, batch_size=32, micro_batch_size=MICRO_BATCH)
    return Part([line for width in WIDTHS for line in one_shape(shape(width), training, ROUNDS, side=0)])
