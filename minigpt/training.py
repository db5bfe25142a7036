"""The supervised training loop: pretraining, fine-tuning, reward model, DPO and GRPO differ only in their Objective.

The loss of a step is one mean over all of its tokens, however they are split into micro-batches. The batch and the
dropout of a step are functions of (seed, step), so the position in the data is the step number, and a resumed run
repeats an uninterrupted one bit for bit. Ctrl-C waits until a step is complete, so a state that is saved is never half
of an update.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

from minigpt.optim import Optimizer, OptimizerConfig, lr_factor
from minigpt.runs.config import option
from minigpt.runs.errors import DivergedError, UserError
from minigpt.runs.folder import RunFolder
from minigpt.runs.interrupt import uninterrupted
from minigpt.runs.log.metrics import Row
from minigpt.runs.log.progress import Progress
from minigpt.runs.seeds import seed_of
from minigpt.scale.compilation import compile_blocks
from minigpt.scale.distributed import rank, share, sum_over_processes, world_size
from minigpt.scale.precision import dtype_name, dtype_of
from minigpt.scale.sharding import load_model_state, model_state, replicate, shard, sync_gradients

Micro = TypeVar("Micro")


@dataclass(frozen=True)
class TrainingConfig(OptimizerConfig):
    """Length of a training, size of its batches, and how often it is evaluated and saved."""

    steps: int = option(1500, "optimiser steps", low=1)
    batch_size: int = option(16, "in one optimiser step: sequences; for the reward model, DPO and GRPO, prompts", low=1)
    micro_batch_size: int = option(
        0, "how many of them (for GRPO, answers) are computed at once; fewer save memory; 0 is all of them", low=0
    )
    evaluate_every: int = option(250, "steps between evaluations and samples; 0 evaluates only before and after", low=0)
    checkpoint_every: int = option(250, "steps between saves to resume from; 0 saves only on Ctrl-C", low=0)
    log_every: int = option(1, "steps between lines of metrics.jsonl", low=1)


class Objective(Protocol[Micro]):
    """Data and loss of a stage: all that the loop knows about what is learned."""

    def micro_batches(self, step: int) -> list[Micro]:
        """The data of one optimiser step: a function of `step` (from 0) and, where it is sampled, of the weights."""

    def weight(self, micro: Micro) -> int:
        """The number of units (target tokens, prompts) that the loss of `micro` sums over."""

    def tokens(self, micro: Micro) -> int:
        """The number of real tokens that pass through the model, for tokens/s."""

    def loss_sum(self, model: nn.Module, micro: Micro) -> tuple[Tensor, dict[str, Tensor | float]]:
        """The loss SUMMED over the units of `micro`, a scalar, and further metrics summed in the same way."""

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Metrics on validation data, the same data each time. The loop writes them as eval_<name>."""

    def samples(self, model: nn.Module) -> str:
        """A few outputs of the model as Markdown; "" if there is nothing to show."""


@dataclass
class RunState:
    """The progress of a run, apart from weights and optimiser. All of it is saved to resume from."""

    step: int = 0  # optimiser steps completed
    num_tokens: int = 0
    seconds: float = 0.0  # of all sessions together
    # The row of the last step, until its evaluation is done and it is written: Ctrl-C may fall in between.
    row: Row | None = field(default_factory=lambda: {"step": 0, "num_tokens": 0, "seconds": 0.0})


