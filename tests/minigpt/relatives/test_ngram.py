"""Kneser-Ney counts against the definition in exact fractions, a hand computation, and what a distribution must be."""

import math
from fractions import Fraction

import pytest
import torch
from torch.testing import assert_close

from minigpt.data import validation_batches
from minigpt.objective import evaluate_language_model
from minigpt.relatives.ngram import NGramModel, discount

V = 5


def stream(length=200, seed=0):
    return torch.randint(V, (length,), generator=torch.Generator().manual_seed(seed))


def slow_count(ids, n, sequence):
    """c(sequence) in an n-gram model of the text: occurrences if it has n tokens, else different tokens before it.

    The n-grams are the windows of n tokens, so a shorter sequence counts where a whole window ends with it.
    """
    k = len(sequence)
    windows = [tuple(ids[i : i + n]) for i in range(len(ids) - n + 1)]
    ends = [window for window in windows if window[n - k :] == sequence]
    return len(ends) if k == n else len({window[n - k - 1] for window in ends})


def slow_probability(ids, n, word, history):
    """p(word | history) by the definition: every count is made anew from the text, in fractions."""
    order = len(history) + 1
    sequences = {(*history, w): slow_count(ids, n, (*history, w)) for w in range(V)}
    total = sum(sequences.values())
    lower = slow_probability(ids, n, word, history[1:]) if history else Fraction(1, V)
    if total == 0:
        return lower
    every = {tuple(ids[i : i + order]) for i in range(len(ids) - order + 1)}
    counts = [c for c in (slow_count(ids, n, sequence) for sequence in every) if c > 0]
    once, twice = counts.count(1), counts.count(2)
    D = Fraction(once, once + 2 * twice) if once else Fraction(1, 2)
    different = sum(c > 0 for c in sequences.values())
    return max(sequences[(*history, word)] - D, 0) / total + D * different / total * lower


@pytest.mark.parametrize("order", [1, 2, 3])
def test_every_probability_is_the_definition(order):
    ids = stream(40).tolist()
    model = NGramModel(order, V).fit(torch.tensor(ids))
    histories = {tuple(ids[i : i + order - 1]) for i in range(20)}
    for history in histories:
        for word in range(V):
            expected = slow_probability(ids, order, word, history)
            assert model.distribution(history)[word] == pytest.approx(float(expected), abs=1e-12), (
                f"p({word} | {history}): continuation counts at the lower orders, or the discount of another order?"
            )


def test_a_bigram_by_hand():
    """a b a b a c: after a came b twice and c once; no bigram but (a, c) occurred once, (b, a) and (a, b) twice."""
    model = NGramModel(2, 3).fit(torch.tensor([0, 1, 0, 1, 0, 2]))
    D2 = 1 / (1 + 2 * 2)  # n₁ = 1, n₂ = 2
    # continuation counts: a follows one token, b one, c one; all three occurred once, so D₁ = 1
    unigram = 1 / 3
    assert model.distribution((0,))[1] == pytest.approx((2 - D2) / 3 + D2 * 2 / 3 * unigram)
    assert model.distribution((0,))[2] == pytest.approx((1 - D2) / 3 + D2 * 2 / 3 * unigram)
    assert model.distribution((0,))[0] == pytest.approx(D2 * 2 / 3 * unigram), "unseen, so only the lower order gives"


def test_every_distribution_sums_to_one_and_leaves_nothing_impossible():
    model = NGramModel(3, V).fit(stream())
    for history in [(), (1,), (1, 2), (4, 4), (0, 1, 2, 3)]:
        assert model.distribution(history).sum() == pytest.approx(1.0, abs=1e-12)
        assert (model.distribution(history) > 0).all(), "a probability of 0 makes the loss of a new text infinite"


def test_only_the_last_tokens_matter_and_the_future_does_not():
    model = NGramModel(3, V).fit(stream())
    first, second = torch.tensor([[0, 1, 2, 3]]), torch.tensor([[4, 1, 2, 0]])
    assert_close(model(first)[:, 2], model(second)[:, 2], rtol=0, atol=0)


def test_francisco_is_an_unlikely_guess_after_an_unknown_token():
    """Kneser and Ney's point: 1 occurs as often as 2, but always after 0; 2 occurs after many tokens."""
    text = [0, 1] * 6 + [3, 2, 4, 2, 0, 2, 2] * 2
    model = NGramModel(2, V).fit(torch.tensor(text))
    unigram = model.distribution(())
    assert text.count(1) >= 6
    assert unigram[2] > 2 * unigram[1], "lower orders must count different tokens before, not occurrences"


def test_bits_per_byte_comes_from_the_same_function_as_gpts():
    tokens = stream(300, seed=1)
    model = NGramModel(2, V).fit(stream(300))
    batches = validation_batches(tokens, context=16, batch_size=4)
    measured = evaluate_language_model(model, batches, byte_count=len(tokens))
    nats = 0.0
    for inputs, targets in batches:
        for row, due in zip(inputs.tolist(), targets.tolist(), strict=True):
            for t, target in enumerate(due):
                if target >= 0:
                    nats -= math.log(model.distribution(tuple(row[: t + 1]))[target])
    assert measured["loss"] == pytest.approx(nats / (len(tokens) - 1), rel=1e-5)
    assert measured["bits_per_byte"] == pytest.approx(nats / math.log(2) / len(tokens), rel=1e-5)


def test_the_discount_of_a_text_without_single_occurrences():
    assert discount([2, 2, 3]) == 0.5
    assert discount([1, 1, 2]) == 2 / 4


def test_an_order_below_one_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        NGramModel(0, V)
