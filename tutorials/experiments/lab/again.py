"""Stages 2 and 3 once more: label the answers of any policy, learn from any labels, and go on with PPO from any policy.

The stages themselves begin with the SFT policy of their run. What is here does the same from where you want.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Sequence
from typing import Any

from minigpt.model import GPT
from rlhf.people.prompts import Prompt, prompt_set
from rlhf.records import Ranking, write_rankings
from rlhf.stage2_reward.comparisons import rank_answers, sample_answers, with_distractors
from rlhf.stage2_reward.stage import RewardModelConfig
from rlhf.stage3_ppo.training import train_ppo
from rlhf.stage_io import load_policy
from tutorials.experiments.lab.measures import MAX_NEW_TOKENS
from tutorials.experiments.lab.models import TEMPERATURE, Lab, Trained


def annotate(
    policy: GPT, sft: Trained, prompts: Sequence[Prompt], seed: int, noise: float | None
) -> tuple[list[Ranking], float]:
    """A policy's answers as stage 2 collects and ranks them, and the annotators' noise; None calibrates it."""
    usual = RewardModelConfig()
    collected = list(
        sample_answers(
            policy,
            sft.tokenizer,
            prompts,
            answers=usual.answers,
            max_new_tokens=MAX_NEW_TOKENS,
            temperature=TEMPERATURE,
            seed=seed,
        )
    )
    random.Random(f"comparisons {seed}").shuffle(collected)
    rankings, summary = rank_answers(
        with_distractors(collected, seed, usual.validation_fraction), usual.annotators, seed, noise
    )
    return rankings, float(summary["annotator_noise"])


def learn_from(lab: Lab, sft: Trained, rankings: Sequence[Ranking], **settings: Any) -> Trained:
    """A reward model on the SFT policy's trunk from these rankings; the lab keeps it by what is in them. They are
    shuffled, so that those it holds out are like the others."""
    path, shuffled = lab.folder / "rankings.jsonl", list(rankings)
    random.Random(f"rankings {sft.seed}").shuffle(shuffled)
    write_rankings(path, shuffled)
    return lab.reward_model(sft, rankings=str(path), **settings)


def ppo_from(lab: Lab, policy: GPT, reward_model: Trained, name: str, seed: int, **settings: Any) -> GPT:
    """PPO on prompts C from `policy` on, which is also the reference; without PPO-ptx.

    It lies in lab.folder / name: one that an interrupted cell has finished is read again. `seed` decides its random
    numbers, the order of the prompts among them; the prompts are those of the reward model's seed.
    """
    stage_dir = lab.folder / name
    if not (stage_dir / "checkpoint.pt").is_file():
        config = lab.config("ppo", seed, lab.folder, {"ptx_coefficient": 0.0, **settings})
        turns = [prompt.turns for prompt in prompt_set("C", config.prompts, reward_model.seed)]
        train_ppo(
            copy.deepcopy(policy),
            turns,
            reward_model.tokenizer,
            config,
            stage_dir=stage_dir,
            reward_fn=reward_model.model.requires_grad_(False),
        )
    return load_policy(stage_dir, reward_model.tokenizer)