def train(
    model: nn.Module,
    objective: Objective[Any],
    config: TrainingConfig,
    *,
    stage_dir: Path,
    describe: Mapping[str, Any],
    checkpoint_payload: Mapping[str, Any],
    seed: int,
    made_from: Mapping[str, Any] | None = None,
    on_start: Callable[[Path], None] | None = None,
    on_log: Callable[[Sequence[Row]], str] | None = None,
    on_finish: Callable[[Path], None] | None = None,
) -> Row:
    """Train `model` in place and write the files of the run to `stage_dir`. Returns the last row of metrics.jsonl.

    describe: all that decides the result but the model's precision, see folder.RunFolder, where `made_from` is
    explained too. checkpoint_payload: what makes checkpoint.pt self-describing: kind, config, tokenizer. on_start and
    on_finish get the folder that the run writes to. on_start is called when it is sure that the run goes ahead, and
    writes what the stage keeps beside it. on_log is called after each row with all rows, and returns a warning or "".
    on_finish is called after the last step and before checkpoint.pt is written, for what belongs to the model but is
    not learned by gradient; it may be called twice.
    Raises UserError if the loss, the gradient or a weight is not finite.
    """
    # Dropout draws from torch's global generator, which is given back to the caller as it was.
    with torch.random.fork_rng():
        # --precision auto depends on the device, and a resumed run must not change its precision
        folder = RunFolder(stage_dir, {**describe, "computes_in": dtype_name(dtype_of(model))}, made_from=made_from)
        run = Run(model, objective, config, folder, checkpoint_payload, seed, on_log)
        run.restore()
        if on_start is not None:
            on_start(folder.path)
        folder.begin()
        try:
            run.take_steps()
            if on_finish is not None:
                on_finish(folder.path)
            with suppress(KeyboardInterrupt), uninterrupted():  # pressed now, it comes too late: the run has ended
                folder.end(run.state.step, {**checkpoint_payload, "model": model_state(model)})
        except KeyboardInterrupt:
            with uninterrupted():
                if not config.shard:  # putting slices together takes all processes, and each stops at another place
                    run.save()
                folder.stopped(f"after step {run.state.step}")
            raise
        except DivergedError as error:
            raise UserError(
                f"{run.where}: {error}; likely a learning rate that is too high (--learning-rate "
                f"{config.learning_rate}, --matrix-learning-rate {config.matrix_learning_rate}), too short a warm-up "
                f"(--warmup-steps {config.warmup_steps}) or non-finite numbers in the data or the starting weights; "
                f"{folder.recovery_hint()}"
            ) from None
        return folder.rows[-1]


