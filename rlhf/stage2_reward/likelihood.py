"""The accuracy of the SFT policy's own likelihood in ordering answers: the baseline that a reward model must beat.

An answer's mean log-probability a token knows nothing of any ranking. Where it orders the pairs as well as the reward
model does, the rankings have taught nothing that the demonstrations did not.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from minigpt.data import pad_sequences
from minigpt.model import GPT, token_logprobs
from rlhf.stage2_reward.examples import Comparison
from rlhf.stage2_reward.loss import better_pairs, right_pairs


def mean_logprobs(policy: GPT, ids: Tensor, lengths: Tensor, prompt_tokens: Tensor) -> Tensor:
    """Mean of log π over the tokens of each answer, its end token among them: ids [N,T] padded right, lengths [N] of
    prompt and answer, prompt_tokens [N] -> [N], nats a token."""
    logprobs = token_logprobs(policy.logits(policy.hidden(ids[:, :-1])), ids[:, 1:])  # [N,T-1]
    place = torch.arange(1, ids.shape[1], device=ids.device)  # [T-1] of the token that each log-probability is of
    response = (place >= prompt_tokens[:, None]) & (place < lengths[:, None])  # [N,T-1]
    return torch.where(response, logprobs, 0.0).sum(dim=1) / response.sum(dim=1).clamp(min=1)  # [N]


@torch.no_grad()
def likelihood_accuracy(policy: GPT, comparisons: Sequence[Comparison], pad_id: int, device: torch.device) -> float:
    """The share of pairs of own answers to one prompt that the mean log-probability puts in gold order; pairs of equal
    gold do not count. NaN if there is no pair, or no gold."""
    right = pairs = 0.0
    for comparison in (comparison.own_answers() for comparison in comparisons):
        if comparison.gold is None:
            continue
        ids, lengths = (x.to(device) for x in pad_sequences(comparison.sequences, pad_id))  # [K,T], [K]
        prompt_tokens = torch.full_like(lengths, comparison.prompt_tokens)
        scores = mean_logprobs(policy, ids, lengths, prompt_tokens)  # [K]
        gold = torch.tensor(comparison.gold, device=device)  # [K]
        better = better_pairs(-gold, torch.zeros_like(lengths))  # [K,K]
        pairs += float(better.sum())
        right += float(right_pairs(scores, better))
    return right / pairs if pairs else float("nan")
