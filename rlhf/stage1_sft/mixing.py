"""Pretraining text mixed into stage 1, so that the policy forgets less of it: the PPO-ptx idea, one stage earlier.

    loss = mean over response tokens + γ · mean over pretraining tokens          after InstructGPT, eq. 2

Several passes over a few hundred demonstrations cost the base model a good part of what it knew of its documents; the
bits per byte in results.json say how much.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from minigpt.data import TokenStream
from minigpt.objective import next_token_loss_sum
from minigpt.pretrain import pretraining_data
from minigpt.runs.errors import UserError
from minigpt.scale.distributed import world_size
from minigpt.tokenizer import Tokenizer
from rlhf.stage1_sft.examples import Batch
from rlhf.stage1_sft.objective import DemonstrationObjective


def pretraining_stream(
    stage_dir: Path, tokenizer: Tokenizer, *, context: int, rows: int, seed: int
) -> TokenStream | None:
    """The text that the base model in `stage_dir` was trained on, as its config.json says; None if there is none, as
    for a model that came from elsewhere."""
    if not (stage_dir / "config.json").is_file():
        return None
    return pretraining_data(stage_dir, tokenizer).stream(context=context, batch_size=rows, seed=seed)


@dataclass(frozen=True)
class MixedBatch:
    """Demonstrations and rows of pretraining text. weight: of the loss of one pretraining token."""

    demonstrations: Batch
    inputs: Tensor  # [R,T]
    targets: Tensor  # [R,T]
    weight: float


class MixedObjective:
    """A `DemonstrationObjective` with pretraining text in each step. A unit is a response token, as there."""

    def __init__(self, demonstrations: DemonstrationObjective, stream: TokenStream, coefficient: float) -> None:
        self.demonstrations, self.stream, self.coefficient = demonstrations, stream, coefficient
        self.evaluate, self.samples = demonstrations.evaluate, demonstrations.samples
        self.steps_per_epoch = demonstrations.steps_per_epoch
        count = math.ceil(demonstrations.batch_size / demonstrations.micro_batch_size)
        if world_size() > 1 and stream.batch_size < count:
            raise UserError(
                f"--ptx-batch-size {stream.batch_size}: with several processes each of the {count} micro-batches of a "
                "step needs a row of pretraining text, as all processes must call the model equally often"
            )

    def micro_batches(self, step: int) -> list[MixedBatch]:
        """The micro-batches of a step, among which the rows of pretraining text are divided; where there are fewer rows
        than micro-batches, some get none. The loop divides the sum of all losses by the number of response tokens, so a
        pretraining token has the weight γ · response tokens / pretraining tokens."""
        micros = self.demonstrations.micro_batches(step)
        inputs, targets = (x.to(self.demonstrations.device) for x in self.stream.batch(step))  # [R,T] each
        units = sum(map(self.demonstrations.weight, micros))
        weight = self.coefficient * units / targets.numel()
        count = len(micros)
        return [MixedBatch(part, inputs[i::count], targets[i::count], weight) for i, part in enumerate(micros)]

    def weight(self, micro: MixedBatch) -> int:
        return self.demonstrations.weight(micro.demonstrations)

    def tokens(self, micro: MixedBatch) -> int:
        return self.demonstrations.tokens(micro.demonstrations) + micro.inputs.numel()

    def loss_sum(self, model: nn.Module, micro: MixedBatch) -> tuple[Tensor, dict[str, Tensor | float]]:
        loss, metrics = self.demonstrations.loss_sum(model, micro.demonstrations)
        if len(micro.inputs) == 0:
            return loss, metrics
        pretraining = micro.weight * next_token_loss_sum(model(micro.inputs), micro.targets)
        return loss + pretraining, metrics | {"weighted_pretraining_loss": pretraining.detach()}
