"""What most experiments measure: answers to held-out prompts with gold totals, scores and KL, and how sure a mean is.

Two kinds of luck are told apart and never added up: which prompts were asked (bootstrap_mean, within one seed), and
which seed the models grew from (spread, between seeds).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

import numpy as np

from minigpt.model import GPT
from minigpt.runs.seeds import seeded_generator
from rlhf.evaluation.answers import Answers, policy_answers
from rlhf.evaluation.evaluate import gold_per_prompt, per_prompt
from rlhf.evaluation.win_rate import BOOTSTRAP_SAMPLES, CONFIDENCE
from rlhf.people.prompts import Prompt
from tutorials.experiments.lab.models import TEMPERATURE, Trained

MAX_NEW_TOKENS = 48  # an answer is cut there, as in every stage


@dataclass(frozen=True)
class Asked:
    """A policy's answers to some prompts: for each prompt the mean gold total and the mean score, and for all the KL
    from the reference in nats a sequence."""

    answers: Answers
    gold: list[float]
    score: list[float]
    kl: float


def ask(
    policy: GPT, sft: Trained, reward_model: Trained, prompts: Sequence[Prompt], *, samples: int, seed: int
) -> Asked:
    """Answers of a policy of chat format at temperature 1, `samples` a prompt; KL is measured from `sft`.

    Ask every policy with the same seed: with equal random numbers what differs is the policy, and less of it is luck.
    """
    answers, kl = policy_answers(
        policy,
        sft.model,
        reward_model.model,
        sft.tokenizer,
        prompts,
        samples=samples,
        max_new_tokens=MAX_NEW_TOKENS,
        temperature=TEMPERATURE,
        generator=seeded_generator(seed, "measured answers"),
    )
    return Asked(answers, gold_per_prompt(answers), per_prompt(answers, lambda answer: answer.score), kl)


def bootstrap_mean(values: Sequence[float], seed: int = 0) -> tuple[float, float, float]:
    """A mean over prompts with its 95 % interval, (mean, low, high): the prompts are drawn again with replacement.

    Give one value a prompt, never one an answer: answers to one prompt are alike, and would make the interval too
    narrow. For a difference between two policies give the differences prompt by prompt.
    """
    sample = np.asarray(values, dtype=float)  # [P]
    chosen = np.random.default_rng(seed).integers(len(sample), size=(BOOTSTRAP_SAMPLES, len(sample)))  # [S,P]
    low, high = np.quantile(sample[chosen].mean(axis=1), [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(sample.mean()), float(low), float(high)


def spread(values: Sequence[float]) -> tuple[float, float]:
    """Mean and standard deviation over seeds (of the sample, n - 1). Raises ValueError for a single seed."""
    if len(values) < 2:
        raise ValueError("one seed has no spread: give two or more")
    return fmean(values), stdev(values)


def spread_in_words(values: Sequence[float]) -> str:
    """The spread over seeds and every seed: "0.04 ± 0.02 over seeds (0.02, 0.04, 0.06)"."""
    mean, deviation = spread(values)
    return f"{mean:.2f} ± {deviation:.2f} over seeds ({', '.join(f'{value:.2f}' for value in values)})"


def in_phases(values: Sequence[float], first: int, phases: int) -> list[float]:
    """The mean of the first values, and the means of so many groups of neighbours among the others."""
    groups = [np.array(values[:first]), *np.array_split(np.array(values[first:]), phases)]
    return [float(group.mean()) for group in groups]


Interval = Sequence[float]  # mean, low, high


def above_zero(*each: Sequence[Interval]) -> bool | None:
    """Whether all of these quantities, each given by one interval a seed, are above 0: True if all intervals of all
    are, False if those of one of them are below 0 in every seed, None (undecided) otherwise."""
    if all(low > 0 for intervals in each for _, low, _ in intervals):
        return True
    return False if any(all(high < 0 for _, _, high in intervals) for intervals in each) else None


def in_words(intervals: Sequence[Interval]) -> str:
    """The mean over seeds, and how far the intervals of single seeds reach: "+0.125 [+0.061, +0.190]"."""
    means, lows, highs = zip(*intervals, strict=True)
    return f"{fmean(means):+.3f} [{min(lows):+.3f}, {max(highs):+.3f}]"
