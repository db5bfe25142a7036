"""The objective of stage 1: next-token prediction on the tokens of the response."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from minigpt.attention import packed_layout
from minigpt.data import IGNORE
from minigpt.model import GPT
from minigpt.objective import next_token_loss_sum
from minigpt.runs.seeds import epoch_order
from minigpt.scale.distributed import micro_batch_for
from minigpt.tokenizer import Tokenizer
from rlhf.chat_format import Turn
from rlhf.stage1_sft.examples import Batch, Example, collate, collate_packed
from rlhf.stage_io import sample_page

VALIDATION_BATCH = 32  # examples


class DemonstrationObjective:
    """Demonstrations for `minigpt.training.train`: a unit is a response token."""

    def __init__(
        self,
        training: Sequence[Example],
        validation: Sequence[Example] = (),
        *,
        batch_size: int,
        micro_batch_size: int,
        tokenizer: Tokenizer,
        seed: int,
        device: torch.device,
        prompts: Sequence[tuple[Turn, ...]] = (),
        row_tokens: int = 0,
    ) -> None:
        """prompts: those that samples.md shows answers to. row_tokens: of a packed row; 0 is a row for each example."""
        self.training, self.validation, self.prompts, self.tokenizer = training, validation, prompts, tokenizer
        self.batch_size = min(batch_size, len(training))
        self.micro_batch_size = micro_batch_for(micro_batch_size, self.batch_size)
        self.seed, self.device, self.row_tokens = seed, device, row_tokens

    def steps_per_epoch(self) -> int:
        """Whole batches only: a last smaller one would weigh its tokens more."""
        return len(self.training) // self.batch_size

    def micro_batches(self, step: int) -> list[Batch]:
        epoch, index = divmod(step, self.steps_per_epoch())
        order = epoch_order(len(self.training), self.seed, epoch).tolist()
        chosen = [self.training[i] for i in order[index * self.batch_size : (index + 1) * self.batch_size]]
        size = self.micro_batch_size
        return [self.collate(chosen[i : i + size]) for i in range(0, len(chosen), size)]

    def collate(self, examples: Sequence[Example]) -> Batch:
        """A batch on the device, packed if row_tokens says so."""
        if self.row_tokens:
            batch = collate_packed(examples, self.tokenizer.pad_id, self.row_tokens)
        else:
            batch = collate(examples, self.tokenizer.pad_id)
        return Batch(*(None if part is None else part.to(self.device) for part in batch))

    def weight(self, micro: Batch) -> int:
        return int((micro.targets != IGNORE).sum())

    def tokens(self, micro: Batch) -> int:
        return micro.inputs.numel()

    def loss_sum(self, model: nn.Module, micro: Batch) -> tuple[Tensor, dict[str, Tensor | float]]:
        layout = None if micro.documents is None else packed_layout(micro.documents)
        supervised = micro.targets != IGNORE  # [B,T], True at the M response tokens
        logits = model(micro.inputs, layout, at=supervised)  # [M,V]
        targets = micro.targets[supervised]  # [M]
        right = (logits.argmax(-1) == targets).sum()
        return next_token_loss_sum(logits, targets), {"mean_token_accuracy": right}

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        sums, weight = {"loss": 0.0, "mean_token_accuracy": 0.0}, 0
        for start in range(0, len(self.validation), VALIDATION_BATCH):
            micro = self.collate(self.validation[start : start + VALIDATION_BATCH])
            loss, metrics = self.loss_sum(model, micro)
            sums["loss"] += loss.item()
            sums["mean_token_accuracy"] += float(metrics["mean_token_accuracy"])
            weight += self.weight(micro)
        return {name: value / weight for name, value in sums.items()} if weight else {}

    def samples(self, model: GPT) -> str:
        return sample_page(model, self.tokenizer, self.prompts, self.seed)
