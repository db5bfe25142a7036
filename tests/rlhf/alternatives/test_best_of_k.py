"""Best-of-K: the right answer is picked for the right prompt, and it lies no farther from the policy than it may."""

import itertools
import math
import random

import pytest
import torch

from minigpt.model import GPT, GPTConfig
from minigpt.tokenizer import Tokenizer
from rlhf.alternatives import best_of_k
from rlhf.alternatives.best_of_k import (
    Candidates,
    expected_best,
    kl_bound,
    kl_of_best,
    sample_candidates,
)
from rlhf.chat_format import encode_prompt
from rlhf.people.prompts import prompt_set
from rlhf.stage2_reward.network import RewardModel

PROMPTS = prompt_set("D", 10, seed=0)
TOKENIZER = Tokenizer.train([turn.text for prompt in PROMPTS for turn in prompt.turns], 400)
SIZE = GPTConfig(vocab_size=TOKENIZER.vocab_size, context=256, layers=1, heads=2, channels=16)


def models():
    return GPT(SIZE, seed=0).eval(), RewardModel(GPT(SIZE, seed=1), torch.Generator().manual_seed(0)).eval()


def candidates(k, prompts=PROMPTS):
    generator = torch.Generator().manual_seed(0)
    return sample_candidates(*models(), TOKENIZER, prompts, k=k, max_new_tokens=6, temperature=1.0, generator=generator)


# ---- picking ----


@pytest.mark.parametrize(("scores", "best"), [((0.1, 0.9, 0.3), 1), ((-3.0, -1.0, -1.0), 1), ((2.0, 2.0, 2.0), 0)])
def test_the_highest_score_is_picked_and_the_first_of_equals(scores, best):
    assert Candidates(("a", "b", "c"), (True,) * 3, scores, ((),) * 3).best == best


def test_every_prompt_gets_k_answers_with_the_scores_of_prompt_and_answer(monkeypatch):
    # so few rows at once that the prompts come in chunks, the last of them smaller
    monkeypatch.setattr(best_of_k, "ROWS_AT_ONCE", 9)
    monkeypatch.setattr(best_of_k, "MICRO_BATCH_SIZE", 4)
    asked, sampled = [], []
    original = best_of_k.sample_responses

    def spy(policy, encoded, rows, *rest, **named):
        batch = original(policy, encoded, rows, *rest, **named)
        asked.extend(rows)
        sampled.extend(batch.responses())
        return batch

    monkeypatch.setattr(best_of_k, "sample_responses", spy)
    found = candidates(k=3, prompts=PROMPTS[:7])
    assert asked == [row for row in range(7) for _ in range(3)]
    _, reward_model = models()
    for row, of_prompt in enumerate(found):
        assert len(of_prompt.texts) == len(of_prompt.ended) == len(of_prompt.scores) == 3
        for column, score in enumerate(of_prompt.scores):
            response = sampled[3 * row + column]
            assert list(of_prompt.ids[column]) == response
            ids = encode_prompt(TOKENIZER, PROMPTS[row].turns) + response
            with torch.no_grad():
                expected = reward_model(torch.tensor([ids]), torch.tensor([len(ids)])).item()
            message = f"answer {column} to prompt {row} has the score of another: prompts were mixed up"
            assert score == pytest.approx(expected, abs=1e-5), message


def test_k_answers_differ_and_the_seed_decides():
    first, again = candidates(k=4), candidates(k=4)
    assert first == again
    assert all(len(set(of_prompt.texts)) > 1 for of_prompt in first), "all samples of a prompt are the same answer"


# ---- KL ----


def best_of_k_distribution(policy, scores, k):
    """Enumerate every way to draw k answers, and add up where the best of them lands."""
    result = [0.0] * len(policy)
    for drawn in itertools.product(range(len(policy)), repeat=k):
        result[max(drawn, key=lambda answer: scores[answer])] += math.prod(policy[answer] for answer in drawn)
    return result


def kl(p, q):
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True) if a > 0)


@pytest.mark.parametrize("k", [1, 2, 4, 6])
@pytest.mark.parametrize("policy", [(0.5, 0.3, 0.15, 0.05), (0.25, 0.25, 0.25, 0.25), (0.97, 0.01, 0.01, 0.01)])
@pytest.mark.parametrize("scores", [(0.0, 1.0, 2.0, 3.0), (3.0, 2.0, 1.0, 0.0)])
def test_the_exact_kl_stays_below_the_bound(policy, scores, k):
    exact = kl(best_of_k_distribution(policy, scores, k), policy)
    if k == 1:
        assert exact == pytest.approx(0.0, abs=1e-12), "the best of one sample is the policy itself"
    else:
        assert exact < kl_bound(k) - 1e-3, "log K - (K-1)/K: a bound that answers which repeat never reach (Beirami)"


def test_the_bound_is_reached_where_no_answer_is_likely():
    # with n equally likely answers, P(best of k <= answer i) = (i/n)^k; as n grows the bound becomes exact
    n, k = 20_000, 8
    exact = kl([(i / n) ** k - ((i - 1) / n) ** k for i in range(1, n + 1)], [1 / n] * n)
    assert exact == pytest.approx(kl_bound(k), abs=1e-3)
    assert kl_bound(8) == pytest.approx(2.0794 - 0.875, abs=1e-4)
    assert kl_bound(1) == 0, "one sample is the policy itself"


