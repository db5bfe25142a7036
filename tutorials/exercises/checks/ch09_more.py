"""Checks of chapter 09: a word from its neighbours (9.3), and what is hidden (9.4)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tutorials.exercises.checks.answers import expect_choice, expect_measured, expect_sentence
from tutorials.exercises.judging import CheckError, Draw, expect_close, expect_small_fix
from tutorials.exercises.measure import SIDES, backwards_text
from tutorials.exercises.specs.ch09 import hide, nats_given
from tutorials.exercises.subject import Subject

# ---- 9.3 -----------------------------------------------------------------------------------------------------------


def predictions_for_the_sides(subject: Subject, draw: Draw) -> None:
    """answers.toml has a prediction for one neighbour and for both."""
    expect_choice(subject, "prediction_side", ("before", "after", "equal"))
    expect_choice(subject, "prediction_both", ("less than half", "more than half"))


def four_words_by_hand(subject: Subject, draw: Draw) -> None:
    """The circle a b a c: an a follows b or c for certain; after an a come b and c, each in half of the cases."""
    names = draw.random.sample(range(9), 3)
    a, b, c = names
    words = torch.tensor([a, b, a, c])
    for before, after, right in (
        (True, False, math.log(2) / 2),
        (False, True, math.log(2) / 2),
        (False, False, 1.5 * math.log(2)),
    ):
        expect_close(
            subject(words, before, after),
            right,
            f"the circle a b a c, before = {before}, after = {after}: "
            + ("a has two neighbours, b and c one each" if before or after else "a has a share of ½, b and c of ¼"),
            given={"words": words},
            likely="the context's own count divides, and the mean runs over the four words",
            mistakes={
                "those are bits; nats are asked for": right / math.log(2),
                "the sum is not divided by the number of words": 4 * right,
                "log p is negative; −log p is asked for": -right,
                "that is the logarithm of the mean of p; the mean of the logarithms is asked for": -math.log(
                    0.75 if before or after else 0.375
                ),
            },
        )


def the_circle_is_closed(subject: Subject, draw: Draw) -> None:
    """On the circle a a b the first word stands behind the last one."""
    words = torch.tensor([4, 4, 7])
    for before, after in ((True, False), (False, True), (True, True)):
        right = nats_given(words, before, after)
        expect_close(
            subject(words, before, after),
            right,
            f"the circle a a b, before = {before}, after = {after}",
            given={"words": words},
            likely="the word before the first one is the last one, and the word after the last one is the first one",
        )


def nats_equal_the_specification(subject: Subject, draw: Draw) -> None:
    """Random texts, short and long, with few and with many words: the loops in specs/ch09.py."""
    for length, vocabulary in ((draw.size(20, 30), 3), (draw.size(900, 1100), 12), (draw.size(300, 400), 1000)):
        words = torch.randint(vocabulary, (length,), generator=draw.generator)
        for before, after in SIDES.values():
            expect_close(
                subject(words, before, after),
                nats_given(words, before, after),
                f"{length} words of a vocabulary of {vocabulary}, before = {before}, after = {after}",
                likely="a share is the count of the context with its word, divided by the count of the context",
            )


def the_sides_are_in_answers(subject: Subject, draw: Draw) -> None:
    """The four numbers in answers.toml are those that your function gives."""
    for name, (before, after) in SIDES.items():
        expect_measured(subject, name, subject(backwards_text(), before, after))


def the_reason_for_the_sides(subject: Subject, draw: Draw) -> None:
    """answers.toml says why, in your own words; a person will read it."""
    expect_sentence(subject)


# ---- 9.4 -----------------------------------------------------------------------------------------------------------

MASK, IGNORE = 77, -100


def parts_of(subject: Subject, ids: Tensor, chosen: Tensor) -> list[Tensor]:
    """Inputs and targets, if the function gave two tensors like ids."""
    got = subject(ids, chosen, MASK, IGNORE)
    if not isinstance(got, list) or len(got) != 2 or not all(isinstance(part, Tensor) for part in got):
        raise CheckError("hide returns two tensors, inputs and targets", got=repr(got)[:80])
    return got


def targets_are_what_stood_there(subject: Subject, draw: Draw) -> None:
    """One text of four, the second token is chosen: the target is that token, and the model reads [MASK] instead."""
    ids = torch.tensor([draw.sizes(4, 1, 9)])
    chosen = torch.tensor([[False, True, False, False]])
    inputs, targets = parts_of(subject, ids, chosen)
    second = int(ids[0, 1])
    expect_close(
        targets,
        torch.tensor([[IGNORE, second, IGNORE, IGNORE]]),
        f"the second token, {second}, is chosen, and [MASK] is {MASK}",
        given={"ids": ids},
        mistakes={
            "the model is asked for [MASK]: the targets were made of ids that had been overwritten": torch.tensor(
                [[IGNORE, MASK, IGNORE, IGNORE]]
            ),
            "every token is a target, also those that the model can read": ids,
        },
        likely="the targets are the ids before anything was hidden, and `ignore` where nothing is asked",
    )
    expect_close(
        inputs,
        torch.tensor([[int(ids[0, 0]), MASK, *ids[0, 2:].tolist()]]),
        "what the model reads: the ids, with [MASK] in the second place",
        given={"ids": ids},
        mistakes={"nothing is hidden: the model can read its target": ids},
        likely="[MASK] at the chosen places, and the ids everywhere else",
    )


def the_texts_are_not_overwritten(subject: Subject, draw: Draw) -> None:
    """The ids stay as they are: the same text is hidden in another way the next time."""
    ids, chosen = torch.tensor([draw.sizes(5, 1, 9)]), torch.tensor([[True, False, False, True, False]])
    after = subject.arguments_after(ids.clone(), chosen, MASK, IGNORE)[0]
    expect_close(
        after,
        ids,
        "the ids must stay as they are: whoever calls the function still needs the text",
        likely="the inputs are another name for the ids, so [MASK] is written into the text itself: copy it first",
    )


def hidden_at_any_size(subject: Subject, draw: Draw) -> None:
    """Many texts, long texts: the loops in specs/ch09.py."""
    for shape in ((draw.size(130, 150), 4), (3, draw.size(140, 170))):
        ids = torch.randint(60, shape, generator=draw.generator)
        chosen = torch.rand(shape, generator=draw.generator) < 0.3
        named = zip(("inputs", "targets"), parts_of(subject, ids, chosen), hide(ids, chosen, MASK, IGNORE), strict=True)
        for name, got, right in named:
            expect_close(got, right, f"{name} of {shape[0]} texts of {shape[1]} tokens", likely="a size is a constant")


def the_hiding_is_mended_in_three_lines(subject: Subject, draw: Draw) -> None:
    """One to three lines of code differ from what was handed out."""
    expect_small_fix(subject)


CHECKS = {
    "9.3": (
        predictions_for_the_sides, four_words_by_hand, the_circle_is_closed, nats_equal_the_specification,
        the_sides_are_in_answers, the_reason_for_the_sides,
    ),
    "9.4": (
        targets_are_what_stood_there, the_texts_are_not_overwritten, hidden_at_any_size,
        the_hiding_is_mended_in_three_lines,
    ),
}  # fmt: skip
