"""Training examples of stage 2: K ranked answers to one prompt as ids, and batches that keep them together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from minigpt.data import pad_sequences
from minigpt.runs.errors import UserError
from minigpt.tokenizer import Tokenizer
from rlhf.bad_records import BadRecords, TooLongError
from rlhf.chat_format import encode_prompt, encode_response
from rlhf.records import Ranking

Item = TypeVar("Item")


@dataclass(frozen=True)
class Comparison:
    """K answers to one prompt as ids, prompt included, with the annotator's ranks and, if known, the gold totals.
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
    """A ranking as ids. Raises UserError, naming `where`, if prompt and answer are together longer than the context.

    Answers that ended get their end token, as in SFT and PPO; cut ones do not. A chat token that a model sampled is
    that token again, as PPO will show it to the reward model, and not its spelling.
    """
    prompt = encode_prompt(tokenizer, ranking.turns)
    sequences = []
    for text, ended in zip(ranking.responses, ranking.ended, strict=True):
        response = encode_response(tokenizer, text, sampled=ranking.sampled)
        sequences.append((*prompt, *(response if ended else response[:-1])))
    longest = max(map(len, sequences))
    if longest > context:
        number = next(number for number, sequence in enumerate(sequences, start=1) if len(sequence) > context)
        raise TooLongError(
            f"{where}: the prompt and answer {number} have {len(sequences[number - 1])} tokens together, but the "
            f"model's context is {context}: shorten one of them, or train a model with a longer context",
            longest,
            context,
        )
    return Comparison(tuple(sequences), ranking.ranks, ranking.gold, len(prompt), ranking.distractors)


def encode_rankings(
    tokenizer: Tokenizer, rankings: Sequence[Ranking], context: int, bad: BadRecords
) -> tuple[list[Ranking], list[Comparison]]:
    """The rankings that fit into the context, and the same as ids. Those that do not fit go to `bad`."""
    fitting, comparisons = [], []
    for number, ranking in enumerate(rankings, start=1):
        with bad.tolerated():
            comparison = encode_ranking(tokenizer, ranking, context, ranking.source or f"ranking {number}")
            bad.fits(max(map(len, comparison.sequences)))
            comparisons.append(comparison)
            fitting.append(ranking)
    return fitting, comparisons


def split_validation(items: Sequence[Item], share: float) -> tuple[Sequence[Item], Sequence[Item]]:
    """(training items, validation items): the last ones are for validation, a share of all, at least one. Raises
    UserError for a single item, which cannot be both."""
    if len(items) < 2:
        raise UserError(f"{len(items)} ranking is too few: one is needed to learn from, and another to measure on")
    kept = len(items) - max(1, round(share * len(items)))
    return items[:kept], items[kept:]


@dataclass(frozen=True)
class RankedBatch:
    """The answers to some prompts: ids [N,T], and lengths, ranks, group (number of the prompt), gold (or NaN) [N]."""

    ids: Tensor
    lengths: Tensor
    ranks: Tensor
    group: Tensor
    gold: Tensor


def collate(comparisons: Sequence[Comparison], pad_id: int, device: torch.device) -> RankedBatch:
    """One batch of several prompts. All K answers to a prompt go into the same batch: its pairs need them together."""
    ids, lengths = pad_sequences([sequence for c in comparisons for sequence in c.sequences], pad_id)
    ranks = torch.tensor([rank for c in comparisons for rank in c.ranks])
    group = torch.tensor([index for index, c in enumerate(comparisons) for _ in c.ranks])
    gold = torch.tensor([gold for c in comparisons for gold in (c.gold or [math.nan] * len(c.ranks))])
    return RankedBatch(*(tensor.to(device) for tensor in (ids, lengths, ranks, group, gold)))
