"""What PPO learns from one rollout: advantages first, then a few passes of clipped updates over policy and value model.

Policy and value model are two networks with two optimisers, so no coefficient weighs one loss against the other (the
papers' 0.1 belongs to a shared optimiser), and no value gradient can damage the language (Stiennon et al. 2020, G.1).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from minigpt.data import TokenStream
from minigpt.errors import DivergedError, UserError
from minigpt.model import GPT
from minigpt.optim import Optimizer
from rlhf.ppo_config import PPOConfig
from rlhf.ppo_losses import (
    explained_variance,
    gae,
    kl_k1,
    kl_k3,
    masked_mean,
    masked_sum,
    policy_loss,
    replace_unended,
    shape_rewards,
    value_loss,
    whiten,
)
from rlhf.reward_model import RewardModel
from rlhf.rollout import Episodes, Rollout, by_length, response_logprobs, response_values

TOLERANCE = 1e-4  # of log-probabilities computed twice in float32, once with a cache and once without


@dataclass(frozen=True)
class Targets:
    """What a rollout teaches: scores [B] with unended answers replaced, and rewards, advantages, returns [B,N]."""

    scores: Tensor
    rewards: Tensor
    advantages: Tensor
    returns: Tensor


def compute_targets(rollout: Rollout, config: PPOConfig, beta: float) -> Targets:
    """Scores to rewards to advantages; whitened over all tokens of the rollout at once."""
    episodes, mask = rollout.episodes, rollout.episodes.mask
    scores = rollout.scores  # [B]
    if config.missing_end_score is not None:
        scores = replace_unended(scores, episodes.ended, config.missing_end_score)
    rewards = shape_rewards(scores, episodes.logprobs, rollout.ref_logprobs, mask, beta)  # [B,N]
    if config.whiten_rewards:
        rewards = whiten(rewards, mask, shift_mean=False)
    advantages, returns = gae(rewards, rollout.values, mask, config.gamma, config.lam)  # [B,N] each
    if config.whiten_advantages:
        advantages = whiten(advantages, mask)
    return Targets(scores, rewards, advantages, returns)


def rollout_metrics(rollout: Rollout, targets: Targets, beta: float) -> dict[str, float]:
    """How the policy did before this update, in TRL's names. All masked; KLs in nats, the unit in the name.

    `objective/kl` is TRL's: summed over the tokens of a response, averaged over responses.
    """
    episodes, mask = rollout.episodes, rollout.episodes.mask
    B = len(mask)
    kl = masked_sum(kl_k1(episodes.logprobs, rollout.ref_logprobs), mask)
    kl_positive = masked_sum(kl_k3(episodes.logprobs, rollout.ref_logprobs), mask)
    ended = episodes.ended.sum()
    metrics = {
        "objective/scores": targets.scores.mean(),
        "objective/scores_std": targets.scores.std(unbiased=False),
        "objective/kl": kl / B,
        "objective/kl_nats_per_sequence": kl / B,
        "objective/kl_nats_per_token": kl / mask.sum(),
        "objective/kl_k3_nats_per_sequence": kl_positive / B,
        "objective/entropy": -masked_sum(episodes.logprobs, mask) / B,
        "objective/non_score_reward": -beta * kl / B,
        "objective/rlhf_reward": targets.scores.mean() - beta * kl / B,
        "val/num_eos_tokens": ended,
        "val/ended_share": ended / B,
        "val/response_length": episodes.lengths.float().mean(),
        "val/explained_variance": explained_variance(rollout.values, targets.returns, mask),
    }
    return {name: float(value) for name, value in metrics.items()} | {"objective/beta": beta}


# ---- Guards --------------------------------------------------------------------------------------------------------


def check_starts_at_reference(rollout: Rollout) -> None:
    """Before the first update the policy IS the reference: every token's KL must be 0. Raises UserError if not."""
    difference = float(kl_k1(rollout.episodes.logprobs, rollout.ref_logprobs)[rollout.episodes.mask].abs().max())
    if not difference <= TOLERANCE:
        raise UserError(
            f"before the first update, a token's log-probability differs from the reference's by {difference:.2g} "
            "nats, but must be the same: the reference is not a copy of the policy, or they see other positions, "
            "another temperature or dropout"
        )


