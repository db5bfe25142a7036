"""Best-of-K answers to some prompts with their scores and gold totals, and how both grow with K.

    python -m rlhf.evaluation.best_of_k --k 8

`rlhf/alternatives/best_of_k.py` is the method; here its answers are graded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from minigpt.runs.config import PRESET_NAMES, RunConfig, option, parse
from minigpt.runs.errors import run_main
from minigpt.runs.seeds import seeded_generator
from rlhf.alternatives.best_of_k import Candidates, expected_best, kl_bound, sample_candidates
from rlhf.chat_format import show
from rlhf.evaluation.answers import gold_total
from rlhf.people.prompts import Prompt, prompt_set
from rlhf.stage2_reward.network import load_reward_model
from rlhf.stage_io import TEMPERATURE, load_policy, load_tokenizer


def gold_totals(prompts: Sequence[Prompt], candidates: Sequence[Candidates]) -> list[list[float]]:
    """The gold totals of the answers to each prompt."""
    return [
        [gold_total(prompt, *answer) for answer in zip(sampled.texts, sampled.ended, strict=True)]
        for prompt, sampled in zip(prompts, candidates, strict=True)
    ]


@dataclass(frozen=True)
class BestOfKConfig(RunConfig):
    """Settings of best-of-K."""

    k: int = option(8, "answers sampled for each prompt", low=1)
    count: int = option(5, "prompts of set D to answer", low=1)
    max_new_tokens: int = option(48, "an answer is cut after this many tokens", low=1)
    temperature: float = option(TEMPERATURE, "sampling temperature of the answers", above=0)


def curve(candidates: Sequence[Candidates], totals: Sequence[Sequence[float]]) -> list[tuple[int, float, float]]:
    """(n, mean score, mean gold total) of the best of n answers, for n = 1, 2, 4, ... and K: all from the same K.

    totals: the gold totals of the candidates' answers. Where the score rises and the gold total no longer does, the
    reward model is over-optimised (Gao et al. 2022).
    """
    k, rows = len(totals[0]), []
    for n in [*(2**power for power in range(k.bit_length()) if 2**power < k), k]:
        score = fmean(expected_best(sampled.scores, sampled.scores, n) for sampled in candidates)
        pairs = zip(candidates, totals, strict=True)
        rows.append((n, score, fmean(expected_best(sampled.scores, gold, n) for sampled, gold in pairs)))
    return rows


def main(argv: list[str]) -> None:
    """Prints K answers to some prompts of set D, best first, with scores and gold totals, and how both grow with K."""
    config = parse(BestOfKConfig, argv, description=__doc__, presets={name: {} for name in PRESET_NAMES})
    tokenizer = load_tokenizer(config.run_dir)
    policy = config.place(load_policy(config.stage_dir("sft"), tokenizer))
    reward_model = config.place(load_reward_model(config.stage_dir("reward_model"), tokenizer))
    prompts = prompt_set("D", config.count, config.seed)
    generator = seeded_generator(config.seed, "best of k", config.k)
    candidates = sample_candidates(
        policy,
        reward_model,
        tokenizer,
        prompts,
        k=config.k,
        max_new_tokens=config.max_new_tokens,
        temperature=config.temperature,
        generator=generator,
    )
    totals = gold_totals(prompts, candidates)
    for prompt, sampled, gold in zip(prompts, candidates, totals, strict=True):
        print(show(prompt.turns))
        for index in sorted(range(config.k), key=lambda index: -sampled.scores[index]):
            print(f"  score {sampled.scores[index]:+.2f}  gold {gold[index]:.2f}  {sampled.texts[index]}")
        print()
    for n, score, gold in curve(candidates, totals):
        print(f"best of {n}: score {score:+.2f}, gold {gold:.2f}, KL from the policy at most {kl_bound(n):.2f} nats")


if __name__ == "__main__":
    run_main(main)
