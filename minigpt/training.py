"""The one training loop: pretraining, fine-tuning, the reward model, DPO and GRPO differ only in their Objective.

Three properties carry it. The loss of a step is one mean over all of its tokens, however they are split into
micro-batches. Everything random in a step, its batch and its dropout, is a pure function of (seed, step), so the
position in the data is the step number and a resumed run repeats an uninterrupted one bit for bit. And what is half
done is never saved: Ctrl-C waits until a step is complete.
"""

import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

from minigpt.optim import Optimizer, OptimizerConfig, lr_factor
from minigpt.runs.checkpoint import write_text
from minigpt.runs.config import option
from minigpt.runs.curves import draw_curves
from minigpt.runs.errors import DivergedError, UserError
from minigpt.runs.interrupt import uninterrupted
from minigpt.runs.metrics import Row, RunLog
from minigpt.runs.progress import Progress
from minigpt.runs.resume import ResumeFiles
from minigpt.scale.compilation import compile_blocks
from minigpt.scale.distributed import (
    Gradients,
    is_main,
    load_model_state,
    model_state,
    shard,
    share,
    sum_over_processes,
    world_size,
)
from minigpt.scale.precision import dtype_of, in_words

Micro = TypeVar("Micro")


@dataclass(frozen=True)
class TrainingConfig(OptimizerConfig):
    """How long, how much at once, and how often to look."""

    steps: int = option(1500, "optimiser steps")
    batch_size: int = option(16, "in one optimiser step: sequences; for the reward model, DPO and GRPO, prompts")
    micro_batch_size: int = option(
        0, "how many of them (for GRPO, answers) are computed at once; fewer save memory; 0 is all of them"
    )
    evaluate_every: int = option(250, "steps between evaluations and samples; 0 evaluates only before and after")
    checkpoint_every: int = option(250, "steps between saves to resume from; 0 saves only on Ctrl-C")
    log_every: int = option(1, "steps between lines of metrics.jsonl")

    def __post_init__(self) -> None:
        super().__post_init__()
        least = {
            "steps": 1,
            "batch_size": 1,
            "micro_batch_size": 0,
            "evaluate_every": 0,
            "checkpoint_every": 0,
            "log_every": 1,
        }
        for name, lowest in least.items():
            if getattr(self, name) < lowest:
                flag = "--" + name.replace("_", "-")
                raise UserError(f"{flag}: expected {lowest} or more, got {getattr(self, name)}")