@pytest.mark.parametrize("n", [1, 2, 5])
@pytest.mark.parametrize("scores", [(0.0, 1.0, 2.0, 3.0), (3.0, 0.0, 2.0, 1.0)])
def test_the_kl_of_a_pool_is_that_of_the_distribution_it_stands_for(n, scores):
    counts = (5, 3, 1, 1)
    pool = [(f"answer {i}", scores[i]) for i, count in enumerate(counts) for _ in range(count)]
    random.Random(0).shuffle(pool)
    policy = [count / 10 for count in counts]
    exact = kl(best_of_k_distribution(policy, scores, n), policy)
    found = kl_of_best([answer for answer, _ in pool], [score for _, score in pool], n)
    assert found == pytest.approx(exact, abs=1e-12), "equal answers must count as one, and the order must not matter"


def test_the_kl_of_a_pool_of_answers_that_all_differ_comes_near_the_bound():
    many = 4000
    answers, scores = [str(i) for i in range(many)], [math.sin(i) for i in range(many)]
    assert kl_of_best(answers, scores, 8) == pytest.approx(kl_bound(8), abs=2e-3)
    assert kl_of_best(answers, scores, 1024) < kl_bound(1024), "a share too small for a number is no error"


def test_the_best_of_k_wins_against_a_single_answer_k_times_of_k_plus_one_at_most():
    """Ties count half. K + 1 answers that are all different: each is the best of them equally often, 1/(K + 1)."""
    scores, policy = (0.0, 1.0, 2.0, 3.0), (0.4, 0.3, 0.2, 0.1)
    rates = []
    for k in (1, 2, 4, 6):
        best = best_of_k_distribution(policy, scores, k)
        pairs = itertools.product(range(4), repeat=2)
        win = sum(best[a] * policy[b] * ((scores[a] > scores[b]) + (a == b) / 2) for a, b in pairs)
        assert win <= k / (k + 1) + 1e-12, f"best of {k}"
        rates.append(win)
    assert rates[0] == pytest.approx(0.5), "the best of one against one"
    assert rates == sorted(rates)
    n, k = 5000, 6  # equally likely answers: the more of them, the seldomer a tie
    below = [(i / n) ** k - ((i - 1) / n) ** k for i in range(1, n + 1)]
    win = sum(p * (i - 0.5) / n for i, p in enumerate(below, start=1))
    assert win == pytest.approx(k / (k + 1), abs=1e-4)


# ---- the curve ----

VALUES = [5.0, -1.0, 2.0, 4.0, 0.0, 3.0]
SCORES = [0.3, 0.1, 0.9, 0.2, 0.5, 0.4]


@pytest.mark.parametrize("n", [1, 2, 3, 5, 6])
def test_the_estimate_is_the_mean_over_all_subsets(n):
    subsets = list(itertools.combinations(range(6), n))
    slow = sum(VALUES[max(subset, key=lambda i: SCORES[i])] for subset in subsets) / len(subsets)
    assert expected_best(SCORES, VALUES, n) == pytest.approx(slow, rel=1e-12)


@pytest.mark.parametrize(("n", "N"), [(1, 3), (2, 4), (3, 4), (4, 4)])
def test_the_estimate_is_unbiased(n, N):
    """Its expectation over all ways to sample N answers is the exact mean of the best of n; answers repeat, so there
    are ties. Drawing n of the N again, with replacement, would find too low a best score."""
    policy, scores, values = (0.5, 0.3, 0.2), (1.0, 2.0, 3.0), (0.0, 7.0, 4.0)
    best = best_of_k_distribution(policy, scores, n)
    exact = sum(p * value for p, value in zip(best, values, strict=True))
    exact_score = sum(p * score for p, score in zip(best, scores, strict=True))
    expected = resampled = 0.0
    for drawn in itertools.product(range(3), repeat=N):
        chance = math.prod(policy[answer] for answer in drawn)
        found = [scores[answer] for answer in drawn]
        expected += chance * expected_best(found, [values[answer] for answer in drawn], n)
        again = itertools.product(found, repeat=n)
        resampled += chance * sum(map(max, again)) / N**n
    assert expected == pytest.approx(exact, rel=1e-12), "the best of n is estimated with a bias"
    if n > 1:
        assert resampled < exact_score - 0.01, "this world cannot show the bias of drawing again"


def test_the_best_of_very_many_answers_is_estimated_too():
    """The ways to take 1000 of 2000 answers are a number of 601 digits. Of N scores in equal steps, the best of n has
    rank n·(N + 1)/(n + 1) in the mean."""
    scores = [place / 1999 for place in range(2000)]
    assert expected_best(scores, scores, 1000) == pytest.approx((1000 * 2001 / 1001 - 1) / 1999, rel=1e-12)


@pytest.mark.parametrize("n", [0, 7])
def test_more_answers_than_there_are_cannot_be_compared(n):
    with pytest.raises(ValueError, match=f"best of {n} answers cannot be estimated from 6"):
        expected_best(SCORES, VALUES, n)
