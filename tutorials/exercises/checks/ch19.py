"""Checks of chapter 19: the win rate and its interval (19.1), Wilson's interval (19.2)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tutorials.exercises.judging import (
    Draw,
    expect_close,
    expect_close_when_large,
    expect_tensor,
    expect_unchanged,
)
from tutorials.exercises.specs.ch19 import wilson, win_rate
from tutorials.exercises.subject import Subject

# ---- 19.1 ----------------------------------------------------------------------------------------------------------


def draw_grades(draw: Draw, P: int, R: int) -> tuple[Tensor, Tensor, Tensor]:
    """Two grades a prompt, many of them equal, and R resamples."""
    first, second = draw.whole(P, low=0, high=2), draw.whole(P, low=0, high=2)
    first[0], second[0] = 1.0, 0.0  # something is decided
    return first, second, torch.randint(P, (R, P), generator=draw.generator)


def three_numbers(subject: Subject, draw: Draw) -> None:
    """The result is [3]: rate, low, high."""
    got = subject(*draw_grades(draw, draw.size(4, 6), 40))
    expect_tensor(got, (3,), "3", torch.float32, "the result")


def grades_and_draws_stay(subject: Subject, draw: Draw) -> None:
    """The grades and the draws are left as they are."""
    expect_unchanged(subject, *draw_grades(draw, draw.size(4, 6), 40), names="first second draws")


def ties_are_left_out(subject: Subject, draw: Draw) -> None:
    """Four prompts: two won, one tied, one lost. Every resample holds all four."""
    first, second = torch.tensor([3.0, 5.0, 2.0, 1.0]), torch.tensor([2.0, 1.0, 2.0, 4.0])
    draws = torch.arange(4).repeat(40, 1)
    expect_close(
        subject(first, second, draws), torch.full((3,), 2 / 3),
        "two prompts won, one tied, one lost; every resample is the same four: 2 of 3 decided ones",
        given={"first": first, "second": second}, likely="the rate is won / (won + lost)",
        mistakes={
            "divided by all prompts; ties are no losses": torch.full((3,), 2 / 4),
            "a tie counts as half a win here; leave it out": torch.full((3,), 2.5 / 4),
            "a tie counts as a win": torch.full((3,), 3 / 4),
            "that is the rate of the second": torch.full((3,), 1 / 3),
        },
    )  # fmt: skip


def nothing_is_decided(subject: Subject, draw: Draw) -> None:
    """All tied: (½, 0, 1)."""
    grades = draw.whole(4)
    draws = torch.randint(4, (40, 4), generator=draw.generator)
    expect_close(
        subject(grades, grades.clone(), draws), torch.tensor([0.5, 0.0, 1.0]), "all prompts are tied",
        likely="nothing is known: the rate is ½, and the interval is from 0 to 1",
        not_finite="0 divided by 0: nothing is decided",
    )  # fmt: skip


def one_decided_prompt(subject: Subject, draw: Draw) -> None:
    """One won, two tied: resamples without the won one have the rate ½."""
    first, second = torch.tensor([1.0, 0.0, 0.0]), torch.zeros(3)
    draws = torch.tensor([[0, 1, 2]] * 30 + [[1, 2, 1]] * 10)
    expect_close(
        subject(first, second, draws), torch.tensor([1.0, 0.5, 1.0]),
        "one won, two tied; in 10 of 40 resamples the won one is missing", given={"draws[-1]": draws[-1]},
        likely="a resample in which nothing is decided has the rate ½",
        not_finite="0 divided by 0 in a resample without a decided prompt",
        mistakes={"such a resample is given the rate 0": torch.tensor([1.0, 0.0, 1.0])},
    )  # fmt: skip


def the_ends_of_the_interval(subject: Subject, draw: Draw) -> None:
    """Eighty resamples with the rates 0/79 … : places 2 and 77 are the ends."""
    P = 80
    first, second = torch.zeros(P), torch.ones(P)
    half = draw.size(30, 50)
    first[:half], second[:half] = 1.0, 0.0  # the first `half` prompts are won
    draws = torch.full((80, P), P - 1)
    for r in range(80):
        draws[r, :r] = 0  # r of 80 are won
    draws = draws[torch.randperm(80, generator=draw.generator)]
    expected = torch.tensor([half / P, 2 / P, 77 / P])
    expect_close(
        subject(first, second, draws), expected,
        "80 resamples, in which 0, 1, …, 79 of 80 prompts are won, in mixed order: c = round(80 / 40) = 2",
        likely="sort the rates, then take places c and R − 1 − c",
        mistakes={
            "the rates are not sorted, or the smallest and the largest are taken": torch.tensor([half / P, 0, 79 / P]),
            "2.5 % on both sides together; cut c off at EACH end": torch.tensor([half / P, 1 / P, 78 / P]),
            "one place too far at the upper end": torch.tensor([half / P, 2 / P, 78 / P]),
            "the rate is the mean of the resamples": torch.tensor([79 / 160, 2 / P, 77 / P]),
        },
    )  # fmt: skip


def the_same_prompts_of_both(subject: Subject, draw: Draw) -> None:
    """A resample draws prompts: both grades of a prompt come along."""
    P = draw.size(5, 7)
    first, second, draws = draw_grades(draw, P, 80)
    expect_close(
        subject(first, second, draws), win_rate(first, second, draws), "random grades, 80 resamples",
        given={"first": first, "second": second},
        likely="compare first, then resample what was won, tied or lost: pairs must stay together",
    )  # fmt: skip


def a_real_evaluation(subject: Subject, draw: Draw) -> None:
    """Hundreds of prompts, hundreds of resamples: the loops in specs/ch19.py."""
    arguments = draw_grades(draw, draw.size(140, 160), draw.size(300, 340))
    expect_close_when_large(subject(*arguments), win_rate(*arguments), "number", f"P = {len(arguments[0])}")


# ---- 19.2 ----------------------------------------------------------------------------------------------------------

Z = 1.96


def check_ends(subject: Subject, won: int, lost: int, z: float, what: str, likely: str, **mistakes: object) -> None:
    """Both ends, one after the other: a pair of numbers comes back as a list."""
    got = subject(won, lost, z)
    pair = list(got) if isinstance(got, (list, tuple)) else got
    numbers = torch.tensor(pair, dtype=torch.float64) if is_pair(pair) else pair
    expect_close(
        numbers, torch.tensor(wilson(won, lost, z), dtype=torch.float64), what, likely=likely,
        mistakes={name.replace("_", " "): torch.tensor(ends, dtype=torch.float64) for name, ends in mistakes.items()},
    )  # fmt: skip


def is_pair(value: object) -> bool:
    """Two plain numbers."""
    return isinstance(value, list) and len(value) == 2 and all(type(part) in (int, float) for part in value)


def nothing_was_seen(subject: Subject, draw: Draw) -> None:
    """n = 0: from 0 to 1."""
    check_ends(subject, 0, 0, Z, "no decided prompt: nothing is known", "low = 0 and high = 1, two plain numbers")


def half_of_four(subject: Subject, draw: Draw) -> None:
    """2 of 4, z = 2: (½ − p)² = p·(1 − p), so p = ½ ± √⅛."""
    width = math.sqrt(1 / 8)
    check_ends(
        subject, 2, 2, 2.0, "2 won, 2 lost, z = 2: (½ − p)² = 4·p·(1 − p)/4, so p = ½ ± √(1/8)",
        "p on the RIGHT side is the unknown rate, not the one that was seen",
        the_seen_rate_stands_on_both_sides=(0.0, 1.0),
        the_two_ends_are_exchanged=(0.5 + width, 0.5 - width),
    )  # fmt: skip


def all_of_them(subject: Subject, draw: Draw) -> None:
    """n of n: high is 1, low is n / (n + z²)."""
    n = draw.size(6, 11)
    check_ends(
        subject, n, 0, Z, f"{n} won, none lost: (1 − p)² = z²·p·(1 − p)/{n}, so p = 1 or p = {n}/({n} + z²)",
        "the interval must not shrink to a point: n of n does not prove that it never loses",
        no_width_as_a_bootstrap_has=(1.0, 1.0),
    )  # fmt: skip
    check_ends(subject, 0, n, Z, f"none won, {n} lost: the same from the other side", "the ends lie in [0, 1]")


def both_sides_are_equal(subject: Subject, draw: Draw) -> None:
    """Small counts and large ones: at both ends |p̂ − p| = z·√(p(1 − p)/n)."""
    for most in (9, 40, 2000):
        won, lost = draw.size(1, most), draw.size(1, most)
        for z in (1.0, Z, 3.0):
            check_ends(
                subject, won, lost, z, f"{won} won, {lost} lost, z = {z}: the ends of specs/ch19.py",
                "solve n·(p̂ − p)² = z²·p·(1 − p) for p",
            )  # fmt: skip


CHECKS = {
    "19.1": (
        three_numbers, grades_and_draws_stay, ties_are_left_out, nothing_is_decided, one_decided_prompt,
        the_ends_of_the_interval, the_same_prompts_of_both, a_real_evaluation,
    ),
    "19.2": (nothing_was_seen, half_of_four, all_of_them, both_sides_are_equal),
}  # fmt: skip
