"""Checks of chapter 04: the student's own test (4.4), and the measurement (4.5)."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from tutorials.exercises.checks.answers import expect_choice, expect_measured, expect_sentence
from tutorials.exercises.judging import LARGE, Check, CheckError, Draw, expect_close
from tutorials.exercises.measure import HEAD_SIZES, random_rows
from tutorials.exercises.specs import ch04_wrong as wrong
from tutorials.exercises.specs.ch04 import causal_attention, entropy_of_weights
from tutorials.exercises.subject import StudentError, Subject

Attention = Callable[[Tensor, Tensor, Tensor], Tensor]
LARGEST_CASE = 5_000  # numbers in a tensor that a test may use: the loops are slow


# ---- 4.4 -----------------------------------------------------------------------------------------------------------


def small(attention: Attention) -> Attention:
    """The same attention, but it refuses what is no input or too large."""

    def checked(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        for tensor in (queries, keys, values):
            if not isinstance(tensor, Tensor) or tensor.dim() != 4 or tensor.shape != queries.shape:
                raise ValueError("queries, keys and values must be three tensors [B,H,T,D] of the same shape")
        if queries.numel() > LARGEST_CASE or queries.shape[2] > 100:
            raise ValueError(
                f"at most {LARGEST_CASE:,} numbers in a tensor and 100 tokens, it has {list(queries.shape)}"
            )
        return attention(queries, keys, values)

    return checked


def in_double(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """The right attention with other rounding errors: computed in double precision."""
    return causal_attention(queries.double(), keys.double(), values.double()).to(values.dtype)


def scaled_before(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """The right attention in another order: the queries are divided by √D, not the scores."""
    root = math.sqrt(queries.shape[-1])
    return causal_attention(queries / root, keys * root, values)


RIGHT: tuple[Attention, ...] = (causal_attention, in_double, scaled_before)


def rejects_the_right_one(subject: Subject) -> bool:
    """True if the student's test rejects the specification. The test runs once for all checks."""
    if "rejects the right one" not in subject.memory:
        subject.memory["rejects the right one"] = rejects(subject, causal_attention)
    return subject.memory["rejects the right one"]


def rejects(subject: Subject, attention: Attention) -> bool:
    """True if the student's test raises AssertionError for this attention. Other exceptions are passed on."""
    try:
        subject(small(attention))
    except StudentError as error:
        if error.kind != "AssertionError":
            raise
        return True
    return False


def accepts_what_is_right(subject: Subject, draw: Draw) -> None:
    """Three right attentions, which differ in the last digits, pass the test."""
    for attention in RIGHT:
        if rejects(subject, attention):
            raise CheckError(
                f"your test rejects an attention that is right: {attention.__doc__.strip().splitlines()[0]}",
                likely="an exact comparison, a tolerance that is too narrow, or a wrong expectation",
            )


def catches(name: str, attention: Attention, symptom: str) -> Check:
    """A check: the student's test rejects this wrong attention. A test that rejects everything catches nothing."""

    def check(subject: Subject, draw: Draw) -> None:
        if rejects_the_right_one(subject):
            raise CheckError("your test rejects an attention that is right, so that it rejects this one says nothing")
        if not rejects(subject, attention):
            raise CheckError("your test passes an attention that is wrong", likely=symptom)

    check.__name__ = f"catches_{name}"
    check.__doc__ = attention.__doc__
    return check


CATCHES = (
    catches("no_mask", wrong.no_mask, "change the last token: what may not change?"),
    catches("mask_off_by_one", wrong.one_too_many, "row t of a long enough sequence depends on token t + 1"),
    catches("mask_after_softmax", wrong.mask_after_softmax, "equal values do not come back as they were"),
    catches("missing_scale", wrong.without_scale, "work out the weights of two tokens by hand, for one head size"),
    catches("root_of_the_length", wrong.root_of_the_length, "use a case in which T and D differ"),
    catches("softmax_over_queries", wrong.softmax_over_queries, "equal values do not come back as they were"),
    catches("keys_for_values", wrong.keys_for_values, "with one token the output is a value"),
    catches("one_head_for_all", wrong.one_head_for_all, "change one head: what may not change?"),
)


