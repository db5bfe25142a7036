"""Best-of-n for every n and for several reward models from ONE pool of samples: all that differs is what they pick."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np

from minigpt.runs.seeds import seeded_generator
from rlhf.alternatives.best_of_k import MICRO_BATCH_SIZE, ROWS_AT_ONCE, expected_best, kl_of_best
from rlhf.chat_format import encode_prompt
from rlhf.evaluation.answers import gold_total
from rlhf.people.prompts import Prompt
from rlhf.stage2_reward.network import RewardModel
from rlhf.stage3_ppo.rollout import sample_responses, score_with_model
from tutorials.experiments.lab.measures import MAX_NEW_TOKENS
from tutorials.experiments.lab.models import TEMPERATURE, Trained


@dataclass(frozen=True)
class Pool:
    """N answers of one policy to each of P prompts: texts [P][N], gold totals [P,N], scores of R reward models [R,P,N].

    An answer that was cut before its end is another answer than the same text that ended.
    """

    texts: list[list[str]]
    gold: np.ndarray
    scores: np.ndarray


def sample_pool(
    policy: Trained, reward_models: Sequence[RewardModel], prompts: Sequence[Prompt], size: int, seed: int
) -> Pool:
    """`size` answers to each prompt at temperature 1, graded, and scored by each reward model."""
    tokenizer, generator = policy.tokenizer, seeded_generator(seed, "pool of answers")
    encoded = [encode_prompt(tokenizer, prompt.turns) for prompt in prompts]
    asked = [row for row in range(len(prompts)) for _ in range(size)]
    texts: list[str] = []
    gold: list[float] = []
    scores: list[list[float]] = [[] for _ in reward_models]
    for start in range(0, len(asked), ROWS_AT_ONCE):
        rows = asked[start : start + ROWS_AT_ONCE]
        batch = sample_responses(
            policy.model,
            encoded,
            rows,
            tokenizer,
            max_new_tokens=MAX_NEW_TOKENS,
            temperature=TEMPERATURE,
            generator=generator,
        )
        for row, text, ended in zip(rows, batch.texts(tokenizer), batch.ended.tolist(), strict=True):
            texts.append(text if ended else f"{text}…")
            gold.append(gold_total(prompts[row], text, ended))
        for given, model in zip(scores, reward_models, strict=True):
            given += score_with_model(model, batch, MICRO_BATCH_SIZE).tolist()
    P, R = len(prompts), len(reward_models)
    by_prompt = [texts[row * size : (row + 1) * size] for row in range(P)]
    return Pool(by_prompt, np.reshape(gold, (P, size)), np.reshape(scores, (R, P, size)))


def best_of_n(pool: Pool) -> dict[str, Any]:
    """For n = 1, 2, 4 … N, and each reward model: what the best of n scores, "scores" [R][n], what it is worth, "gold"
    [R][P][n], and how far it lies from the policy, "kl" [R][n] nats a sequence; scores and kl are means over prompts.
    "sd" [R] is the standard deviation of a reward model's scores: each has a scale of its own."""
    ns = [2**power for power in range(pool.gold.shape[1].bit_length())]
    spreads = [float(own.std()) for own in pool.scores]
    found: dict[str, Any] = {"n": ns, "sd": spreads, "scores": [], "gold": [], "kl": []}
    for own in pool.scores.tolist():  # [P][N]
        found["gold"].append(
            [[expected_best(scores, gold, n) for n in ns] for scores, gold in zip(own, pool.gold.tolist(), strict=True)]
        )
        found["scores"].append([fmean(expected_best(scores, scores, n) for scores in own) for n in ns])
        found["kl"].append([fmean(kl_of_best(*pair, n) for pair in zip(pool.texts, own, strict=True)) for n in ns])
    return found
