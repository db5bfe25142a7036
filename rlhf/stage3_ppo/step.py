"""One iteration of PPO on one page (Ziegler et al. 2019, arXiv 1909.08593; InstructGPT, arXiv 2203.02155, section 3.5).

    sample responses ─► reference, values, scores ─► rewards ─► advantages
                     ─► for each epoch, minibatch, micro-batch: forward, loss, backward; then clip, step

Policy and value model are two networks with two optimisers, so no coefficient weighs one loss against the other (the
papers' 0.1 belongs to a shared optimiser), and no gradient of the values can damage the language (Stiennon et al. 2020,
appendix G.1).

The formulas are in `losses`, sampling and log-probabilities in `rollout`, the networks in `networks`, the checks in
`guards`, the names of what is logged in `metrics`. `training` is the loop around this page.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from minigpt.objective import next_token_loss_sum
from minigpt.optim import lr_factor
from minigpt.scale.distributed import share_of_rows
from minigpt.scale.precision import dtype_of
from minigpt.scale.sharding import sync_gradients
from rlhf.stage3_ppo.configuration import PPOConfig
from rlhf.stage3_ppo.guards import check_finite, check_ratio_is_one, check_starts_at_reference
from rlhf.stage3_ppo.losses import gae, masked_mean, policy_loss, replace_unended, shape_rewards, value_loss, whiten
from rlhf.stage3_ppo.metrics import Metrics, policy_metrics, rollout_metrics, value_metrics
from rlhf.stage3_ppo.networks import PPO
from rlhf.stage3_ppo.rollout import (
    Batch,
    micro_batches,
    prompt_rows,
    reference_logprobs,
    response_logprobs,
    response_values,
    rollout_values,
    sample_responses,
    score_responses,
)


def ppo_iteration(ppo: PPO, iteration: int) -> tuple[Batch, Tensor, dict[str, float]]:
    """One rollout, and what is learned from it -> the batch, the scores [B] that were paid, the metrics."""
    config, beta, metrics = ppo.config, ppo.controller.beta, Metrics(ppo.device)

    # One response to each prompt; its log-probabilities come with it.
    rows = prompt_rows(len(ppo.prompt_ids), config.batch_size, config.seed, iteration)
    batch = sample_responses(
        ppo.policy,
        ppo.prompt_ids,
        rows,
        ppo.tokenizer,
        max_new_tokens=config.max_new_tokens,
        temperature=config.temperature,
        generator=ppo.generator,
    )
    metrics.lap("time/generate")

    # What the other three networks say about the responses.
    size = config.micro_batch_size
    scores = score_responses(ppo.reward_fn, batch, ppo.prompt_texts, ppo.tokenizer, size)  # [B]
    ref_logprobs = reference_logprobs(ppo.reference, batch, config.temperature, size)  # [B,T]
    values = rollout_values(ppo.value_model, batch, size)  # [B,T]
    batch = replace(batch, ref_logprobs=ref_logprobs, values=values)
    if ppo.policy_updates == 0:
        check_starts_at_reference(batch, dtype_of(ppo.policy))
    metrics.lap("time/score")

    # Scores and KL penalty to rewards, rewards and values to advantages; then learn.
    batch, scores, _ = compute_advantages(batch, scores, config, beta)
    measured = rollout_metrics(batch, scores, beta)
    learn(ppo, batch, iteration, metrics)

    # β follows the KL once the policy learns; during the critic's warm-up the KL is 0 whatever β is.
    if iteration >= config.critic_warmup:
        ppo.controller.update(measured["objective/kl_nats_per_sequence"], config.batch_size)
    metrics.lap("time/train")
    return batch, scores, {**measured, **metrics.means(), **metrics.seconds}


def compute_advantages(batch: Batch, scores: Tensor, config: PPOConfig, beta: float) -> tuple[Batch, Tensor, Tensor]:
    """The batch with advantages and returns, the scores [B] with unended answers replaced, and the rewards [B,T]."""
    if config.missing_end_score is not None:
        scores = replace_unended(scores, batch.ended, config.missing_end_score)  # [B]
    rewards = shape_rewards(scores, batch.logprobs, batch.ref_logprobs, batch.mask, beta)  # [B,T]
    if config.whiten_rewards:
        rewards = whiten(rewards, batch.mask, shift_mean=False)
    advantages, returns = gae(rewards, batch.values, batch.mask, config.gamma, config.lam)  # [B,T] each
    if config.whiten_advantages:  # over all tokens of the rollout at once
        advantages = whiten(advantages, batch.mask)
    return replace(batch, advantages=advantages, returns=returns), scores, rewards


def learn(ppo: PPO, batch: Batch, iteration: int, metrics: Metrics) -> None:
    """All epochs over one rollout: for each minibatch one step of the value model and one of the policy."""
    config, learn_policy = ppo.config, iteration >= ppo.config.critic_warmup
    policy_factor, value_factor = learning_rate_factors(iteration, config)
    for epoch in range(config.epochs):
        order = torch.randperm(len(batch.lengths), generator=ppo.generator).to(ppo.device)  # [B], new in each epoch
        for number, rows in enumerate(order.split(config.minibatch_size)):
            minibatch, first = batch.select(rows), epoch == number == 0
            where = f"epoch {epoch + 1}, minibatch {number + 1} ({minibatch.tokens} tokens)"
            update_value(ppo, minibatch, value_factor, metrics, where)
            if learn_policy:
                learn_policy = update_policy(ppo, minibatch, policy_factor, metrics, where, check_ratio=first)


def update_value(ppo: PPO, minibatch: Batch, factor: float, metrics: Metrics, where: str) -> None:
    """One optimiser step of the value model towards the returns."""
    ppo.value_optimizer.zero_grad()
    parts = micro_batches(minibatch, ppo.config.micro_batch_size)
    for number, micro in enumerate(parts, start=1):
        sync_gradients(ppo.value_module, last=number == len(parts))
        values = response_values(ppo.value_module, micro)  # [b,t]
        loss, stats = value_loss(
            values, micro.values, micro.returns, micro.mask, ppo.config.value_clip, denominator=minibatch.tokens
        )
        loss.backward()
        metrics.add({"loss": loss, **stats})
    measured, grad_norm = metrics.reduce(), ppo.value_optimizer.clip_gradients()
    check_finite({"value loss": measured["loss"], "value gradient": grad_norm}, where)
    metrics.record(value_metrics(measured, grad_norm))
    ppo.value_optimizer.step(factor)


def update_policy(
    ppo: PPO, minibatch: Batch, factor: float, metrics: Metrics, where: str, *, check_ratio: bool = False
) -> bool:
    """One optimiser step of the policy along the clipped loss, plus PPO-ptx. Returns False if it was already too far.

    A policy that is too far from the one that sampled takes no step, here and in the rest of the rollout: it would
    learn from stale episodes (Spinning Up, `ppo.py`: target_kl).
    """
    config = ppo.config
    ppo.policy_optimizer.zero_grad()
    add_pretraining_gradient(ppo, metrics)
    parts = micro_batches(minibatch, config.micro_batch_size)
    for number, micro in enumerate(parts, start=1):
        sync_gradients(ppo.policy_module, last=number == len(parts))
        logprobs, entropy = response_logprobs(ppo.policy_module, micro, config.temperature)  # [b,t] each
        if check_ratio:
            check_ratio_is_one(logprobs, micro, dtype_of(ppo.policy))
        loss, stats = policy_loss(
            logprobs, micro.logprobs, micro.advantages, micro.mask, config.clip, denominator=minibatch.tokens
        )
        loss.backward()
        metrics.add({"loss": loss, **stats, "entropy": masked_mean(entropy, micro.mask, minibatch.tokens)})
    measured, grad_norm = metrics.reduce(), ppo.policy_optimizer.clip_gradients()
    check_finite({"policy loss": measured["loss"], "policy gradient": grad_norm}, where)
    metrics.record(policy_metrics(measured, grad_norm))
    if config.kl_stop > 0 and measured["approxkl"] > 1.5 * config.kl_stop:
        return False
    ppo.policy_optimizer.step(factor)
    ppo.policy_updates += 1
    return True


def add_pretraining_gradient(ppo: PPO, metrics: Metrics) -> None:
    """PPO-ptx: γ·∇(loss on pretraining text), so that the policy forgets less of it (InstructGPT, eq. 2).

    Both losses are means over tokens here; the paper's γ = 27.8 belongs to its own normalisation.
    """
    if ppo.pretraining is None:
        return
    inputs, targets = (x.to(ppo.device) for x in ppo.pretraining.batch(ppo.policy_updates))  # [B,T] each
    mine = share_of_rows(len(inputs))
    sync_gradients(ppo.policy_module, last=False)
    loss = next_token_loss_sum(ppo.policy_module(inputs[mine]), targets[mine]) / targets.numel()
    (ppo.config.ptx_coefficient * loss).backward()
    metrics.add({"ptx": loss})


def learning_rate_factors(iteration: int, config: PPOConfig) -> tuple[float, float]:
    """The factors of the peak learning rates of policy and value model in this iteration.

    The policy's schedule, and with it its warm-up, begins with the first iteration that updates the policy.
    """
    waiting = config.critic_warmup
    value = lr_factor(iteration, config.iterations, config.optimization)
    if iteration < waiting:
        return 0.0, value
    return lr_factor(iteration - waiting, config.iterations - waiting, config.optimization), value