class Objective(Protocol[Micro]):
    """What is learned. The loop asks these questions and knows nothing else about data or loss."""

    def micro_batches(self, step: int) -> list[Micro]:
        """The data of one optimiser step, a pure function of `step` (from 0) and, where it is sampled, the weights."""

    def weight(self, micro: Micro) -> int:
        """How many units (target tokens, prompts) the loss of `micro` sums over."""

    def tokens(self, micro: Micro) -> int:
        """How many real tokens pass through the model, for tokens/s."""

    def loss_sum(self, model: nn.Module, micro: Micro) -> tuple[Tensor, dict[str, Tensor | float]]:
        """The loss SUMMED over the units of `micro`, a scalar, and further metrics summed in the same way."""

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Metrics on held-out data, always the same data. The loop writes them as eval_<name>."""

    def samples(self, model: nn.Module) -> str:
        """What the model produces now, as Markdown; "" if there is nothing to show."""


@dataclass
class RunState:
    """Where a run stands, apart from weights and optimiser: all of it is saved to resume from."""

    step: int = 0  # optimiser steps completed
    num_tokens: int = 0
    seconds: float = 0.0  # of all sessions together
    row: Row | None = field(default_factory=lambda: {"step": 0, "num_tokens": 0, "seconds": 0.0})
    samples: list[list[Any]] = field(default_factory=list)  # [[step, markdown], ...]
    # `row` is the line of the last step until its evaluation is done and it is written: Ctrl-C may fall in between.


def train(
    model: nn.Module,
    objective: Objective[Any],
    config: TrainingConfig,
    *,
    stage_dir: Path,
    describe: Mapping[str, Any],
    checkpoint_payload: Mapping[str, Any],
    seed: int,
    start: Callable[[], None] | None = None,
    watch: Callable[[Sequence[Row]], str] | None = None,
    finish: Callable[[], None] | None = None,
) -> Row:
    """Train `model` in place and leave everything about it in `stage_dir`. Returns the last row of metrics.jsonl.

    `describe` is all that decides the result but the model's precision, see resume.ResumeFiles. `checkpoint_payload` is
    what makes checkpoint.pt self-describing: kind, config, tokenizer. `start` is called when it is sure that the run
    goes ahead, and writes what the stage keeps beside it. `watch` is shown the rows so far after each step, and returns
    a warning or "". `finish` is called after the last step and before checkpoint.pt is written, for what belongs to the
    model but is not learned by gradient; it may be called twice.
    Raises UserError if the loss, the gradient or a weight stops being a finite number.
    """
    # Dropout draws from torch's global generator, which is given back to the caller as it was.
    with torch.random.fork_rng():
        # --precision auto is another one on another device, and a run must not change it on the way
        files = ResumeFiles(stage_dir, {**describe, "computes_in": in_words(dtype_of(model))})
        run = Run(model, objective, config, files, checkpoint_payload, seed, watch)
        run.begin(start)
        return run.run(finish)


class Run:
    """One training run: the loop, and the files it keeps."""

    def __init__(
        self,
        model: nn.Module,
        objective: Objective[Any],
        config: TrainingConfig,
        files: ResumeFiles,
        payload: Mapping[str, Any],
        seed: int,
        watch: Callable[[Sequence[Row]], str] | None,
    ) -> None:
        self.model, self.objective, self.config, self.seed = model, objective, config, seed
        self.files, self.stage_dir, self.payload, self.watch = files, files.stage_dir, payload, watch
        if config.shard:
            shard(model)
        compile_blocks(model, config.compile)
        self.gradients = Gradients(model, objective.loss_sum)
        self.optimizer = Optimizer(model, config)
        self.state = RunState()
        self.now = "before the first step"  # where the run is, for messages
        self.clock = time.monotonic()  # when the last step was complete

    def begin(self, start: Callable[[], None] | None) -> None:
        """Take up the saved state if there is one; only then write anything."""
        saved = self.files.load()
        if saved is not None:
            load_model_state(self.model, saved["model"])
            self.optimizer.load_state_dict(saved["optimizer"])
            self.state = RunState(**saved["state"])
        if start is not None:
            start()
        self.files.begin(fresh=saved is None)
        last_written = self.state.step - (self.state.row is not None)
        self.log = RunLog(self.stage_dir / "metrics.jsonl", None if saved is None else last_written)

    def run(self, finish: Callable[[], None] | None) -> Row:
        """Take the remaining steps, and write the final files."""
        try:
            self._take_steps(finish)
            with suppress(KeyboardInterrupt), uninterrupted():  # pressed now, it comes too late: the run has ended
                self.files.end(self.state.step, {**self.payload, "model": model_state(self.model)})
        except DivergedError as error:
            config = self.config
            raise UserError(
                f"{self.now}: {error}; likely a learning rate that is too high (--learning-rate "
                f"{config.learning_rate}, --matrix-learning-rate {config.matrix_learning_rate}), too short a warm-up "
                f"(--warmup-steps {config.warmup_steps}) or non-finite numbers in the data or the starting weights; "
                f"{self.files.go_back()}"
            ) from None
        return self.log.rows[-1]

    def _take_steps(self, finish: Callable[[], None] | None) -> None:
        """The steps that remain, the curves and `finish`. Ctrl-C anywhere in them saves what is complete."""
        self.clock = time.monotonic()
        self.model.train()
        try:
            with Progress(self.stage_dir.name, self.config.steps, self.state.step) as progress:
                self._finish_row()
                while self.state.step < self.config.steps:
                    row = self.step()
                    progress.update(f"loss {row['loss']:.3f}, {row['tokens_per_second']:,.0f} tokens/s")
                    self._finish_row()
            draw_curves(self.log.rows, self.stage_dir / "curves.svg", self.stage_dir.name)
            if finish is not None:
                finish()
        except KeyboardInterrupt:
            with uninterrupted():
                if not self.config.shard:  # putting slices together takes all processes, and each stops where it is
                    self._save()
                draw_curves(self.log.rows, self.stage_dir / "curves.svg", self.stage_dir.name)
            print(f"stopped after step {self.state.step}; {self.files.go_back()}")
            raise

    # ---- One step ----

    def step(self) -> Row:
        """Forward and backward over the micro-batches, clip, update. Weights change only in the last lines. Returns the
        row of metrics, and touches no file."""
        state, started = self.state, time.monotonic()
        self.now = f"step {state.step + 1}"
        torch.manual_seed(hash((self.seed, state.step)) % 2**63)  # dropout as a function of (seed, step), like the data
        self.optimizer.zero_grad()
        micros = self.objective.micro_batches(state.step)
        loss, metrics = self._accumulate(micros)
        grad_norm = self.optimizer.clip_gradients()
        if not math.isfinite(grad_norm):
            raise DivergedError(f"the gradient norm is {grad_norm} (the whole batch)")
        tokens = sum(self.objective.tokens(micro) for micro in micros)
        factor = lr_factor(state.step, self.config.steps, self.config)
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
                "loss": loss,
                **metrics,
                "learning_rate": self.config.learning_rate * factor,
                "grad_norm": grad_norm,
                "tokens_per_second": round(tokens / max(now - started, 1e-9), 1),
            }
        return state.row

    def _accumulate(self, micros: list[Any]) -> tuple[float, dict[str, float]]:
        """Gradients and values of Σ loss_sum / Σ weight over the WHOLE step.

        A mean of micro-batch means weighs a token more the fewer tokens its micro-batch has, so the result depends on
        how the batch was split: the best known bug of gradient accumulation (huggingface/trl#2175, nanochat#59).
        """
        weights = [self.objective.weight(micro) for micro in micros]
        total = sum(weights)
        if total == 0:
            raise UserError(
                f"{self.now}: the batch has no target, so there is no loss; likely data that is all prompt or padding; "
                f"{self.files.go_back()}"
            )
        if len(micros) % world_size():
            raise UserError(
                f"{self.now}: {len(micros)} micro-batches cannot be divided equally among {world_size()} processes; "
                "choose another --batch-size or --micro-batch-size"
            )
        sums: dict[str, float] = {"loss": 0.0}
        numbers = share(range(len(micros)))  # of several processes, each computes some of the micro-batches
        for number in numbers:
            loss_sum, metrics = self.gradients(micros[number], last=number == numbers[-1])
            value = loss_sum.item()
            if not math.isfinite(value):
                size = f"{weights[number]} targets, {self.objective.tokens(micros[number])} tokens"
                raise DivergedError(f"the loss is {value} (micro-batch {number + 1} of {len(micros)}: {size})")
            self.gradients.backward(loss_sum / total)
            for name, metric in {"loss": value, **metrics}.items():
                sums[name] = sums.get(name, 0.0) + float(metric)
        sums = sum_over_processes(sums, loss_sum.device)
        means = {name: summed / total for name, summed in sums.items()}
        return means.pop("loss"), means

    # ---- After a step: look, write, save ----

    def _finish_row(self) -> None:
        """Evaluate if it is time, write the row of the last completed step, save if it is time."""
        state, config = self.state, self.config
        if state.row is None:
            return
        self.now = f"after step {state.step}"
        evaluated = state.step in (0, config.steps) or _is_due(state.step, config.evaluate_every)
        row = dict(state.row)
        if evaluated:
            metrics, samples = self._look()
            row |= {f"eval_{name}": float(value) for name, value in metrics.items()}
            if samples:
                state.samples = [entry for entry in state.samples if entry[0] != state.step] + [[state.step, samples]]
                write_text(self.stage_dir / "samples.md", _samples_page(self.stage_dir.name, state.samples))
        with uninterrupted():
            if evaluated or _is_due(state.step, config.log_every):
                self.log.append(row)
                self._warn()
            state.row = None
        if _is_due(state.step, config.checkpoint_every) and 0 < state.step < config.steps:
            with uninterrupted():
                self._save()

    def _look(self) -> tuple[dict[str, float], str]:
        """Evaluate and sample without leaving a trace in the training: the mode is as before, and random numbers that
        are drawn here do not matter, as every step seeds its own."""
        training = self.model.training
        self.model.eval()
        with torch.no_grad():
            metrics, samples = self.objective.evaluate(self.model), self.objective.samples(self.model)
        self.model.train(training)
        return metrics, samples

    def _warn(self) -> None:
        warning = self.watch(self.log.rows) if self.watch is not None else ""
        if warning and is_main():
            print(f"warning: {self.now}: {warning}; {self.files.go_back()}", file=sys.stderr)

    def _save(self) -> None:
        self.log.sync()
        state = {"model": model_state(self.model), "optimizer": self.optimizer.state_dict()}
        self.files.save(self.state.step, {**self.payload, **state, "state": asdict(self.state)})


def _is_due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


def _samples_page(stage: str, samples: list[list[Any]]) -> str:
    return f"# Samples: {stage}\n" + "".join(f"\n## After step {step}\n\n{text.strip()}\n" for step, text in samples)
