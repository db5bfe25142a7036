"""What PPO learns from one rollout: advantages first, then a few passes of clipped updates over policy and value model.

Policy and value model are two networks with two optimisers, so no coefficient weighs one loss against the other (the
papers' 0.1 belongs to a shared optimiser), and no value gradient can damage the language (Stiennon et al. 2020, G.1).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from minigpt.data import TokenStream
from minigpt.model import GPT
from minigpt.objective import next_token_loss_sum
from minigpt.optim import Optimizer
from minigpt.runs.errors import DivergedError, UserError
from minigpt.scale.distributed import Gradients, share_of_rows, sum_over_processes
from minigpt.scale.precision import dtype_of
from rlhf.stage2_reward.network import ValueModel
from rlhf.stage3_ppo.configuration import PPOConfig
from rlhf.stage3_ppo.losses import (
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
from rlhf.stage3_ppo.rollout import Episodes, Rollout, by_length, response_logprobs, response_values

# (model, rows [b]) -> the loss of those episodes, and what was measured on the way
PartLoss = Callable[..., tuple[Tensor, dict[str, Tensor]]]

# How far may log-probabilities that are computed twice, once with a cache and once without, lie apart? In nats: float32
# agrees at every token. In bfloat16 a sum taken in another order may be rounded to a neighbour 1/256 away, and a token
# here and there differs by a few hundredths; but a mistake shows in the mean of all.
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 1e-2}
WHERE = {torch.float32: "at one token", torch.bfloat16: "in the mean"}  # for messages, see disagreement


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


def disagreement(logprobs: Tensor, others: Tensor, mask: Tensor, dtype: torch.dtype) -> float:
    """How far two computations of the same log-probabilities [B,N] lie apart, in nats: at the worst token in float32,
    at the mean one in bfloat16; to be held against TOLERANCE."""
    differences = (logprobs.detach() - others)[mask].abs()  # [M]
    return float(differences.max() if dtype == torch.float32 else differences.mean())


def check_starts_at_reference(rollout: Rollout, dtype: torch.dtype = torch.float32) -> None:
    """Before the first update the policy IS the reference: every token's KL must be 0. Raises UserError if not."""
    episodes = rollout.episodes
    difference = disagreement(episodes.logprobs, rollout.ref_logprobs, episodes.mask, dtype)
    if not difference <= TOLERANCE[dtype]:
        raise UserError(
            f"before the first update, the log-probabilities differ from the reference's by {difference:.2g} nats "
            f"{WHERE[dtype]}, but must be the same: the reference is not a copy of the policy, or they see other "
            "positions, another temperature or dropout"
        )


