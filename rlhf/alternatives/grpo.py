"""Group relative policy optimisation (GRPO): PPO's rollouts and loss, with the group's mean in place of a value model.

    python -m rlhf.alternatives.grpo
    python -m rlhf.alternatives.grpo --kl k3 --advantages scaled

The advantage of an answer is how much better it is than the other answers to its prompt (Shao et al. 2024,
DeepSeekMath, arXiv 2402.03300, section 4.1). Every token of the answer gets the same advantage; in PPO the value model
tells tokens apart. Each optimiser step learns from a rollout of its own, so the ratio is 1 and nothing is clipped.

The place of the KL decides what the policy converges to. In the reward (k1) it is π_ref·exp(r/β)/Z, as for PPO and
DPO. As k2 in the loss it is that only for answers of one token: the gradient does not see the KL that a token causes in
later ones. As k3 in the loss, the paper's choice, the gradient is that of the KL in the other direction, and the policy
another one even then. tests/rlhf/stage3_ppo/test_optimum.py works out all three.

Writes runs/<preset>/grpo/: config.json, metrics.jsonl, samples.md, checkpoint.pt, curves.svg. Stopped by Ctrl-C, the
same command resumes where it stopped.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from minigpt.generate import check_prompts
from minigpt.model import GPT
from minigpt.runs.config import RunConfig, option, parse, to_dict
from minigpt.runs.errors import run_main
from minigpt.runs.log.usage import measure_usage
from minigpt.runs.made_from import made_from
from minigpt.runs.seeds import seeded_generator
from minigpt.scale.distributed import process_group
from minigpt.scale.precision import dtype_of
from minigpt.tokenizer import Tokenizer
from minigpt.training import TrainingConfig, train
from rlhf.alternatives.grpo_losses import ADVANTAGES, KL_IN_LOSS, grpo_loss
from rlhf.chat_format import Turn, encode_prompt
from rlhf.people.prompts import prompt_set
from rlhf.stage2_reward.network import RewardModel, load_reward_model
from rlhf.stage3_ppo.guards import check_ratio_is_one, ended_share_collapses
from rlhf.stage3_ppo.losses import kl_k1, masked_sum, replace_unended
from rlhf.stage3_ppo.rollout import (
    Batch,
    RewardFunction,
    prompt_rows,
    prompt_text,
    reference_logprobs,
    response_logprobs,
    rows_in_parts,
    sample_responses,
    score_responses,
)
from rlhf.stage_io import TEMPERATURE, checkpoint_payload, load_policy, load_tokenizer, sample_page, weights_digest

STAGE = "grpo"


@dataclass(frozen=True)
class GRPOConfig(RunConfig):
    """Settings of GRPO. A step is a rollout of `batch_size` prompts with `group_size` answers each, and one update."""

    prompts: int = option(2000, help="prompts of set C; after all were used once they are shuffled anew", low=1)
    group_size: int = option(8, help="answers to one prompt, which are each other's baseline", low=2)
    max_new_tokens: int = option(48, help="an answer is cut after this many tokens", low=1)
    temperature: float = option(
        TEMPERATURE, help="logits are divided by it, in sampling and in every log-probability", above=0
    )
    beta: float = option(0.1, help="weight of the KL penalty", low=0)
    kl: str = option(
        "reward", help="the place of the KL: in the reward, or in the loss as k2 or k3", choices=("reward", *KL_IN_LOSS)
    )
    advantages: str = option(
        "group",
        help="score minus the group's mean; scaled by its deviation (DeepSeekMath); minus the others' (RLOO)",
        choices=tuple(ADVANTAGES),
    )
    missing_end_score: float | None = option(-1.0, help="score of an answer without end token; none leaves it as it is")
    training: TrainingConfig = field(
        default=TrainingConfig(
            steps=180,
            batch_size=8,
            micro_batch_size=16,
            optimizer="adamw",
            learning_rate=2e-4,
            weight_decay=0.0,
            eps=1e-5,
            warmup_steps=4,
            schedule="linear",
            evaluate_every=0,
            checkpoint_every=20,
        )
    )


@dataclass(frozen=True)
class Part:
    """Some rows of a rollout, with ref_logprobs; their advantages [B]; `means`, the figures of the whole rollout."""

    batch: Batch
    advantages: Tensor
    means: dict[str, float]


class GroupObjective:
    """Rollouts as training data, see `minigpt.training.Objective`. A unit is a response token.

    The data of a step depends on the policy as well as on the step's number; a resumed run has both.
    """

    def __init__(
        self,
        policy: GPT,
        prompts: Sequence[tuple[Turn, ...]],
        tokenizer: Tokenizer,
        config: GRPOConfig,
        reward_fn: RewardModel | RewardFunction,
    ) -> None:
        self.policy, self.tokenizer, self.config, self.reward_fn = policy, tokenizer, config, reward_fn
        self.reference = copy.deepcopy(policy).requires_grad_(False).eval()
        self.texts = [prompt_text(turns) for turns in prompts]
        self.prompts, self.prompt_ids = prompts, [encode_prompt(tokenizer, turns) for turns in prompts]
        check_prompts(self.prompt_ids, policy.config.context)  # before any file of an earlier run is touched

    def micro_batches(self, step: int) -> list[Part]:
        config = self.config
        asked = prompt_rows(len(self.prompt_ids), config.training.batch_size, config.seed, step)
        batch = sample_responses(
            self.policy,
            self.prompt_ids,
            [row for row in asked for _ in range(config.group_size)],
            self.tokenizer,
            max_new_tokens=config.max_new_tokens,
            temperature=config.temperature,
            generator=seeded_generator(config.seed, "grpo answers", step),
        )
        size = config.training.micro_batch_size or len(batch.lengths)
        scores = score_responses(self.reward_fn, batch, self.texts, self.tokenizer, size)  # [B]
        if config.missing_end_score is not None:
            scores = replace_unended(scores, batch.ended, config.missing_end_score)
        ref_logprobs = reference_logprobs(self.reference, batch, config.temperature, size)  # [B,T]
        batch = replace(batch, ref_logprobs=ref_logprobs)
        kl = torch.where(batch.mask, kl_k1(batch.logprobs, ref_logprobs), 0.0).sum(dim=1)  # [B]
        rewards = scores - config.beta * kl if config.kl == "reward" else scores  # [B]
        advantages = ADVANTAGES[config.advantages](rewards, config.group_size)  # [B]
        deviations = scores.view(-1, config.group_size).std(dim=1)  # [B/G]
        means = {
            "reward": float(scores.mean()),
            "reward_std": float(deviations.mean()),
            "frac_reward_zero_std": float((deviations == 0).float().mean()),
            "kl_nats_per_sequence": float(kl.mean()),
            "ended_share": float(batch.ended.float().mean()),
            "response_length": float(batch.lengths.float().mean()),
        }
        return [Part(batch.select(rows), advantages[rows], means) for rows in rows_in_parts(batch, size)]

    def weight(self, micro: Part) -> int:
        return int(micro.batch.lengths.sum())

    def tokens(self, micro: Part) -> int:
        return int(micro.batch.total_lengths.sum())

    def loss_sum(self, model: nn.Module, micro: Part) -> tuple[Tensor, dict[str, Tensor | float]]:
        batch, config = micro.batch, self.config
        model.eval()  # no dropout: the answers were sampled without, and the ratio must be 1
        logprobs, entropy = response_logprobs(model, batch, config.temperature)  # [b,t] each
        check_ratio_is_one(logprobs, batch, dtype_of(model))  # always: every step is the first after its rollout
        # any clip: the ratio is 1
        loss, _ = grpo_loss(
            logprobs,
            batch.logprobs,
            batch.ref_logprobs,
            micro.advantages,
            batch.mask,
            clip=0.2,
            beta=config.beta,
            kl=config.kl,
            denominator=1,
        )
        weight = self.weight(micro)
        metrics = {name: mean * weight for name, mean in micro.means.items()}  # divided by the weights' sum later
        return loss, {"entropy": masked_sum(entropy, batch.mask), **metrics}

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        return {}

    def samples(self, model: nn.Module) -> str:
        assert isinstance(model, GPT)
        return sample_page(model, self.tokenizer, self.prompts, self.config.seed)


# ---- The command -------------------------------------------------------------------------------------------------

PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {"prompts": 256, "steps": 12, "batch_size": 4, "checkpoint_every": 6},
    "small": {},
    "medium": {"learning_rate": 5e-5, "batch_size": 16, "micro_batch_size": 64},
}


def main(argv: list[str]) -> None:
    """Trains the GRPO policy of a run."""
    config = parse(GRPOConfig, argv, description=__doc__, presets=PRESETS)
    with process_group(), measure_usage(config.stage_dir(STAGE)):
        run(config)


def run(config: GRPOConfig) -> None:
    """The SFT policy and the reward model of the same run to the GRPO policy, on prompts C."""
    stage_dir = config.stage_dir(STAGE)
    tokenizer = load_tokenizer(config.run_dir)
    policy = config.place(load_policy(config.stage_dir("sft"), tokenizer))
    reward_model = config.place(load_reward_model(config.stage_dir("reward_model"), tokenizer)).requires_grad_(False)
    prompts = [prompt.turns for prompt in prompt_set("C", config.prompts, config.seed)]
    objective = GroupObjective(policy, prompts, tokenizer, config, reward_model)
    inputs = [config.stage_dir(stage) / "checkpoint.pt" for stage in ("sft", "reward_model")]
    row = train(
        policy,
        objective,
        config.training,
        stage_dir=stage_dir,
        seed=config.seed,
        describe={
            "config": to_dict(config),
            "tokenizer": tokenizer.fingerprint,
            "policy": weights_digest(policy),
            "reward_model": weights_digest(reward_model),
        },
        made_from=made_from(config, PRESETS, "rlhf.alternatives.grpo", inputs),
        checkpoint_payload=checkpoint_payload("gpt", policy, tokenizer),
        on_log=lambda rows: ended_share_collapses([row["ended_share"] for row in rows if "ended_share" in row]),
    )
    print(
        f"reward {row['reward']:.2f}, KL {row['kl_nats_per_sequence']:.2f} nats/sequence, "
        f"{row['ended_share']:.0%} of the answers ended; the policy is in {stage_dir / 'checkpoint.pt'}"
    )


if __name__ == "__main__":
    run_main(main)
