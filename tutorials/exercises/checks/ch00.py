"""Checks of chapter 00."""

import math

from tutorials.exercises.judging import LARGE, Draw, expect_close
from tutorials.exercises.specs.ch00 import loss_of_a_guess
from tutorials.exercises.subject import Subject


def mistakes(vocab_size: int) -> dict[str, float]:
    """The numbers that likely mistakes give."""
    return {
        "that is in bits, the logarithm to base 2; losses are in nats, the natural logarithm": math.log2(vocab_size),
        "that is the logarithm to base 10; losses are in nats, the natural logarithm": math.log10(vocab_size),
        "the sign: a loss is MINUS the logarithm of a probability": -math.log(vocab_size),
        "that is the probability itself, not minus its logarithm": 1 / vocab_size,
    }


def two_tokens_by_hand(subject: Subject, draw: Draw) -> None:
    """A guess between two tokens costs ln 2."""
    got = subject(2)
    what = "for 2 tokens each has probability 1/2, and −log(1/2) is 0.6931 nats"
    expect_close(got, loss_of_a_guess(2), what, mistakes=mistakes(2), likely="a number of another kind is returned")


def any_vocabulary(subject: Subject, draw: Draw) -> None:
    """A guess among V tokens costs −log(1/V)."""
    size = draw.size(500, 5000)
    what = f"for {size} tokens each has probability 1/{size}"
    expect_close(subject(size), loss_of_a_guess(size), what, mistakes=mistakes(size), given={"vocab_size": size})


def the_smallest_and_the_largest(subject: Subject, draw: Draw) -> None:
    """One token costs nothing; GPT-4's vocabulary costs 11.5 nats."""
    for size in (1, draw.size(50_000, 150_000)):
        what = f"for {size} tokens each has probability 1/{size}"
        expect_close(subject(size), loss_of_a_guess(size), what, mistakes=mistakes(size), likely=LARGE)


CHECKS = {"0.1": (two_tokens_by_hand, any_vocabulary, the_smallest_and_the_largest)}
