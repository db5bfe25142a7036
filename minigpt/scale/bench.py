"""The speed of training a model of this shape here: tokens a second, and the share of the device's arithmetic it uses.

    python -m minigpt.scale.bench --preset small
    python -m minigpt.scale.bench --preset gpt2
    python -m minigpt.scale.bench --preset gpt2 --batch-size 8 --micro-batch-size 8 --steps 10

It takes a few training steps on random tokens with the loop, optimiser and precision that pretraining uses, and times a
large matrix product just before and just after. MFU, model FLOPs utilisation, is FLOPs/s of training, counted as
accounting.flops_per_token says, over the rate of the product. Writes runs/<preset>/bench/bench.json.
"""

import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, median

import torch
from torch import Tensor, nn

from minigpt.model import GPT, GPTConfig
from minigpt.objective import Batch, next_token_loss_sum
from minigpt.pretrain import PRESETS as PRETRAIN_PRESETS
from minigpt.runs.config import RunConfig, option, parse, to_dict
from minigpt.runs.errors import UserError, run_main
from minigpt.runs.files import write_json
from minigpt.runs.folder import RunFolder
from minigpt.scale.accounting import flops_per_token
from minigpt.scale.precision import compute_dtype, dtype_name, set_precision
from minigpt.scale.timing import matrix_product_rate
from minigpt.training import Run, TrainingConfig

STAGE = "bench"
WARM_UP = 3  # steps that are not counted: the first allocate, and compile where something is compiled


@dataclass(frozen=True)
class BenchConfig(RunConfig):
    """Settings of the measurement."""

    product_side: int = option(0, "rows of the square matrices whose product is timed; 0 chooses for the device", low=0)
    model: GPTConfig = field(default_factory=GPTConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def check_fields(self) -> None:
        if self.training.steps <= WARM_UP:
            raise UserError(
                f"--steps: expected more than {WARM_UP}, as the first {WARM_UP} are not counted, got "
                f"{self.training.steps}"
            )
        if self.training.shard:
            raise UserError("--shard: bench measures one process, which holds the whole model; leave it out")


SHAPE = ("layers", "channels", "heads", "context", "vocab_size")
BRIEF = {"steps": 20, "evaluate_every": 0, "checkpoint_every": 0}
PRESETS: dict[str, dict[str, object]] = {
    # The shapes that `python -m minigpt.pretrain` has presets for, with their batches …
    **{
        name: {**BRIEF, **{key: value for key, value in preset.items() if key in (*SHAPE, "batch_size")}}
        for name, preset in PRETRAIN_PRESETS.items()
    },
    # … and GPT-2's smallest, 124 M parameters (Radford et al. 2019, table 2). The vocabulary is rounded up from 50,257
    # to a multiple of 128, which GPUs multiply faster; 16 rows at once are 3.3 GB of logits in float32.
    "gpt2": {
        **BRIEF,
        "layers": 12,
        "channels": 768,
        "heads": 12,
        "context": 1024,
        "vocab_size": 50304,
        "position": "learned",
        "norm": "layernorm",
        "mlp": "gelu_tanh",
        "bias": True,
        "batch_size": 32,
        "micro_batch_size": 16,
    },
}


class RandomTokens:
    """Next-token prediction where there is nothing to learn: the same random ids in every step. See Objective."""

    def __init__(self, config: GPTConfig, training: TrainingConfig, device: torch.device, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        shape = (training.batch_size, config.context + 1)
        ids = torch.randint(config.vocab_size, shape, generator=generator).to(device)  # [B,T+1]
        size = training.micro_batch_size or training.batch_size
        self.micros = list(zip(ids[:, :-1].split(size), ids[:, 1:].split(size), strict=True))  # [b,T] each

    def micro_batches(self, step: int) -> list[Batch]:
        return self.micros

    def weight(self, micro: Batch) -> int:
        return micro[1].numel()

    def tokens(self, micro: Batch) -> int:
        return micro[0].numel()

    def loss_sum(self, model: nn.Module, micro: Batch) -> tuple[Tensor, dict[str, Tensor | float]]:
        inputs, targets = micro
        return next_token_loss_sum(model(inputs), targets), {}

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        return {}

    def samples(self, model: nn.Module) -> str:
        return ""


def training_rates(
    config: GPTConfig, training: TrainingConfig, device: torch.device, dtype: torch.dtype = torch.float32
) -> list[float]:
    """Tokens a second of each training step after the first WARM_UP, taken as every stage takes them."""
    model = set_precision(GPT(config).to(device), dtype)
    folder = RunFolder(Path(STAGE), describe={})  # never begun, so nothing is written
    run = Run(model, RandomTokens(config, training, device), training, folder, {}, seed=0)
    with torch.random.fork_rng():  # a step seeds torch's global generator, which is given back as it was
        rows = [run.step() for _ in range(training.steps)]
    return [float(row["tokens_per_second"]) for row in rows[WARM_UP:]]


@dataclass(frozen=True)
class Utilisation:
    """Tokens a second, FLOP/s of training and of the matrix product, and their quotient."""

    tokens_per_second: float
    training_flops: float
    product_flops: float

    @property
    def mfu(self) -> float:
        return self.training_flops / self.product_flops


def utilisation(config: GPTConfig, rates: Sequence[float], product_flops: float) -> Utilisation:
    """MFU from the rates of several steps: their median is what is used."""
    tokens_per_second = median(rates)
    return Utilisation(tokens_per_second, tokens_per_second * flops_per_token(config, config.context), product_flops)


def measure(
    config: GPTConfig, training: TrainingConfig, device: torch.device, dtype: torch.dtype, side: int = 0
) -> Utilisation:
    """Training between two measurements of the matrix product, whose mean it is held against: a shared machine, or a
    hot one, is slower at one moment than at another."""
    before = matrix_product_rate(device, dtype, side)
    rates = training_rates(config, training, device, dtype)
    after = matrix_product_rate(device, dtype, side)
    return utilisation(config, rates, fmean((before, after)))


def device_name(device: torch.device) -> str:
    """The name of the GPU, or the number of threads of the CPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{torch.get_num_threads()} threads" if device.type == "cpu" else f"{platform.machine()}, its GPU"


def main(argv: list[str]) -> None:
    """Measures and prints."""
    config = parse(BenchConfig, argv, description=__doc__, presets=PRESETS)
    device, training = config.torch_device(), config.training
    dtype = compute_dtype(config.precision, device)
    name = device_name(device)
    print(f"{config.model.parameter_count():,} parameters on {device} ({name}), {dtype_name(dtype)}")
    found = measure(config.model, training, device, dtype, config.product_side)
    print(
        f"{found.tokens_per_second:,.0f} tokens/s, {found.training_flops / 1e12:.3g} TFLOP/s of "
        f"{found.product_flops / 1e12:.3g} TFLOP/s in a matrix product: MFU {found.mfu:.1%}"
    )
    write_json(
        config.stage_dir(STAGE) / "bench.json",
        {
            "config": to_dict(config),
            "device": str(device),
            "device_name": name,
            "precision": dtype_name(dtype),
            "torch": torch.__version__,
            "python": platform.python_version(),
            "parameters": config.model.parameter_count(),
            "tokens_per_second": found.tokens_per_second,
            "training_flops": found.training_flops,
            "product_flops": found.product_flops,
            "mfu": found.mfu,
        },
    )


if __name__ == "__main__":
    run_main(main)