def check_ratio_is_one(logprobs: Tensor, episodes: Episodes, dtype: torch.dtype = torch.float32) -> None:
    """The first minibatch of a rollout is learned from by the policy that sampled it: ratio ≡ 1, or there is a bug.

    The best detector of them in PPO (O9). Raises UserError naming the usual causes.
    """
    deviation = disagreement(logprobs, episodes.logprobs, episodes.mask, dtype)
    if not math.isfinite(deviation):
        raise DivergedError(f"a log-probability of the policy is {deviation}")
    if not deviation <= TOLERANCE[dtype]:
        raise UserError(
            f"before the update, the recomputed log-probabilities differ from the sampled ones by {deviation:.2g} nats "
            f"{WHERE[dtype]}, so the ratio does not start at 1: sampling and training disagree about temperature, "
            "truncation, positions, masks, dropout or precision"
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


@dataclass(frozen=True)
class Minibatch:
    """What one optimiser step learns from: its micro-batches, each the numbers of some episodes [b], and how many
    response tokens there are in ALL of them, the denominator of their losses (O3)."""

    parts: list[Tensor]
    tokens: Tensor


def minibatches(episodes: Episodes, size: int, micro: int, generator: torch.Generator) -> Iterator[Minibatch]:
    """A fresh permutation of the episodes in minibatches, each cut into micro-batches of rows sorted by length.

    Of several processes each gets micro-batches of other rows, but the tokens of them all.
    """
    order = torch.randperm(len(episodes.lengths), generator=generator).to(episodes.ids.device)
    for rows in order.split(size):
        mine = rows[share_of_rows(len(rows))]
        parts = [mine[part] for part in by_length(episodes.select(mine), micro)]
        yield Minibatch(parts, episodes.lengths[rows].sum())


class Learner:
    """The two networks that learn, with their optimisers. All networks stay in eval mode: dropout would make the
    ratio differ from 1 for no reason (P2)."""

    def __init__(
        self,
        policy: GPT,
        value_model: ValueModel,
        policy_optimizer: Optimizer,
        value_optimizer: Optimizer,
        config: PPOConfig,
        pretraining: TokenStream | None = None,
    ) -> None:
        self.policy, self.value_model, self.config, self.pretraining = policy, value_model, config, pretraining
        self.device = policy.token_embedding.weight.device
        self.policy_optimizer, self.value_optimizer = policy_optimizer, value_optimizer
        # a micro-batch here is a function of the model: PPO's loss, or that of the pretraining text
        self.policy_gradients = Gradients(policy, lambda model, loss: loss(model))
        self.value_gradients = Gradients(value_model, lambda model, loss: loss(model))
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
            for number, minibatch in enumerate(batches, start=1):
                where = f"epoch {epoch + 1}, minibatch {number}"
                metrics = self.update_value(rollout, targets, minibatch, factor, where)
                if learn_policy:
                    metrics |= self.update_policy(rollout, targets, minibatch, factor, where, check_ratio=first)
                first = False
                for key, value in metrics.items():
                    totals[key], counts[key] = totals.get(key, 0.0) + value, counts.get(key, 0) + 1
                # Spinning Up's belt: a policy this far from the one that sampled learns from stale episodes (O7)
                if config.kl_stop > 0 and metrics.get("policy/approxkl_avg", 0.0) > 1.5 * config.kl_stop:
                    return {key: total / counts[key] for key, total in totals.items()}
        return {key: total / counts[key] for key, total in totals.items()}

    def update_policy(
        self, rollout: Rollout, targets: Targets, minibatch: Minibatch, factor: float, where: str, check_ratio: bool
    ) -> dict[str, float]:
        """One optimiser step of the policy: the clipped loss, summed over micro-batches, plus PPO-ptx."""
        self.policy_optimizer.zero_grad()

        def loss(policy: GPT, rows: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
            part = rollout.episodes.select(rows)
            n, tokens = part.responses.shape[1], minibatch.tokens
            logprobs, entropy = response_logprobs(policy, part, self.config.temperature)  # [b,n] each
            if check_ratio:
                check_ratio_is_one(logprobs, part, dtype_of(policy))
            loss, stats = policy_loss(
                logprobs, part.logprobs, targets.advantages[rows, :n], part.mask, self.config.clip, tokens
            )
            return loss, stats | {"loss": loss.detach(), "entropy": masked_mean(entropy, part.mask, tokens)}

        sums = self._accumulate(self.policy_gradients, loss, minibatch.parts, last=self.pretraining is None)
        where = f"{where} ({int(minibatch.tokens)} tokens)"
        check_finite("policy loss", sums["loss"], where)
        metrics = self.add_pretraining_gradient()
        grad_norm = self.policy_optimizer.clip_gradients()
        check_finite("policy gradient", grad_norm, where)
        self.policy_optimizer.step(factor)
        self.policy_updates += 1
        return metrics | {
            "loss/policy_avg": sums["loss"],
            "policy/approxkl_avg": sums["approxkl"],
            "policy/approxkl_k3_avg": sums["approxkl_k3"],
            "policy/clipfrac_avg": sums["clipfrac"],
            "policy/entropy_avg": sums["entropy"],
            "policy/grad_norm": grad_norm,
            "val/ratio": sums["ratio"],
            "val/ratio_var": sums["ratio_deviation_squared"] - (sums["ratio"] - 1) ** 2,
        }

    def _accumulate(
        self, gradients: Gradients, loss: PartLoss, parts: Sequence[Tensor], last: bool = True
    ) -> dict[str, float]:
        """The gradient of all parts, and the sums of what `loss` measured. last: no other gradient is added to it."""
        sums: dict[str, Tensor] = {}
        for number, rows in enumerate(parts, start=1):
            value, stats = gradients(partial(loss, rows=rows), last=last and number == len(parts))
            gradients.backward(value)
            sums = {key: sums.get(key, 0.0) + measured for key, measured in stats.items()}
        return sum_over_processes(sums, self.device)

    def add_pretraining_gradient(self) -> dict[str, float]:
        """PPO-ptx: adds γ·∇(loss on pretraining text), so that the policy forgets less of it (InstructGPT, eq. 2).

        Both losses are means over tokens here; the paper's γ = 27.8 belongs to its own normalisation (O11).
        """
        if self.pretraining is None:
            return {}
        inputs, targets = (x.to(self.device) for x in self.pretraining.batch(self.policy_updates))  # [B,T] each
        mine = share_of_rows(len(inputs))

        def loss(policy: GPT) -> tuple[Tensor, dict[str, Tensor]]:
            part = next_token_loss_sum(policy(inputs[mine]), targets[mine]) / targets.numel()
            return self.config.ptx_coefficient * part, {"loss/ptx_avg": part.detach()}

        value, stats = self.policy_gradients(loss, last=True)
        self.policy_gradients.backward(value)
        return sum_over_processes(stats, self.device)

    def update_value(
        self, rollout: Rollout, targets: Targets, minibatch: Minibatch, factor: float, where: str
    ) -> dict[str, float]:
        """One optimiser step of the value model towards the returns."""
        self.value_optimizer.zero_grad()

        def loss(value_model: ValueModel, rows: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
            part = rollout.episodes.select(rows)
            n = part.responses.shape[1]
            values = response_values(value_model, part)  # [b,n]
            loss, stats = value_loss(
                values,
                rollout.values[rows, :n],
                targets.returns[rows, :n],
                part.mask,
                self.config.value_clip,
                minibatch.tokens,
            )
            return loss, stats | {"loss": loss.detach()}

        sums = self._accumulate(self.value_gradients, loss, minibatch.parts)
        where = f"{where} ({int(minibatch.tokens)} tokens)"
        check_finite("value loss", sums["loss"], where)
        grad_norm = self.value_optimizer.clip_gradients()
        check_finite("value gradient", grad_norm, where)
        self.value_optimizer.step(factor)
        return {
            "loss/value_avg": sums["loss"],
            "val/clipfrac_avg": sums["clipfrac"],
            "value/grad_norm": grad_norm,
        }
