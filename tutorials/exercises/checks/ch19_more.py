"""Checks of chapter 19: two equal policies (19.3), an interval that is too sure (19.4)."""

from __future__ import annotations

import torch
from torch import Tensor

from tutorials.exercises.checks.answers import expect_choice, expect_measured, expect_sentence
from tutorials.exercises.judging import CheckError, Draw, expect_close, expect_small_fix
from tutorials.exercises.measure import EQUAL_POLICIES, SIXTY_PERCENT
from tutorials.exercises.specs.ch19 import one_looks_better
from tutorials.exercises.subject import Subject

# ---- 19.3 ----------------------------------------------------------------------------------------------------------


def predictions_for_equal_policies(subject: Subject, draw: Draw) -> None:
    """answers.toml has a prediction for both numbers of prompts."""
    for n in (20, 100):
        expect_choice(subject, f"prediction_{n}", ("one in 100", "one in 20", "one in 5", "one in 2"))


def one_and_two_prompts(subject: Subject, draw: Draw) -> None:
    """One prompt: somebody always wins it. Two: in half of the cases one wins both."""
    for n, right in ((1, 1.0), (2, 0.5)):
        expect_close(
            subject(n, n), right, f"{n} of {n}: the probability that one of the two wins {'it' if n == 1 else 'both'}",
            likely="count the outcomes that are at least as lopsided, and divide by all 2ⁿ; a plain number comes back",
            mistakes={"either of the two may be the lucky one: twice as much": right / 2},
        )  # fmt: skip


def three_prompts_by_hand(subject: Subject, draw: Draw) -> None:
    """Three prompts, eight outcomes: 2 or more are won by somebody in all of them, 3 in two."""
    for least, right in ((2, 1.0), (3, 0.25)):
        expect_close(
            subject(3, least), right, f"eight outcomes of three prompts; in how many has somebody {least} or more?",
            likely="`least` wins count as well, and all that are more",
            mistakes={
                "only EXACTLY as many are counted": 0.75 if least == 2 else right,
                "only MORE than `least` are counted": 0.25 if least == 2 else 0.0,
                "either of the two may be the lucky one: twice as much": right / 2,
            },
        )  # fmt: skip


def as_the_specification(subject: Subject, draw: Draw) -> None:
    """A few prompts, and several hundred: the sums in specs/ch19.py."""
    for low, high in ((4, 12), (50, 90), (900, 1200)):
        n = draw.size(low, high)
        least = draw.size(n // 2 + 1, min(n, n // 2 + 1 + round(n**0.5)))
        expect_close(
            subject(n, least), one_looks_better(n, least), f"n = {n}, least = {least}: as in specs/ch19.py",
            likely="whole numbers of Python have no limit, floats have: divide at the end",
        )  # fmt: skip


def the_chances_are_in_answers(subject: Subject, draw: Draw) -> None:
    """The numbers in answers.toml are those of your function."""
    for n in EQUAL_POLICIES:
        expect_measured(subject, f"chance_{n}", subject(n, round(SIXTY_PERCENT * n)))


def the_reason_for_the_chances(subject: Subject, draw: Draw) -> None:
    """answers.toml says why, in your own words; a person will read it."""
    expect_sentence(subject)


# ---- 19.4 ----------------------------------------------------------------------------------------------------------


def width(subject: Subject, won: Tensor, seed: int) -> float:
    """high − low."""
    got = subject(won, seed)
    if not isinstance(got, Tensor) or tuple(got.shape) != (2,):
        shape = f" of shape {list(got.shape)}" if isinstance(got, Tensor) else ""
        raise CheckError(
            f"the interval must be a tensor [2], low and high; got a {type(got).__name__}{shape}",
            likely=f"a resample has one rate: the mean over its prompts and their K = {won.shape[1]} comparisons",
        )
    if not got[1] > got[0]:
        raise CheckError("won and lost prompts are mixed, so the interval has a width: low, then high", got=got)
    return float(got[1] - got[0])


def copies_bring_nothing(subject: Subject, draw: Draw) -> None:
    """Each comparison is written down K times: nothing more is known, and the interval must not get narrower."""
    for K, P in ((4, 50), (16, 90)):
        once = (torch.rand(P, 1, generator=draw.generator) < 0.5).float()
        seed = draw.size(0, 999)
        plain, copied = width(subject, once, seed), width(subject, once.expand(P, K).clone(), seed)
        if not 0.75 < copied / plain < 1.33:
            raise CheckError(
                f"{P} prompts, and the one comparison of each written down {K} times: the interval must stay as wide",
                expected=round(plain, 3), got=round(copied, 3),
                likely="what would be different in another test set: the prompts, or single answers? Draw those",
            )  # fmt: skip


def ends_are_near_the_truth(subject: Subject, draw: Draw) -> None:
    """One comparison a prompt: the interval is p ± 1.96·√(p(1 − p)/P), nearly."""
    P = draw.size(2500, 3000)
    won = (torch.arange(P) < P * 2 // 3).float()[:, None]
    low, high = (float(x) for x in subject(won, draw.size(0, 999)))
    p = float(won.mean())
    half = 1.96 * (p * (1 - p) / P) ** 0.5
    for name, got, right in (("low", low, p - half), ("high", high, p + half)):
        expect_close(
            got, right, f"{P} prompts, one comparison each, {p:.2f} of them won: {name}", rtol=0.0, atol=0.008,
            likely="2.5 % of the resamples lie beyond each end",
        )  # fmt: skip
    expect_small_fix(subject)


def the_interval_is_mended_in_three_lines(subject: Subject, draw: Draw) -> None:
    """One to three lines of code differ from what was handed out."""
    expect_small_fix(subject)


CHECKS = {
    "19.3": (
        predictions_for_equal_policies, one_and_two_prompts, three_prompts_by_hand, as_the_specification,
        the_chances_are_in_answers, the_reason_for_the_chances,
    ),
    "19.4": (copies_bring_nothing, ends_are_near_the_truth, the_interval_is_mended_in_three_lines),
}  # fmt: skip
