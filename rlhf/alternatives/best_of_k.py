"""Best-of-K: sample K answers from the SFT policy and return the one with the highest score of the reward model.

`python -m rlhf.evaluation.best_of_k` shows such answers with their grades.

The alternative to stage 3: no training, K times the work for every answer. It is also a yardstick, as the distance it
can move from the policy is known: KL(best of K || policy) <= log K - (K-1)/K nats a sequence (Stiennon et al. 2020,
arXiv 2009.01325, appendix G.3; that it is a bound: Beirami et al. 2024, arXiv 2401.01879).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from minigpt.model import GPT
from minigpt.runs.errors import refuse_old_command
from minigpt.tokenizer import Tokenizer
from rlhf.chat_format import encode_prompt
from rlhf.people.prompts import Prompt
from rlhf.stage2_reward.network import RewardModel
from rlhf.stage3_ppo.rollout import sample_responses, score_with_model

# answers sampled side by side: many, because a decoding step costs almost the same for few
ROWS_AT_ONCE = 512
MICRO_BATCH_SIZE = 64


@dataclass(frozen=True)
class Candidates:
    """K answers to one prompt with their scores, in the order they were sampled; `ids` are what was sampled, with the
    end token of those that ended. A text does not always lead back to them: a chat token that the policy wrote in the
    middle of its answer is one id, and its text, encoded again, several ordinary ones."""

    texts: tuple[str, ...]
    ended: tuple[bool, ...]
    scores: tuple[float, ...]
    ids: tuple[tuple[int, ...], ...]

    @property
    def best(self) -> int:
        """The index of the highest score; the first of equals."""
        return self.scores.index(max(self.scores))


def kl_bound(k: int) -> float:
    """log K - (K-1)/K, the most nats a sequence that best-of-K can lie from the policy it samples from."""
    return math.log(k) - (k - 1) / k


def kl_of_best(answers: Sequence[str], scores: Sequence[float], n: int) -> float:
    """KL(best of n || one) in nats a sequence, where one is drawn from these N answers; equal answers are one.

    `kl_bound` is an upper bound of it, which no policy with likely answers reaches: for one that gives the right answer
    half of the time it is at most log 2. Best of n is answer i if all n score no higher and not all lower: in
    u_i^n - l_i^n of the cases, where u_i and l_i are the shares of answers up to i and below it. Too low where n comes
    near N, because in N answers none has less than 1/N: by 3 % for n = 16 of 64, by 8 % for n = 64, in a simulation
    with six likely answers.
    """
    N, counts, score = len(answers), Counter(answers), dict(zip(answers, scores, strict=True))
    below, kl = 0, 0.0
    for answer in sorted(counts, key=score.__getitem__):
        upto = below + counts[answer]
        chosen = (upto / N) ** n - (below / N) ** n
        if chosen > 0:  # of many answers the worst is so seldom the best of n that its share is no number any more
            kl += chosen * math.log(chosen * N / counts[answer])
        below = upto
    return kl


def expected_best(scores: Sequence[float], values: Sequence[float], n: int) -> float:
    """The mean value of the best-scored of n answers, estimated from N >= n answers to the same prompt.

    Of the C(N, n) ways to take n of the N answers, C(i - 1, n - 1) have the answer with the i-th lowest score as their
    best. The mean over all of them is unbiased (Nakano et al. 2021, arXiv 2112.09332, appendix I; used by Gao et al.
    2022, arXiv 2210.10760). Drawing n of the N again, with replacement, repeats answers and finds too low a best.
    Raises ValueError unless 1 <= n <= N.
    """
    N = len(scores)
    if not 1 <= n <= N:
        raise ValueError(f"the best of {n} answers cannot be estimated from {N}")
    order = sorted(range(N), key=lambda index: scores[index])
    chosen = [math.comb(worse, n - 1) for worse in range(N)]  # `worse`: how many answers have a lower score
    ways = math.comb(N, n)
    # divided as whole numbers: of 2000 answers there are more ways to take 1000 than a float can say
    return sum(times / ways * values[index] for times, index in zip(chosen, order, strict=True))


def sample_candidates(
    policy: GPT,
    reward_model: RewardModel,
    tokenizer: Tokenizer,
    prompts: Sequence[Prompt],
    *,
    k: int,
    max_new_tokens: int,
    temperature: float,
    generator: torch.Generator,
) -> list[Candidates]:
    """K answers to each prompt, scored on the very ids that were sampled."""
    encoded = [encode_prompt(tokenizer, prompt.turns) for prompt in prompts]
    found = []
    at_once = max(1, ROWS_AT_ONCE // k)
    for start in range(0, len(prompts), at_once):
        rows = [row for row in range(start, min(start + at_once, len(prompts))) for _ in range(k)]
        batch = sample_responses(
            policy,
            encoded,
            rows,
            tokenizer,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            generator=generator,
        )
        scores = score_with_model(reward_model, batch, MICRO_BATCH_SIZE).tolist()
        texts, ended = batch.texts(tokenizer), batch.ended.tolist()
        ids = [tuple(response) for response in batch.responses()]
        for first in range(0, len(rows), k):
            part = slice(first, first + k)
            found.append(Candidates(*(tuple(values[part]) for values in (texts, ended, scores, ids))))
    return found


if __name__ == "__main__":
    refuse_old_command("rlhf.alternatives.best_of_k", "rlhf.evaluation.best_of_k")
