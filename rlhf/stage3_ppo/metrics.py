"""The metrics of an iteration: their published names, TRL's where TRL has one (`ppo_trainer.py`), and their sums."""

from __future__ import annotations

import time
from collections.abc import Mapping

import torch
from torch import Tensor

from minigpt.scale.distributed import sum_over_processes
from rlhf.stage3_ppo.losses import explained_variance, kl_k1, kl_k3, masked_kl, masked_sum
from rlhf.stage3_ppo.rollout import Batch


class Metrics:
    """The measurements of an iteration's updates, and the seconds of its parts.

        metrics.add({"loss": loss, ...})             # a micro-batch: its shares of the minibatch's means
        measured = metrics.reduce()                  # the minibatch: summed over micro-batches and processes
        metrics.record({"loss/value_avg": ...})      # one measurement of each name
        metrics.means()                              # the iteration: each name averaged over its measurements

    Values stay on their device until `reduce`, so that nothing waits for a GPU after each of them.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.pending: dict[str, Tensor] = {}
        self.sums: dict[str, float] = {}
        self.counts: dict[str, int] = {}
        self.seconds: dict[str, float] = {}
        self.clock = time.monotonic()

    def add(self, shares: Mapping[str, Tensor]) -> None:
        """Add what a micro-batch measured: sums over its tokens, divided by the tokens of the minibatch."""
        for name, share in shares.items():
            self.pending[name] = self.pending.get(name, 0.0) + share.detach()

    def reduce(self) -> dict[str, float]:
        """The sums of what was added since the last call, over micro-batches and processes."""
        measured = sum_over_processes(self.pending, self.device)
        self.pending = {}
        return measured

    def record(self, values: Mapping[str, float]) -> None:
        """Count one measurement of each name."""
        for name, value in values.items():
            self.sums[name], self.counts[name] = self.sums.get(name, 0.0) + value, self.counts.get(name, 0) + 1

    def means(self) -> dict[str, float]:
        """The mean of each name over its measurements."""
        return {name: total / self.counts[name] for name, total in self.sums.items()}

    def lap(self, name: str) -> None:
        """Keep the seconds since the last lap, or since the start."""
        now = time.monotonic()
        self.seconds[name], self.clock = now - self.clock, now


def rollout_metrics(batch: Batch, scores: Tensor, beta: float) -> dict[str, float]:
    """The metrics of a rollout, before it is learned from; `scores` [B] are those that were paid."""
    mask, B = batch.mask, len(batch.lengths)
    kl = masked_kl(kl_k1, batch.logprobs, batch.ref_logprobs, mask, denominator=1)
    ended = batch.ended.sum()
    metrics = {
        "objective/scores": scores.mean(),
        "objective/scores_std": scores.std(unbiased=False),
        "objective/kl_nats_per_sequence": kl / B,
        "objective/kl_nats_per_token": kl / mask.sum(),
        "objective/kl_k3_nats_per_sequence": masked_kl(kl_k3, batch.logprobs, batch.ref_logprobs, mask, B),
        "objective/entropy": -masked_sum(batch.logprobs, mask) / B,
        "objective/non_score_reward": -beta * kl / B,
        "objective/rlhf_reward": scores.mean() - beta * kl / B,
        "val/num_eos_tokens": ended,
        "val/ended_share": ended / B,
        "val/response_length": batch.lengths.float().mean(),
        "val/explained_variance": explained_variance(batch.values, batch.returns, mask),
    }
    return {name: float(value) for name, value in metrics.items()} | {"objective/beta": beta}


def value_metrics(measured: Mapping[str, float], grad_norm: float) -> dict[str, float]:
    """The published names of what an update of the value model measured."""
    return {"loss/value_avg": measured["loss"], "val/clipfrac_avg": measured["clipfrac"], "value/grad_norm": grad_norm}


def policy_metrics(measured: Mapping[str, float], grad_norm: float) -> dict[str, float]:
    """The published names of what an update of the policy measured."""
    metrics = {
        "loss/policy_avg": measured["loss"],
        "policy/approxkl_avg": measured["approxkl"],
        "policy/approxkl_k3_avg": measured["approxkl_k3"],
        "policy/clipfrac_avg": measured["clipfrac"],
        "policy/entropy_avg": measured["entropy"],
        "policy/grad_norm": grad_norm,
        "val/ratio": measured["ratio"],
        "val/ratio_var": measured["ratio_deviation_squared"] - (measured["ratio"] - 1) ** 2,
    }
    return metrics | ({"loss/ptx_avg": measured["ptx"]} if "ptx" in measured else {})