class Run:
    """One training run: the steps, and what is written after each of them."""

    def __init__(
        self,
        model: nn.Module,
        objective: Objective[Any],
        config: TrainingConfig,
        folder: RunFolder,
        payload: Mapping[str, Any],
        seed: int,
        on_log: Callable[[Sequence[Row]], str] | None = None,
    ) -> None:
        self.model, self.objective, self.config, self.seed = model, objective, config, seed
        self.folder, self.payload, self.on_log = folder, payload, on_log
        if config.shard:
            shard(model)
        compile_blocks(model, config.compile)
        self.module = replicate(model)
        self.optimizer = Optimizer(model, config)
        self.state = RunState()
        self.where = "before the first step"  # for messages
        self.clock = time.monotonic()  # when the last step was complete

    def take_steps(self) -> None:
        """The steps that remain, and the curves."""
        self.clock = time.monotonic()
        self.model.train()
        with Progress(self.folder.stage_dir.name, self.config.steps, self.state.step) as progress:
            self.finish_row()
            while self.state.step < self.config.steps:
                row = self.step()
                progress.update(f"loss {row['loss']:.3f}, {row['tokens_per_second']:,.0f} tokens/s")
                self.finish_row()
        self.folder.draw_curves()

    # ---- One step ----

    def step(self) -> Row:
        """One optimiser step. Returns its row of metrics, and writes no file."""
        state, started = self.state, time.monotonic()
        self.where = f"step {state.step + 1}"
        torch.manual_seed(seed_of(self.seed, "dropout", state.step, rank()))  # a function of the step, like the data
        micro_batches = self.objective.micro_batches(state.step)
        # The denominator is that of the whole step. A mean of micro-batch means weighs a token more the fewer tokens
        # its micro-batch has, so the result depends on how the batch was split (huggingface/trl#2175, nanochat#59).
        total = sum(self.objective.weight(micro) for micro in micro_batches)
        self.check_batch(micro_batches, total)

        self.optimizer.zero_grad()
        sums = {"loss": 0.0}
        mine = share(micro_batches)  # of several processes, each computes some of the micro-batches
        for number, micro in enumerate(mine, start=1):
            sync_gradients(self.module, last=number == len(mine))
            loss_sum, metrics = self.objective.loss_sum(self.module, micro)
            self.check_loss(loss_sum, micro, f"micro-batch {number} of {len(mine)}")
            (loss_sum / total).backward()
            for name, value in {"loss": loss_sum.item(), **metrics}.items():
                sums[name] = sums.get(name, 0.0) + float(value)
        grad_norm = self.optimizer.clip_gradients()
        if not math.isfinite(grad_norm):
            raise DivergedError(f"the gradient norm is {grad_norm} (the whole batch)")
        factor = lr_factor(state.step, self.config.steps, self.config)

        means = {name: value / total for name, value in sum_over_processes(sums, loss_sum.device).items()}
        tokens = sum(self.objective.tokens(micro) for micro in micro_batches)
        with uninterrupted():
            self.optimizer.step(factor)
            now = time.monotonic()
            state.step += 1
            state.num_tokens += tokens
            state.seconds += now - self.clock
            self.clock = now
            state.row = {
                "step": state.step,
                "num_tokens": state.num_tokens,
                "seconds": round(state.seconds, 3),
                **means,
                "learning_rate": self.config.learning_rate * factor,
                "grad_norm": grad_norm,
                "tokens_per_second": round(tokens / max(now - started, 1e-9), 1),
            }
        return state.row

    def check_batch(self, micro_batches: Sequence[Any], total: int) -> None:
        """Raises UserError if the batch has no target, or if processes would get different numbers of micro-batches."""
        if total == 0:
            raise UserError(
                f"{self.where}: the batch has no target, so there is no loss; likely data that is all prompt or "
                f"padding; {self.folder.recovery_hint()}"
            )
        if len(micro_batches) % world_size():
            raise UserError(
                f"{self.where}: {len(micro_batches)} micro-batches cannot be divided equally among {world_size()} "
                "processes; choose another --batch-size or --micro-batch-size"
            )

    def check_loss(self, loss_sum: Tensor, micro: Any, which: str) -> None:
        """Raises DivergedError, naming the micro-batch and its size, if the loss is not finite."""
        if not math.isfinite(loss_sum.item()):
            size = f"{self.objective.weight(micro)} targets, {self.objective.tokens(micro)} tokens"
            raise DivergedError(f"the loss is {loss_sum.item()} ({which}: {size})")

    # ---- After a step: evaluate, write, save ----

    def finish_row(self) -> None:
        """Evaluate if it is time, write the row of the last completed step, save if it is time."""
        state, config = self.state, self.config
        if state.row is None:
            return
        self.where = f"after step {state.step}"
        evaluated = state.step in (0, config.steps) or _is_due(state.step, config.evaluate_every)
        row = dict(state.row)
        if evaluated:
            metrics, samples = self.evaluate()
            row |= {f"eval_{name}": float(value) for name, value in metrics.items()}
            if samples:
                self.folder.show(state.step, samples)
        with uninterrupted():
            if evaluated or _is_due(state.step, config.log_every):
                self.folder.log(row)
                if self.on_log is not None:
                    self.folder.warn(self.where, self.on_log(self.folder.rows))
            state.row = None
        if _is_due(state.step, config.checkpoint_every) and 0 < state.step < config.steps:
            with uninterrupted():
                self.save()

    def evaluate(self) -> tuple[dict[str, float], str]:
        """Metrics and samples. Training is not disturbed: the mode is restored, and random numbers that are drawn here
        do not matter, as every step seeds its own."""
        training = self.model.training
        self.model.eval()
        with torch.no_grad():
            metrics, samples = self.objective.evaluate(self.model), self.objective.samples(self.model)
        self.model.train(training)
        return metrics, samples

    def save(self) -> None:
        """Write a state to resume from."""
        state = {"model": model_state(self.model), "optimizer": self.optimizer.state_dict()}
        self.folder.save(self.state.step, {**self.payload, **state, "state": asdict(self.state)})

    def restore(self) -> None:
        """Continue from the saved state if there is one."""
        saved = self.folder.load()
        if saved is not None:
            load_model_state(self.model, saved["model"])
            self.optimizer.load_state_dict(saved["optimizer"])
            self.state = RunState(**saved["state"])


def _is_due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0
