"""The objective of stage 2: scores of ranked answers, their K-wise loss, and their accuracy on validation pairs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minigpt.runs.errors import UserError
from minigpt.runs.seeds import epoch_order
from minigpt.scale.distributed import micro_batch_for
from rlhf.stage2_reward.examples import Comparison, RankedBatch, collate
from rlhf.stage2_reward.loss import better_pairs, kwise_loss, right_pairs


@torch.no_grad()
def evaluate_ranking(model: nn.Module, batches: Sequence[RankedBatch]) -> dict[str, float]:
    """Measures of a reward model on `batches`, see ranking_measures."""
    return ranking_measures([model(batch.ids, batch.lengths) for batch in batches], batches)


def ranking_measures(scores_of_batches: Sequence[Tensor], batches: Sequence[RankedBatch]) -> dict[str, float]:
    """Agreement of scores with ranks, over all pairs of the batches that are no tie.

    accuracy, log_loss (nats a pair), margin   in the annotators' order
    gold_accuracy                              in the true order, where it is known
    min_reward, mean_reward, max_reward        of the scores
    """
    pairs = right = loss = margin = gold_pairs = gold_right = 0.0
    for scores, batch in zip(scores_of_batches, batches, strict=True):
        better = better_pairs(batch.ranks, batch.group)  # [N,N]
        difference = (scores[:, None] - scores[None, :])[better]  # [pairs]
        pairs += len(difference)
        right += float(right_pairs(scores, better))
        loss += float(F.softplus(-difference).sum())
        margin += float(difference.sum())
        gold_better = better_pairs(-batch.gold, batch.group)  # NaN compares False: an unknown gold makes no pair
        gold_pairs += float(gold_better.sum())
        gold_right += float(right_pairs(scores, gold_better))
    scores = torch.cat(list(scores_of_batches))
    measures = {"accuracy": right / max(pairs, 1), "log_loss": loss / max(pairs, 1), "margin": margin / max(pairs, 1)}
    if gold_pairs:
        measures["gold_accuracy"] = gold_right / gold_pairs
    extremes = {"min_reward": scores.min(), "mean_reward": scores.mean(), "max_reward": scores.max()}
    return measures | {name: float(score) for name, score in extremes.items()}


class RankingObjective:
    """Rankings for `minigpt.training.train`: a unit is a prompt, so batch sizes count prompts."""

    def __init__(
        self,
        training: Sequence[Comparison],
        validation: Sequence[Comparison],
        *,
        batch_size: int,
        micro_batch_size: int,
        pad_id: int,
        seed: int,
        device: torch.device,
    ) -> None:
        """Prompts whose answers are all tied have no loss and are left out. Raises UserError if none is left, or none
        to measure on."""
        self.training = [comparison for comparison in training if comparison.has_pair]
        if not self.training:
            raise UserError("the rankings hold no pair of answers of which one is better: rank at least one prompt")
        if validation and not any(comparison.has_pair for comparison in validation):
            raise UserError(
                f"the {len(validation)} rankings held back for validation are all ties, so there is nothing to measure "
                "on: rank more prompts, or hold back more with --validation-fraction"
            )
        self.batch_size = min(batch_size, len(self.training))
        self.micro_batch_size = micro_batch_for(micro_batch_size, self.batch_size)
        self.pad_id, self.seed, self.device = pad_id, seed, device
        size = self.micro_batch_size
        self.validation = [collate(validation[i : i + size], pad_id, device) for i in range(0, len(validation), size)]

    def steps_per_epoch(self) -> int:
        return len(self.training) // self.batch_size

    def micro_batches(self, step: int) -> list[RankedBatch]:
        epoch, index = divmod(step, self.steps_per_epoch())
        order = epoch_order(len(self.training), self.seed, epoch).tolist()
        chosen = [self.training[i] for i in order[index * self.batch_size : (index + 1) * self.batch_size]]
        size = self.micro_batch_size
        return [collate(chosen[i : i + size], self.pad_id, self.device) for i in range(0, len(chosen), size)]

    def weight(self, micro: RankedBatch) -> int:
        return int(micro.group[-1]) + 1  # prompts: each of them has a pair

    def tokens(self, micro: RankedBatch) -> int:
        return int(micro.lengths.sum())

    def scores(self, model: nn.Module, batch: RankedBatch) -> Tensor:
        """The scores [N] that the loss compares."""
        return model(batch.ids, batch.lengths)

    def loss_sum(self, model: nn.Module, micro: RankedBatch) -> tuple[Tensor, dict[str, Tensor | float]]:
        scores = self.scores(model, micro)  # [N]
        with torch.no_grad():
            better = better_pairs(micro.ranks, micro.group)
            accuracy = right_pairs(scores, better) / better.sum()
        prompts = self.weight(micro)
        return kwise_loss(scores, micro.ranks, micro.group), {
            "accuracy": accuracy * prompts,
            "mean_reward": scores.detach().mean() * prompts,
        }

    @torch.no_grad()
    def evaluate(self, model: nn.Module) -> dict[str, float]:
        scores = [self.scores(model, batch) for batch in self.validation]
        return ranking_measures(scores, self.validation) if scores else {}

    def samples(self, model: nn.Module) -> str:
        return ""
