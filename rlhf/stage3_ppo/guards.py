"""Checks that always run: they stop a run, or warn, where something that must hold in every PPO does not.

Before the first update the policy is the reference, so the KL is 0 at every token. In the first minibatch of a rollout
the policy is the one that sampled, so every ratio is 1. Losses and gradients are finite. Answers keep their end tokens.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from minigpt.runs.errors import DivergedError, UserError
from rlhf.stage3_ppo.rollout import Batch

# How far may log-probabilities that are computed twice, once with a cache and once without, lie apart? In nats: float32
# agrees at every token. In bfloat16 a sum taken in another order may be rounded to a neighbour 1/256 away, and a token
# here and there differs by a few hundredths; but a mistake shows in the mean of all.
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 1e-2}
WHERE = {torch.float32: "at one token", torch.bfloat16: "in the mean"}  # for messages, see disagreement


def disagreement(logprobs: Tensor, others: Tensor, mask: Tensor, dtype: torch.dtype) -> float:
    """The difference in nats between two computations of the same log-probabilities [B,T], for TOLERANCE: that of the
    worst token in float32, the mean of all in bfloat16."""
    differences = (logprobs.detach() - others)[mask].abs()  # [M]
    return float(differences.max() if dtype == torch.float32 else differences.mean())


def check_starts_at_reference(batch: Batch, dtype: torch.dtype = torch.float32) -> None:
    """Raises UserError unless the KL is 0 at every token: before the first update the policy is the reference."""
    difference = disagreement(batch.logprobs, batch.ref_logprobs, batch.mask, dtype)
    if not difference <= TOLERANCE[dtype]:
        raise UserError(
            f"before the first update, the log-probabilities differ from the reference's by {difference:.2g} nats "
            f"{WHERE[dtype]}, but must be the same: the reference is not a copy of the policy, or they see other "
            "positions, another temperature or dropout"
        )


def check_ratio_is_one(logprobs: Tensor, batch: Batch, dtype: torch.dtype = torch.float32) -> None:
    """Raises UserError naming the usual causes unless every ratio of the first minibatch of a rollout is 1.

    The policy that learns from it is still the one that sampled it. No other check finds so many mistakes in PPO
    (huggingface/trl#454, CarperAI/trlx#107, #508).
    """
    deviation = disagreement(logprobs, batch.logprobs, batch.mask, dtype)
    if not math.isfinite(deviation):
        raise DivergedError(f"a log-probability of the policy is {deviation}")
    if not deviation <= TOLERANCE[dtype]:
        raise UserError(
            f"before the update, the recomputed log-probabilities differ from the sampled ones by {deviation:.2g} nats "
            f"{WHERE[dtype]}, so the ratio does not start at 1: sampling and training disagree about temperature, "
            "truncation, positions, masks, dropout or precision"
        )


def check_finite(values: Mapping[str, float], where: str) -> None:
    """Raises DivergedError with the minibatch and the first value that is not finite; the loop adds the cause."""
    for name, value in values.items():
        if not math.isfinite(value):
            raise DivergedError(f"{where}: the {name} is {value}")


def ended_share_collapses(shares: Sequence[float]) -> str:
    """A warning when the share of answers that end falls below half of what it was at first, else "".

    shares: one for each rollout so far. A policy that is paid for length shows it first in answers that do not end.
    The warning comes once, when it happens, and never for a policy that hardly ended its answers in the beginning.
    """
    if len(shares) < 2 or shares[0] < 0.1:
        return ""
    first, before, now = shares[0], shares[-2], shares[-1]
    if not now < 0.5 * first <= before:
        return ""
    return (
        f"{now:.0%} of the answers end by themselves, at first it was {first:.0%}; likely the scores reward length: "
        "a lower --missing-end-score or a higher --beta helps"
    )