def check_ratio_is_one(logprobs: Tensor, episodes: Episodes) -> None:
    """The first minibatch of a rollout is learned from by the policy that sampled it: ratio ≡ 1, or there is a bug.

    The best detector of them in PPO (O9). Raises UserError naming the usual causes.
    """
    deviation = float((logprobs.detach() - episodes.logprobs)[episodes.mask].abs().max())
    if not math.isfinite(deviation):
        raise DivergedError(f"a log-probability of the policy is {deviation}")
    if not deviation <= TOLERANCE:
        raise UserError(
            f"before the update, a recomputed log-probability differs from the sampled one by {deviation:.2g} nats, so "
            "the ratio does not start at 1: sampling and training disagree about temperature, truncation, positions, "
            "masks, dropout or precision"
        )


def check_finite(what: str, value: float, where: str) -> None:
    """Raises DivergedError naming the batch if a loss or a gradient is no number; the loop adds cause and remedy."""
    if not math.isfinite(value):
        raise DivergedError(f"{where}: the {what} is {value}")


def ended_share_collapses(shares: Sequence[float]) -> str:
    """A warning when the share of answers that end falls below half of what it was at first, else "".

    shares: one for each rollout so far. Answers that stop ending are the first sign of a policy that learns to please
    by length. Said once, when it happens; and not of a policy that hardly ever ended: it has nothing to lose.
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


# ---- The updates ---------------------------------------------------------------------------------------------------


def minibatches(episodes: Episodes, size: int, micro: int, generator: torch.Generator) -> Iterator[list[Tensor]]:
    """A fresh permutation of the episodes in minibatches, each a list of micro-batches of rows sorted by length."""
    order = torch.randperm(len(episodes.lengths), generator=generator).to(episodes.ids.device)
    for rows in order.split(size):
        chosen = episodes.select(rows)
        yield [rows[part] for part in by_length(chosen, micro)]


class Learner:
    """The two networks that learn, with their optimisers. All networks stay in eval mode: dropout would make the
    ratio differ from 1 for no reason (P2)."""

    def __init__(
        self,
        policy: GPT,
        value_model: RewardModel,
        policy_optimizer: Optimizer,
        value_optimizer: Optimizer,
        config: PPOConfig,
        pretraining: TokenStream | None = None,
    ) -> None:
        self.policy, self.value_model, self.config, self.pretraining = policy, value_model, config, pretraining
        self.policy_optimizer, self.value_optimizer = policy_optimizer, value_optimizer
        self.policy_updates = 0  # also the position in the pretraining text

    def learn(
        self,
        rollout: Rollout,
        targets: Targets,
        factor: float,
        learn_policy: bool,
        generator: torch.Generator,
    ) -> dict[str, float]:
        """All epochs over one rollout with learning rates times `factor`: metrics averaged over the minibatches."""
        config, totals, counts = self.config, {}, {}
        first = True
        for epoch in range(config.epochs):
            batches = minibatches(rollout.episodes, config.minibatch_size, config.micro_batch_size, generator)
            for number, parts in enumerate(batches, start=1):
                where = f"epoch {epoch + 1}, minibatch {number}"
                metrics = self.update_value(rollout, targets, parts, factor, where)
                if learn_policy:
                    metrics |= self.update_policy(rollout, targets, parts, factor, where, check_ratio=first)
                first = False
                for key, value in metrics.items():
                    totals[key], counts[key] = totals.get(key, 0.0) + value, counts.get(key, 0) + 1
                # Spinning Up's belt: a policy this far from the one that sampled learns from stale episodes (O7)
                if config.kl_stop > 0 and metrics.get("policy/approxkl_avg", 0.0) > 1.5 * config.kl_stop:
                    return {key: total / counts[key] for key, total in totals.items()}
        return {key: total / counts[key] for key, total in totals.items()}

    def update_policy(
        self, rollout: Rollout, targets: Targets, parts: list[Tensor], factor: float, where: str, check_ratio: bool
    ) -> dict[str, float]:
        """One optimiser step of the policy: the clipped loss, summed over micro-batches, plus PPO-ptx."""
        tokens = rollout.episodes.lengths[torch.cat(parts)].sum()  # the denominator of the WHOLE minibatch (O3)
        sums: dict[str, Tensor] = {}
        self.policy_optimizer.zero_grad()
        for rows in parts:
            part = rollout.episodes.select(rows)
            n = part.responses.shape[1]
            logprobs, entropy = response_logprobs(self.policy, part, self.config.temperature)  # [b,n] each
            if check_ratio:
                check_ratio_is_one(logprobs, part)
            loss, stats = policy_loss(
                logprobs, part.logprobs, targets.advantages[rows, :n], part.mask, self.config.clip, tokens
            )
            loss.backward()
            stats |= {"loss": loss.detach(), "entropy": masked_mean(entropy, part.mask, tokens)}
            sums = {key: sums.get(key, 0.0) + value for key, value in stats.items()}
        check_finite("policy loss", float(sums["loss"]), f"{where} ({int(tokens)} tokens)")
        metrics = self.add_pretraining_gradient()
        grad_norm = self.policy_optimizer.clip_gradients()
        check_finite("policy gradient", grad_norm, f"{where} ({int(tokens)} tokens)")
        self.policy_optimizer.step(factor)
        self.policy_updates += 1
        return metrics | {
            "loss/policy_avg": float(sums["loss"]),
            "policy/approxkl_avg": float(sums["approxkl"]),
            "policy/approxkl_k3_avg": float(sums["approxkl_k3"]),
            "policy/clipfrac_avg": float(sums["clipfrac"]),
            "policy/entropy_avg": float(sums["entropy"]),
            "policy/grad_norm": grad_norm,
            "val/ratio": float(sums["ratio"]),
            "val/ratio_var": float(sums["ratio_deviation_squared"] - (sums["ratio"] - 1) ** 2),
        }

    def add_pretraining_gradient(self) -> dict[str, float]:
        """PPO-ptx: adds γ·∇(loss on pretraining text), so that the policy forgets less of it (InstructGPT, eq. 2).

        Both losses are means over tokens here; the paper's γ = 27.8 belongs to its own normalisation (O11).
        """
        if self.pretraining is None:
            return {}
        inputs, targets = (
            x.to(self.policy.token_embedding.weight.device) for x in self.pretraining.batch(self.policy_updates)
        )
        loss = F.cross_entropy(self.policy(inputs).flatten(0, 1), targets.flatten())  # logits [B·T,V]
        (self.config.ptx_coefficient * loss).backward()
        return {"loss/ptx_avg": float(loss.detach())}

    def update_value(
        self, rollout: Rollout, targets: Targets, parts: list[Tensor], factor: float, where: str
    ) -> dict[str, float]:
        """One optimiser step of the value model towards the returns."""
        tokens = rollout.episodes.lengths[torch.cat(parts)].sum()
        sums: dict[str, Tensor] = {}
        self.value_optimizer.zero_grad()
        for rows in parts:
            part = rollout.episodes.select(rows)
            n = part.responses.shape[1]
            values = response_values(self.value_model, part)  # [b,n]
            loss, stats = value_loss(
                values, rollout.values[rows, :n], targets.returns[rows, :n], part.mask, self.config.value_clip, tokens
            )
            loss.backward()
            stats["loss"] = loss.detach()
            sums = {key: sums.get(key, 0.0) + value for key, value in stats.items()}
        check_finite("value loss", float(sums["loss"]), f"{where} ({int(tokens)} tokens)")
        grad_norm = self.value_optimizer.clip_gradients()
        check_finite("value gradient", grad_norm, f"{where} ({int(tokens)} tokens)")
        self.value_optimizer.step(factor)
        return {
            "loss/value_avg": float(sums["loss"]),
            "val/clipfrac_avg": float(sums["clipfrac"]),
            "value/grad_norm": grad_norm,
        }
