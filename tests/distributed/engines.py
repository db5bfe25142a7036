"""The program of test_engines.py, for one process or several: a few training steps under one engine, and their numbers.

    torchrun --nproc-per-node 2 -m tests.distributed.engines OUT PRECISION COMPILE [shard]

COMPILE is off, or a backend of torch.compile. OUT is a JSON file: losses, gradient norms, names of the weights.
"""

import json
import sys
from pathlib import Path

import torch

from minigpt.data import IGNORE
from minigpt.model import GPT, GPTConfig
from minigpt.objective import next_token_loss_sum
from minigpt.optim import Optimizer, OptimizerConfig
from minigpt.scale.compilation import compile_blocks
from minigpt.scale.decoding import generate_together
from minigpt.scale.distributed import is_main, process_group, share, sum_over_processes
from minigpt.scale.precision import compute_dtype, set_precision
from minigpt.scale.sharding import model_state, replicate, shard, sync_gradients

CPU = torch.device("cpu")
STEPS = 6


def micro_batches(step: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Two micro-batches of inputs and targets [2,T] for each of two processes; T is another in every step."""
    generator = torch.Generator().manual_seed(step)
    ids = torch.randint(60, (8, 8 + step), generator=generator)  # [8,T+1]
    targets = ids[:, 1:].masked_fill(ids[:, 1:] % 7 == 0, IGNORE)  # [8,T]
    return list(zip(ids[:, :-1].split(2), targets.split(2), strict=True))


def loss_sum(model, micro):
    """As in pretraining, from two forward passes before one backward pass, as in the reward model and DPO."""
    inputs, targets = micro
    halves = zip(inputs.split(1), targets.split(1), strict=True)
    return sum(next_token_loss_sum(model(part), goal) for part, goal in halves)


def numbers(precision: str, backend: str, sharded: bool) -> dict[str, object]:
    """Trains, samples, and says how it went."""
    model = set_precision(GPT(GPTConfig(60, 24, 2, 2, 16), seed=1), compute_dtype(precision, CPU))
    if sharded:
        shard(model)
    if backend != "off":
        compile_blocks(model, "on", backend)
    module, optimizer = replicate(model), Optimizer(model, OptimizerConfig(learning_rate=0.01))
    losses, norms = [], []
    for step in range(STEPS):
        optimizer.zero_grad()
        total = 0.0
        mine = share(micro_batches(step))
        for number, micro in enumerate(mine, start=1):
            sync_gradients(module, last=number == len(mine))
            loss = loss_sum(module, micro) / 64
            loss.backward()
            total += loss.item()
        losses.append(sum_over_processes({"loss": total}, CPU)["loss"])
        norms.append(optimizer.clip_gradients())
        optimizer.step(1.0)
    written = generate_together(
        model,
        [[5, 6, 7], [8], [9, 10]],
        max_new_tokens=6,
        stop_tokens=[],
        pad_id=0,
        want_logprobs=True,
        generator=torch.Generator().manual_seed(2),
    )
    weights = model_state(model)
    return {
        "losses": losses,
        "norms": norms,
        "logprob": float(written.logprobs.sum()),
        "names": sorted(weights),
        "dtypes": sorted({str(weight.dtype) for weight in weights.values()}),
    }


def expect_no_threads_of_gloo() -> None:
    """Raises if gloo's threads outlive their group: one of them may hold a tensor while the interpreter ends, and then
    the process aborts with "terminate called without an active exception", once in some hundred runs."""
    names = [file.read_text(encoding="utf-8").strip() for file in Path("/proc/self/task").glob("*/comm")]  # Linux only
    left = [name for name in names if "gloo" in name]
    if left:
        raise AssertionError(f"the group was destroyed while something holds it (a device mesh?): {left} still run")


def main(argv: list[str]) -> None:
    """Writes the numbers."""
    out, precision, backend, *sharded = argv
    torch.set_num_threads(1)
    with process_group():
        found = numbers(precision, backend, bool(sharded))  # DDP is gone before the group that it speaks through
        if is_main():
            Path(out).write_text(json.dumps(found), encoding="utf-8")
    expect_no_threads_of_gloo()


if __name__ == "__main__":
    main(sys.argv[1:])