# ---- 4.5 -----------------------------------------------------------------------------------------------------------


def predictions_are_written(subject: Subject, draw: Draw) -> None:
    """answers.toml has a prediction for both cases."""
    for name in ("prediction_without", "prediction_with"):
        expect_choice(subject, name, ("falls", "stays", "rises"))


def equal_scores_give_ln_s(subject: Subject, draw: Draw) -> None:
    """With queries of 0 all weights are 1/S, and the entropy is ln S."""
    S = draw.size(3, 8)
    queries, keys = torch.zeros(2, 4), draw.normal(S, 4)
    mistakes = {
        "that is in bits; use the natural logarithm": math.log2(S),
        "the sign: an entropy is never negative": -math.log(S),
        "the rows are added up; average over them": 2 * math.log(S),
        "the softmax runs over the queries": math.log(2),
    }
    what = f"{S} keys with equal scores have equal weights 1/{S}, with an entropy of ln {S}"
    expect_close(
        subject(queries, keys, True), math.log(S), what, mistakes=mistakes, likely="not a number, or not a mean"
    )


def one_key_that_wins_gives_zero(subject: Subject, draw: Draw) -> None:
    """When one score is far above the others, its weight is 1 and the entropy 0."""
    queries = torch.full((2, 4), 40.0)
    keys = torch.zeros(5, 4)
    keys[draw.size(0, 4)] = 40.0
    expect_close(
        subject(queries, keys, True),
        0.0,
        "one weight is 1 and the others are 0, which have an entropy of 0",
        likely="not the entropy of the weights",
        not_finite="log 0 is minus infinity, and 0 times infinity is NaN",
    )


def scaled_and_not(subject: Subject, draw: Draw) -> None:
    """Random queries and keys, with the division by √D and without: the loops in specs/ch04.py."""
    T, S, D = draw.sizes(3, 3, 9)
    queries, keys = draw.normal(T, D), draw.normal(S, D)
    for scaled in (True, False):
        other = entropy_of_weights(queries, keys, not scaled)
        expect_close(
            subject(queries, keys, scaled),
            entropy_of_weights(queries, keys, scaled),
            f"scaled = {scaled}: the entropy must be that of specs/ch04.py",
            mistakes={"`scaled` is used the other way round, or not at all": other},
            likely="divide by the root of the head size D, if and only if `scaled`",
        )


def entropies_at_any_size(subject: Subject, draw: Draw) -> None:
    """Many queries, many keys, wide heads: the loops in specs/ch04.py."""
    for T, S, D in ((draw.size(130, 160), 3, 2), (2, draw.size(260, 320), 3), (3, 4, draw.size(130, 300))):
        queries, keys = draw.normal(T, D), draw.normal(S, D)
        for scaled in (True, False):
            expect_close(
                subject(queries, keys, scaled),
                entropy_of_weights(queries, keys, scaled),
                f"scaled = {scaled}, T = {T} queries, S = {S} keys, head size D = {D}",
                likely=LARGE,
            )


def what_was_measured_is_written(subject: Subject, draw: Draw) -> None:
    """The four numbers in answers.toml are those that your function gives."""
    for scaled in (False, True):
        for D in (HEAD_SIZES[0], HEAD_SIZES[-1]):
            expect_measured(subject, f"{'with' if scaled else 'without'}_{D}", subject(*random_rows(D), scaled))


def the_reason_is_a_sentence(subject: Subject, draw: Draw) -> None:
    """answers.toml says why, in your own words; a person will read it."""
    expect_sentence(subject)


CHECKS = {
    "4.4": (accepts_what_is_right, *CATCHES),  # see registry.score
    "4.5": (
        predictions_are_written, equal_scores_give_ln_s, one_key_that_wins_gives_zero, scaled_and_not,
        entropies_at_any_size,
        what_was_measured_is_written, the_reason_is_a_sentence,
    ),
}  # fmt: skip
