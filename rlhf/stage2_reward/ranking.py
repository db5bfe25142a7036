"""Learning from rankings: the K-wise loss, the batches it needs, and how often the scores agree with the ranks.

Annotators rank K answers to one prompt. For every pair of them, the better one should score higher:

    L = −1/pairs · Σ over pairs (w better than l) of log σ(r_w − r_l)             InstructGPT, eq. 1

All pairs of a prompt are one batch element: K forward passes serve K·(K−1)/2 comparisons, and every answer is seen
once an epoch. The same pairs shuffled into one big data set show each answer K−1 times an epoch, and overfit
(InstructGPT, section 3.5).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minigpt.data import epoch_order, pad_sequences
from minigpt.runs.errors import UserError
from minigpt.scale.distributed import micro_batch_for, world_size
from minigpt.tokenizer import Tokenizer
from rlhf.chat_format import encode_prompt, encode_response
from rlhf.data_formats.jsonl import BadLines
from rlhf.records import Ranking

Item = TypeVar("Item")

LENGTH_PARTS = 3  # of a batch, for score_by_length

# ---- The loss ----------------------------------------------------------------------------------------------------


def better_pairs(ranks: Tensor, group: Tensor) -> Tensor:
    """ranks [N] (smaller is better), group [N] (which prompt) -> [N,N], True at (w, l) where w beats l.

    Only answers to the same prompt are compared; a tie is no pair.
    """
    return (ranks[:, None] < ranks[None, :]) & (group[:, None] == group[None, :])  # [N,N]


def kwise_loss(scores: Tensor, ranks: Tensor, group: Tensor) -> Tensor:
    """Σ over prompts of the mean over the prompt's pairs of −log σ(r_w − r_l): scores, ranks, group [N] -> scalar.

    Divide by the number of prompts that have a pair. The weight 1/pairs makes a prompt with 9 answers count as much
    as one with 4; without it, 6 times as much. Ties are dropped and `pairs` counts what is left (InstructGPT, C.2).
    `group` numbers the prompts from 0; K may differ between them.
    """
    better = better_pairs(ranks, group)  # [N,N]
    pairs = torch.zeros(int(group.max()) + 1, device=scores.device, dtype=scores.dtype).index_add(
        0, group, better.sum(1).to(scores.dtype)
    )  # [P]
    weight = better / pairs[group].clamp(min=1)[:, None]  # [N,N]
    difference = scores[:, None] - scores[None, :]  # [N,N], r_w − r_l at (w, l)
    return (weight * F.softplus(-difference)).sum()  # softplus(−x) = −log σ(x), without the overflow


# ---- The data ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Comparison:
    """K answers to one prompt as ids, prompt included, with the annotator's ranks and, in the toy world, the truth.
    prompt_tokens: how long the prompt is. distractors: how many answers, the last ones, were given to other prompts."""

    sequences: tuple[tuple[int, ...], ...]
    ranks: tuple[int, ...]
    gold: tuple[float, ...] | None
    prompt_tokens: int = 0
    distractors: int = 0

    @property
    def has_pair(self) -> bool:
        return len(set(self.ranks)) > 1

    def own_answers(self) -> Comparison:
        """The same without the distractors."""
        own = len(self.sequences) - self.distractors
        gold = None if self.gold is None else self.gold[:own]
        return Comparison(self.sequences[:own], self.ranks[:own], gold, self.prompt_tokens)


def encode_ranking(tokenizer: Tokenizer, ranking: Ranking, context: int, where: str) -> Comparison:
    """Answers that ended get their end token, as in SFT and PPO; cut ones do not. A chat token that a model sampled is
    that token again, as PPO will show it to the reward model, and not its spelling. Raises UserError, naming `where`,
    for a prompt and answer that are together longer than the context."""
    prompt = encode_prompt(tokenizer, ranking.turns)
    sequences = []
    for number, (text, ended) in enumerate(zip(ranking.responses, ranking.ended, strict=True), start=1):
        response = encode_response(tokenizer, text, sampled=ranking.sampled)
        sequence = (*prompt, *(response if ended else response[:-1]))
        if len(sequence) > context:
            raise UserError(
                f"{where}: the prompt and answer {number} have {len(sequence)} tokens together, but the "
                f"model's context is {context}: shorten one of them, or train a model with a longer context"
            )
        sequences.append(sequence)
    return Comparison(tuple(sequences), ranking.ranks, ranking.gold, len(prompt), ranking.distractors)


def encode_rankings(
    tokenizer: Tokenizer, rankings: Sequence[Ranking], context: int, bad: BadLines
) -> tuple[list[Ranking], list[Comparison]]:
    """The rankings that fit into the context, and the same as ids; those that do not go to `bad`."""
    fitting, comparisons = [], []
    for number, ranking in enumerate(rankings, start=1):
        with bad.tolerated():
            comparisons.append(encode_ranking(tokenizer, ranking, context, ranking.source or f"ranking {number}"))
            fitting.append(ranking)
    return fitting, comparisons


def hold_out(items: Sequence[Item], share: float) -> tuple[Sequence[Item], Sequence[Item]]:
    """(those to learn from, the last ones to measure on): a share of all, at least one."""
    kept = len(items) - max(1, round(share * len(items)))
    return items[:kept], items[kept:]


@dataclass(frozen=True)
class RankedBatch:
    """The answers to some prompts side by side: ids [N,T], and [N] lengths, ranks, group and gold (NaN: unknown)."""

    ids: Tensor
    lengths: Tensor
    ranks: Tensor
    group: Tensor
    gold: Tensor


def collate(comparisons: Sequence[Comparison], pad_id: int, device: torch.device) -> RankedBatch:
    """All K answers of a prompt go into the same batch: its pairs need them together."""
    ids, lengths = pad_sequences([sequence for c in comparisons for sequence in c.sequences], pad_id)
    ranks = torch.tensor([rank for c in comparisons for rank in c.ranks])
    group = torch.tensor([index for index, c in enumerate(comparisons) for _ in c.ranks])
    gold = torch.tensor([gold for c in comparisons for gold in (c.gold or [math.nan] * len(c.ranks))])
    return RankedBatch(*(tensor.to(device) for tensor in (ids, lengths, ranks, group, gold)))


def score_by_length(model: Callable[[Tensor, Tensor], Tensor], ids: Tensor, lengths: Tensor) -> Tensor:
    """model(ids, lengths) of ids [N,T], lengths [N] -> [N], but sorted by length and in parts that are each cut to
    their longest row: the answers to different prompts differ so much in length that half of ids would be padding."""
    order = lengths.argsort(stable=True)  # [N]
    scores = [model(ids[rows, : int(lengths[rows].max())], lengths[rows]) for rows in order.chunk(LENGTH_PARTS)]
    while world_size() > 1 and len(scores) < LENGTH_PARTS:
        scores.append(model(ids[:1], lengths[:1])[:0])  # a sharded model must be called equally often everywhere
    return torch.cat(scores)[order.argsort()]  # [N]


# (model, ids [N,T], lengths [N]) -> scores [N]; DPO puts another one in place of score_by_length
Score = Callable[[nn.Module, Tensor, Tensor], Tensor]


# ---- Measures ----------------------------------------------------------------------------------------------------


def right_pairs(scores: Tensor, better: Tensor) -> Tensor:
    """How many of the pairs the scores put in the right order; an equal score is half right."""
    difference = (scores[:, None] - scores[None, :])[better]  # [pairs]
    return (difference > 0).sum() + 0.5 * (difference == 0).sum()


@torch.no_grad()
def evaluate_ranking(
    model: nn.Module, batches: Sequence[RankedBatch], score: Score = score_by_length
) -> dict[str, float]:
    """Over all pairs of the batches, ties dropped: `accuracy`, `log_loss` (nats a pair) and `margin` in the
    annotators' order, `gold_accuracy` in the true one where it is known, and the scores' range and mean."""
    pairs = right = loss = margin = gold_pairs = gold_right = 0.0
    scores_of_all = []
    for batch in batches:
        scores = score(model, batch.ids, batch.lengths)  # [N]
        better = better_pairs(batch.ranks, batch.group)  # [N,N]
        difference = (scores[:, None] - scores[None, :])[better]  # [pairs]
        pairs += len(difference)
        right += float(right_pairs(scores, better))
        loss += float(F.softplus(-difference).sum())
        margin += float(difference.sum())
        gold_better = better_pairs(-batch.gold, batch.group)  # NaN compares False: an unknown gold makes no pair
        gold_pairs += float(gold_better.sum())
        gold_right += float(right_pairs(scores, gold_better))
        scores_of_all.append(scores)
    scores = torch.cat(scores_of_all)
    measures = {"accuracy": right / max(pairs, 1), "log_loss": loss / max(pairs, 1), "margin": margin / max(pairs, 1)}
    if gold_pairs:
        measures["gold_accuracy"] = gold_right / gold_pairs
    extremes = {"min_reward": scores.min(), "mean_reward": scores.mean(), "max_reward": scores.max()}
    return measures | {name: float(score) for name, score in extremes.items()}


# ---- Training ----------------------------------------------------------------------------------------------------


class RankingObjective:
    """Rankings for `minigpt.training.train`: a unit is a prompt, so batch sizes count prompts."""

    def __init__(
        self,
        training: Sequence[Comparison],
        held_out: Sequence[Comparison],
        *,
        batch_size: int,
        micro_batch_size: int,
        pad_id: int,
        seed: int,
        device: torch.device,
        score: Score = score_by_length,
    ) -> None:
        """Prompts whose answers are all tied teach nothing and are left out. Raises UserError if none is left."""
        self.training = [comparison for comparison in training if comparison.has_pair]
        if not self.training:
            raise UserError("the rankings hold no pair of answers of which one is better: rank at least one prompt")
        self.batch_size = min(batch_size, len(self.training))
        self.micro_batch_size = micro_batch_for(micro_batch_size, self.batch_size)
        self.pad_id, self.seed, self.device, self.score = pad_id, seed, device, score
        size = self.micro_batch_size
        self.held_out = [collate(held_out[i : i + size], pad_id, device) for i in range(0, len(held_out), size)]

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

    def loss_sum(self, model: nn.Module, micro: RankedBatch) -> tuple[Tensor, dict[str, Tensor | float]]:
        scores = self.score(model, micro.ids, micro.lengths)  # [N]
        with torch.no_grad():
            better = better_pairs(micro.ranks, micro.group)
            accuracy = right_pairs(scores, better) / better.sum()
        prompts = self.weight(micro)
        return kwise_loss(scores, micro.ranks, micro.group), {
            "accuracy": accuracy * prompts,
            "mean_reward": scores.detach().mean() * prompts,
        }

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        return evaluate_ranking(model, self.held_out, self.score) if self.held_out else {}

    def samples(self, model: nn.Module) -> str:
        return ""
