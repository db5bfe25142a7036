"""One iteration of PPO on one page (Ziegler et al. 2019, arXiv 1909.08593; InstructGPT, arXiv 2203.02155, section 3.5).

    sample responses ─► reference, values, scores ─► rewards ─► advantages
                     ─► for each epoch, minibatch, micro-batch: forward, loss, backward; clip, step

Four networks: the policy, its frozen reference, the frozen reward model, and a value model. Policy and value model are
two networks with two optimisers, so no coefficient weighs one loss against the other (the papers' 0.1 belongs to a
shared optimiser), and no gradient of the values can damage the language (Stiennon et al. 2020, appendix G.1).

Where the parts are: the formulas in `losses`, sampling and log-probabilities in `rollout`, the checks in `guards`, the
names of what is logged in `metrics`. `training` is the loop around this page.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from minigpt.data import TokenStream, seeded_generator
from minigpt.model import GPT
from minigpt.objective import next_token_loss_sum
from minigpt.optim import Optimizer, lr_factor
from minigpt.scale.distributed import replicate, share_of_rows, sync_gradients
from minigpt.scale.precision import dtype_of
from minigpt.tokenizer import Tokenizer
from rlhf.chat_format import Turn, encode_prompt
from rlhf.stage2_reward.network import RewardModel, ValueModel
from rlhf.stage3_ppo.configuration import PPOConfig
from rlhf.stage3_ppo.guards import check_finite, check_ratio_is_one, check_starts_at_reference
from rlhf.stage3_ppo.losses import (
    gae,
    kl_controller,
    masked_mean,
    policy_loss,
    replace_unended,
    shape_rewards,
    value_loss,
    whiten,
)
from rlhf.stage3_ppo.metrics import Metrics, policy_metrics, rollout_metrics, value_metrics
from rlhf.stage3_ppo.rollout import (
    Batch,
    RewardFunction,
    micro_batches,
    prompt_rows,
    prompt_text,
    reference_logprobs,
    response_logprobs,
    response_values,
    rollout_values,
    sample_responses,
    score_responses,
)


class PPO:
    """The four networks of PPO, and what trains two of them. `iterate` is the algorithm.

    All networks stay in eval mode: dropout would make the ratio differ from 1 before any update.
    """

    def __init__(
        self,
        policy: GPT,
        value_model: ValueModel,
        reward_fn: RewardModel | RewardFunction,
        prompts: Sequence[Sequence[Turn]],
        tokenizer: Tokenizer,
        config: PPOConfig,
        pretraining: TokenStream | None = None,
    ) -> None:
        self.policy, self.value_model, self.reward_fn = policy.eval(), value_model.eval(), reward_fn
        self.reference = copy.deepcopy(policy).requires_grad_(False)
        self.config, self.tokenizer, self.pretraining = config, tokenizer, pretraining
        self.prompt_ids = [encode_prompt(tokenizer, turns) for turns in prompts]
        self.prompt_texts = [prompt_text(turns) for turns in prompts]
        self.device = policy.token_embedding.weight.device
        self.generator = seeded_generator(config.seed, 2)
        self.controller = kl_controller(config.kl_controller, config.beta, config.kl_target, config.kl_horizon)
        self.policy_updates = 0  # optimiser steps of the policy; also the position in the pretraining text

    def prepare_training(self) -> None:
        """Optimisers, and the modules to call in training; after the models were sharded."""
        optimization = self.config.optimization
        value_optimization = dataclasses.replace(optimization, learning_rate=self.config.value_learning_rate)
        self.policy_optimizer = Optimizer(self.policy, optimization)
        self.value_optimizer = Optimizer(self.value_model, value_optimization)
        self.policy_module, self.value_module = replicate(self.policy), replicate(self.value_model)

    def iterate(self, iteration: int) -> tuple[Batch, Tensor, dict[str, float]]:
        """One rollout, and what is learned from it -> the batch, the scores [B] that were paid, the metrics."""
        config, beta, metrics = self.config, self.controller.beta, Metrics(self.device)

        # One response to each prompt; its log-probabilities come with it.
        rows = prompt_rows(len(self.prompt_ids), config.batch_size, config.seed, iteration)
        batch = sample_responses(
            self.policy,
            self.prompt_ids,
            rows,
            self.tokenizer,
            max_new_tokens=config.max_new_tokens,
            temperature=config.temperature,
            generator=self.generator,
        )
        metrics.lap("time/generate")

        # What the other three networks say about the responses.
        size = config.micro_batch_size
        scores = score_responses(self.reward_fn, batch, self.prompt_texts, self.tokenizer, size)  # [B]
        ref_logprobs = reference_logprobs(self.reference, batch, config.temperature, size)  # [B,T]
        values = rollout_values(self.value_model, batch, size)  # [B,T]
        batch = dataclasses.replace(batch, ref_logprobs=ref_logprobs, values=values)
        if self.policy_updates == 0:
            check_starts_at_reference(batch, dtype_of(self.policy))
        metrics.lap("time/score")

        # Scores and KL penalty to rewards, rewards and values to advantages; then the updates.
        batch, scores, _ = compute_advantages(batch, scores, config, beta)
        measured = rollout_metrics(batch, scores, beta)
        self.learn(batch, iteration, metrics)

        # β follows the KL once the policy learns; during the critic's warm-up the KL is 0 whatever β is.
        if iteration >= config.critic_warmup:
            self.controller.update(measured["objective/kl_nats_per_sequence"], config.batch_size)
        metrics.lap("time/train")
        return batch, scores, {**measured, **metrics.means(), **metrics.seconds}

    def learn(self, batch: Batch, iteration: int, metrics: Metrics) -> None:
        """All epochs over one rollout: for each minibatch one step of the value model and one of the policy."""
        config = self.config
        policy_factor, value_factor = learning_rate_factors(iteration, config)
        learn_policy = iteration >= config.critic_warmup
        for epoch in range(config.epochs):
            order = torch.randperm(len(batch.lengths), generator=self.generator).to(self.device)  # [B], new each epoch
            for number, rows in enumerate(order.split(config.minibatch_size)):
                minibatch, first = batch.select(rows), epoch == number == 0
                where = f"epoch {epoch + 1}, minibatch {number + 1}"
                self.update_value(minibatch, value_factor, where, metrics)
                if learn_policy:
                    learn_policy = self.update_policy(minibatch, policy_factor, where, metrics, check_ratio=first)

    def update_value(self, minibatch: Batch, factor: float, where: str, metrics: Metrics) -> None:
        """One optimiser step of the value model towards the returns."""
        tokens = int(minibatch.lengths.sum())  # the denominator of every micro-batch's loss, so that they add up
        self.value_optimizer.zero_grad()
        parts = micro_batches(minibatch, self.config.micro_batch_size)
        for number, micro in enumerate(parts, start=1):
            sync_gradients(self.value_module, last=number == len(parts))
            values = response_values(self.value_module, micro)  # [b,t]
            loss, stats = value_loss(
                values, micro.values, micro.returns, micro.mask, self.config.value_clip, denominator=tokens
            )
            loss.backward()
            metrics.add({"loss": loss, **stats})
        measured = metrics.reduce()
        check_finite("value loss", measured["loss"], f"{where} ({tokens} tokens)")
        grad_norm = self.value_optimizer.clip_gradients()
        check_finite("value gradient", grad_norm, f"{where} ({tokens} tokens)")
        self.value_optimizer.step(factor)
        metrics.record(value_metrics(measured, grad_norm))

    def update_policy(
        self, minibatch: Batch, factor: float, where: str, metrics: Metrics, *, check_ratio: bool
    ) -> bool:
        """One optimiser step of the policy along the clipped loss, plus PPO-ptx. Returns whether to go on.

        A policy that is already too far from the one that sampled takes no step, and none in the rest of the rollout:
        it would learn from stale episodes (Spinning Up, `ppo.py`: target_kl).
        """
        config, tokens = self.config, int(minibatch.lengths.sum())
        self.policy_optimizer.zero_grad()
        self.add_pretraining_gradient(metrics)
        parts = micro_batches(minibatch, config.micro_batch_size)
        for number, micro in enumerate(parts, start=1):
            sync_gradients(self.policy_module, last=number == len(parts))
            logprobs, entropy = response_logprobs(self.policy_module, micro, config.temperature)  # [b,t] each
            if check_ratio:
                check_ratio_is_one(logprobs, micro, dtype_of(self.policy))
            loss, stats = policy_loss(
                logprobs, micro.logprobs, micro.advantages, micro.mask, config.clip, denominator=tokens
            )
            loss.backward()
            metrics.add({"loss": loss, **stats, "entropy": masked_mean(entropy, micro.mask, tokens)})
        measured = metrics.reduce()
        check_finite("policy loss", measured["loss"], f"{where} ({tokens} tokens)")
        grad_norm = self.policy_optimizer.clip_gradients()
        check_finite("policy gradient", grad_norm, f"{where} ({tokens} tokens)")
        metrics.record(policy_metrics(measured, grad_norm))
        if config.kl_stop > 0 and measured["approxkl"] > 1.5 * config.kl_stop:
            return False
        self.policy_optimizer.step(factor)
        self.policy_updates += 1
        return True

    def add_pretraining_gradient(self, metrics: Metrics) -> None:
        """PPO-ptx: γ·∇(loss on pretraining text), so that the policy forgets less of it (InstructGPT, eq. 2).

        Both losses are means over tokens here; the paper's γ = 27.8 belongs to its own normalisation.
        """
        if self.pretraining is None:
            return
        inputs, targets = (x.to(self.device) for x in self.pretraining.batch(self.policy_updates))  # [B,T] each
        mine = share_of_rows(len(inputs))
        sync_gradients(self.policy_module, last=False)
        loss = next_token_loss_sum(self.policy_module(inputs[mine]), targets[mine]) / targets.numel()
        (self.config.ptx_coefficient * loss).backward()
        metrics.add({"ptx": loss})


def compute_advantages(batch: Batch, scores: Tensor, config: PPOConfig, beta: float) -> tuple[Batch, Tensor, Tensor]:
    """The batch with advantages and returns, the scores [B] with unended answers replaced, and the rewards [B,T].

    Whitening is over all tokens of the rollout at once.
    """
    if config.missing_end_score is not None:
        scores = replace_unended(scores, batch.ended, config.missing_end_score)  # [B]
    rewards = shape_rewards(scores, batch.logprobs, batch.ref_logprobs, batch.mask, beta)  # [B,T]
    if config.whiten_rewards:
        rewards = whiten(rewards, batch.mask, shift_mean=False)
    advantages, returns = gae(rewards, batch.values, batch.mask, config.gamma, config.lam)  # [B,T] each
    if config.whiten_advantages:
        advantages = whiten(advantages, batch.mask)
    return dataclasses.replace(batch, advantages=advantages, returns=returns), scores, rewards


def learning_rate_factors(iteration: int, config: PPOConfig) -> tuple[float, float]:
    """What the peak learning rates of policy and value model are multiplied by in this iteration.

    The policy's schedule, and with it its warm-up, begins with the first iteration that updates the policy.
    """
    waiting = config.critic_warmup
    value = lr_factor(iteration, config.iterations, config.optimization)
    if iteration < waiting:
        return 0.0, value
    return lr_factor(iteration - waiting, config.iterations - waiting, config.optimization), value
