"""Rejection sampling: the policy learns from the best of K of its own answers, as if they were demonstrations.

    prompts ─► K answers each ─► the one that the reward model likes best ─► the objective of stage 1 ─► policy ─┐
       ▲                                                                                                         │
       └───────────────────────────────────── the next round, with other prompts ◄──────────────────────────────┘

The alternative to stage 3 that has no new loss: no value model, no ratio, no KL penalty. Rejection sampling in Llama 2
(Touvron et al. 2023, arXiv 2307.09288, section 3.2.3), RAFT in Dong et al. 2023 (arXiv 2304.06767). How far it gets is
measured in tutorials/experiments/ppo_or_best_of_k.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from minigpt.model import GPT
from minigpt.runs.seeds import seeded_generator
from minigpt.tokenizer import Tokenizer
from rlhf.alternatives.best_of_k import Candidates, sample_candidates
from rlhf.chat_format import encode_prompt
from rlhf.people.prompts import Prompt
from rlhf.stage1_sft.examples import Example
from rlhf.stage1_sft.stage import SFTConfig, imitate
from rlhf.stage2_reward.network import RewardModel


def best_example(tokenizer: Tokenizer, prompt: Prompt, candidates: Candidates) -> Example:
    """The best answer as something to imitate: the very ids that were sampled, so one that was cut off teaches no end.

    Never its text, encoded again. The SFT policy now and then writes a chat token in the middle of an answer; its text
    would teach the characters "<|user|>", which it never writes. In a trial with random answers that put the policy 14
    nats a sequence from SFT instead of 0.3, while the gold total hardly changed.
    """
    return Example(tuple(encode_prompt(tokenizer, prompt.turns)), candidates.ids[candidates.best])


def rejection_sampling(
    policy: GPT,
    reward_model: RewardModel,
    tokenizer: Tokenizer,
    prompts: Sequence[Prompt],
    config: SFTConfig,
    *,
    k: int,
    rounds: int,
    max_new_tokens: int,
    temperature: float,
    folder: Path,
) -> Iterator[int]:
    """Train `policy` in place; after each round, yields how many answers it has learned from. Writes `folder`/round_N.

    The prompts are divided among the rounds; a round samples from the policy as the round before has left it, and takes
    config.epochs passes over what it keeps. With k = 1 nothing is chosen: the control, in which the policy imitates as
    many random answers of its own as it would imitate chosen ones.
    """
    kept = 0
    for number in range(rounds):
        asked = prompts[number::rounds]
        candidates = sample_candidates(
            policy,
            reward_model,
            tokenizer,
            asked,
            k=k,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            generator=seeded_generator(config.seed, "rejection sampling", number),
        )
        examples = [best_example(tokenizer, *pair) for pair in zip(asked, candidates, strict=True)]
        imitate(policy, examples, tokenizer, config, stage_dir=folder / f"round_{number + 1}")
        policy.eval()
        kept += len(examples)
        yield kept
