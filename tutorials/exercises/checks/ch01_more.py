"""Checks of chapter 01: perplexity (1.3), and a loss that leaves nothing out (1.4)."""

from __future__ import annotations

import math

import torch

from tutorials.exercises.checks.answers import expect_choice, expect_measured, expect_sentence
from tutorials.exercises.judging import Draw, expect_close, expect_small_fix
from tutorials.exercises.measure import ORDERS, logprobs_of_bytes
from tutorials.exercises.specs.ch01 import loss_of, perplexity
from tutorials.exercises.subject import Subject

# ---- 1.3 -----------------------------------------------------------------------------------------------------------


def predictions_for_the_orders(subject: Subject, draw: Draw) -> None:
    """answers.toml has a prediction for both texts."""
    for name in ("prediction_learned", "prediction_other"):
        expect_choice(subject, name, ("falls", "stays", "rises"))


def equally_likely_words(subject: Subject, draw: Draw) -> None:
    """Every word had probability 1/k: the perplexity is k."""
    N, k = draw.sizes(2, 3, 9)
    expect_close(
        subject(torch.full((N,), -math.log(k))),
        float(k),
        f"{N} words, each with probability 1/{k}: as perplexed as before {k} equally likely words",
        likely="e to the mean of the losses, and a loss is MINUS the log-probability",
        mistakes={
            "the minus is missing": 1 / k,
            "that is the loss, not e to it": math.log(k),
            "the losses are added up, not averaged": float(k) ** N,
            "the logarithms are natural ones: e to the loss, not 2": 2 ** math.log(k),
        },
        rtol=1e-3,
    )


def different_words(subject: Subject, draw: Draw) -> None:
    """One half and one eighth: the mean is taken of the logarithms."""
    logprobs = torch.tensor([0.5, 0.125]).log()
    expect_close(
        subject(logprobs),
        4.0,
        "probabilities ½ and ⅛: the mean loss is 2 · ln 2, so the perplexity is 4",
        given={"logprobs": logprobs},
        likely="first the mean of the losses, then e to it",
        mistakes={
            "the perplexities of the words are averaged: that is 5": 5.0,
            "the probabilities are averaged: one over their mean": 3.2,
        },
    )


def a_text_without_words(subject: Subject, draw: Draw) -> None:
    """No words: 1, as if everything had been certain."""
    expect_close(
        subject(torch.zeros(0)),
        1.0,
        "a text without words",
        likely="the mean of nothing",
        not_finite="the mean of nothing is NaN",
    )


def long_texts_do_not_overflow(subject: Subject, draw: Draw) -> None:
    """Many words: the product of their probabilities is 0 for a computer, the mean of the logarithms is not."""
    for count in (draw.size(5, 9), draw.size(3000, 4000)):
        logprobs = -draw.normal(count).abs() - 0.1
        expect_close(
            subject(logprobs),
            perplexity(logprobs),
            f"the perplexity of {count} words",
            likely="are all words counted?",
            not_finite="the probabilities are multiplied, and the product is too small for a computer",
            rtol=1e-3,
        )


def the_perplexities_are_in_answers(subject: Subject, draw: Draw) -> None:
    """The four numbers in answers.toml are those of your function for the two stories."""
    for text in ("learned", "other"):
        for order in ORDERS:
            expect_measured(subject, f"{text}_{order}", subject(logprobs_of_bytes(text, order)))


def the_reason_for_the_perplexities(subject: Subject, draw: Draw) -> None:
    """answers.toml says why, in your own words; a person will read it."""
    expect_sentence(subject)


# ---- 1.4 -----------------------------------------------------------------------------------------------------------


def a_pair_that_was_never_seen_counts(subject: Subject, draw: Draw) -> None:
    """One pair that was learned and one that was not: both are in the mean."""
    n, V = draw.size(2, 4), draw.size(4, 8)
    learned = ["a", "b"] * n + ["a"]  # ab n times, ba n times
    seen, never = -math.log((n + 1) / (n + V)), -math.log(1 / (n + V))
    expect_close(
        subject(learned, ["a", "b", "b"], V),
        (seen + never) / 2,
        f"'a b' was seen {n} times, 'b b' never: with one count added it has probability 1/({n} + {V})",
        likely="which words is the mean taken over?",
        mistakes={
            "the pair that was never seen is left out": seen,
            "it is in the number of words, but not in the sum": seen / 2,
            "its loss is counted as ln V; the model says another probability": (seen + math.log(V)) / 2,
        },
    )


def nothing_was_ever_seen(subject: Subject, draw: Draw) -> None:
    """A text of unknown words costs a guess each; a text of one word costs nothing."""
    V = draw.size(5, 9)
    expect_close(
        subject(["a", "b", "a"], ["x", "y", "x", "z"], V),
        math.log(V),
        f"no word was ever seen: every pair has probability 1/{V}",
        likely="the loss of a text of which nothing is known is that of a guess",
        mistakes={"what the model does not know costs nothing": 0.0},
    )


def another_text_costs_more(subject: Subject, draw: Draw) -> None:
    """Random texts, short and long: the loops in specs/ch01.py."""
    for letters, count in (("abcd", 12), ("abcdefghijklmnop", draw.size(200, 260))):
        learned = [draw.random.choice(letters[: len(letters) // 2 + 1]) for _ in range(count)]
        words = [letters[0], letters[-1]] + [draw.random.choice(letters) for _ in range(count)]
        expect_close(
            subject(learned, words, len(letters)),
            loss_of(learned, words, len(letters)),
            f"a text of {len(words)} words, some pairs of which were never seen",
            likely="every word after the first is in the sum and in the number of words",
        )


def the_loss_is_mended_in_three_lines(subject: Subject, draw: Draw) -> None:
    """One to three lines of code differ from what was handed out."""
    expect_small_fix(subject)


CHECKS = {
    "1.3": (
        predictions_for_the_orders, equally_likely_words, different_words, a_text_without_words,
        long_texts_do_not_overflow, the_perplexities_are_in_answers, the_reason_for_the_perplexities,
    ),
    "1.4": (
        a_pair_that_was_never_seen_counts, nothing_was_ever_seen, another_text_costs_more,
        the_loss_is_mended_in_three_lines,
    ),
}  # fmt: skip
