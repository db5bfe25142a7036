"""The four networks of PPO, and the optimisers of two of them. `step` is the algorithm that uses them."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence

from minigpt.data import TokenStream
from minigpt.generate import check_prompts
from minigpt.model import GPT
from minigpt.optim import Optimizer
from minigpt.runs.seeds import seeded_generator
from minigpt.scale.compilation import compile_blocks
from minigpt.scale.sharding import replicate, shard
from minigpt.tokenizer import Tokenizer
from rlhf.chat_format import Turn, encode_prompt
from rlhf.stage2_reward.network import RewardModel, ValueModel
from rlhf.stage3_ppo.configuration import PPOConfig
from rlhf.stage3_ppo.losses import AdaptiveKLController, FixedKLController
from rlhf.stage3_ppo.rollout import RewardFunction, prompt_text


class PPO:
    """Policy and value model with their optimisers, the frozen reference and the reward, the prompts, β.

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
        """Raises UserError for a prompt that is too long for the policy."""
        self.policy, self.value_model, self.reward_fn = policy.eval(), value_model.eval(), reward_fn
        self.reference = copy.deepcopy(policy).requires_grad_(False)
        self.config, self.tokenizer, self.pretraining = config, tokenizer, pretraining
        self.device = policy.token_embedding.weight.device
        self.prompt_ids = [encode_prompt(tokenizer, turns) for turns in prompts]
        self.prompt_texts = [prompt_text(turns) for turns in prompts]
        check_prompts(self.prompt_ids, policy.config.context)
        self.generator = seeded_generator(config.seed, "ppo")
        self.controller: FixedKLController | AdaptiveKLController = FixedKLController(config.beta)
        if config.kl_controller == "adaptive":
            self.controller = AdaptiveKLController(config.beta, config.kl_target, config.kl_horizon)
        self.policy_updates = 0  # optimiser steps of the policy; also the position in the pretraining text

    def prepare_training(self) -> None:
        """With --shard a part of each model for each process; then optimisers, and the modules to call in training."""
        optimization = self.config.optimization
        if optimization.shard:
            frozen = [self.reference, *([self.reward_fn] if isinstance(self.reward_fn, RewardModel) else [])]
            for model in (self.policy, self.value_model, *frozen):
                shard(model)
        for model in (self.policy, self.value_model):
            compile_blocks(model, optimization.compile)
        value_optimization = dataclasses.replace(optimization, learning_rate=self.config.value_learning_rate)
        self.policy_optimizer = Optimizer(self.policy, optimization)
        self.value_optimizer = Optimizer(self.value_model, value_optimization)
        self.policy_module, self.value_module = replicate(self.policy), replicate(self.value_model)


def first_value_model(policy: GPT, reward_fn: RewardModel | RewardFunction, seed: int) -> ValueModel:
    """A copy of the reward model or, where the reward is a function, the policy's trunk under a new head."""
    if isinstance(reward_fn, RewardModel):
        return ValueModel.from_reward_model(reward_fn)
    return ValueModel.from_reward_model(RewardModel(copy.deepcopy(policy), seeded_generator(seed, "value head")))
