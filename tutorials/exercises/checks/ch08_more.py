"""Checks of chapter 08: the size of the nucleus (8.3), and rows of different lengths (8.4)."""

from __future__ import annotations

import torch

from tutorials.exercises.checks.answers import expect_choice, expect_measured, expect_sentence
from tutorials.exercises.judging import CheckError, Draw, expect_close, expect_small_fix
from tutorials.exercises.measure import NUCLEUS_P, NUCLEUS_TEMPERATURES, rare_words
from tutorials.exercises.specs.ch08 import layout, nucleus_size
from tutorials.exercises.subject import Subject

# ---- 8.3 -----------------------------------------------------------------------------------------------------------


def predictions_for_the_nucleus(subject: Subject, draw: Draw) -> None:
    """answers.toml has a prediction for both changes of the temperature."""
    for name in ("prediction_half_to_one", "prediction_one_to_two"):
        expect_choice(subject, name, ("less than twice", "about twice", "more than five times"))


def taken(probabilities: torch.Tensor, top_p: float) -> int:
    """How many are taken in this order until their sum reaches top_p."""
    return int((probabilities.cumsum(0) - probabilities < top_p).sum())


def halves_by_hand(subject: Subject, draw: Draw) -> None:
    """Probabilities of 0.5, 0.3, 0.15 and 0.05: 0.75 needs two of them, 0.9 needs three."""
    order = draw.random.choice(([0, 2, 3, 1], [0, 3, 2, 1]))  # the first is the largest, and after it they rise
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05])[order].log()
    as_given, rising = logits.exp(), logits.exp().sort().values
    for top_p, right in ((0.4, 1), (0.75, 2), (0.9, 3), (0.99, 4)):
        expect_close(
            subject(logits, 1.0, top_p),
            right,
            f"0.5, 0.3, 0.15, 0.05 and top_p = {top_p}: the {right} most probable ones reach it",
            likely="the token that reaches top_p is counted as well, and the order is that of the probabilities",
            mistakes={
                "the tokens are taken in the order of the vocabulary, not of their probability": taken(as_given, top_p),
                "the least probable tokens are taken first": taken(rising, top_p),
                "the token with which the sum reaches top_p belongs to it": right - 1,
                "one token too many": right + 1,
            },
        )


def one_token_always_stays(subject: Subject, draw: Draw) -> None:
    """However small top_p is, the most probable token stays; with top_p = 1 all do."""
    V = draw.size(4, 9)
    logits = draw.normal(V)
    for top_p, right in ((0.0, 1), (1e-6, 1), (1.0, V)):
        expect_close(
            subject(logits, 1.0, top_p),
            right,
            f"top_p = {top_p} of {V} tokens leaves {right}",
            likely="count those before which the sum has not yet reached top_p, and at least one",
        )


def temperatures_change_the_size(subject: Subject, draw: Draw) -> None:
    """Random logits, few and many: the loops in specs/ch08.py."""
    for V in (draw.size(8, 12), draw.size(400, 600)):
        logits = 2 * draw.normal(V)
        for temperature in (0.5, 1.0, 2.0):
            right = nucleus_size(logits, temperature, 0.83)
            expect_close(
                subject(logits, temperature, 0.83),
                right,
                f"{V} tokens, temperature {temperature}, top_p = 0.83",
                likely="divide the logits by the temperature before the softmax",
                mistakes={"the logits are multiplied by the temperature": nucleus_size(logits, 1 / temperature, 0.83)},
            )


def the_sizes_are_in_answers(subject: Subject, draw: Draw) -> None:
    """The three numbers in answers.toml are those that your function gives."""
    for name, temperature in NUCLEUS_TEMPERATURES.items():
        expect_measured(subject, f"size_{name}", subject(rare_words(), temperature, NUCLEUS_P))


def the_reason_for_the_sizes(subject: Subject, draw: Draw) -> None:
    """answers.toml says why, in your own words; a person will read it."""
    expect_sentence(subject)


# ---- 8.4 -----------------------------------------------------------------------------------------------------------


def parts_of(subject: Subject, lengths: torch.Tensor, tokens: int, slots: int) -> list[torch.Tensor]:
    """Positions and visible, if the function gave two tensors."""
    got = subject(lengths, tokens, slots)
    if not isinstance(got, list) or len(got) != 2 or not all(isinstance(part, torch.Tensor) for part in got):
        raise CheckError("layout returns two tensors, positions and visible", got=repr(got)[:80])
    return got


def a_short_row_sees_its_own_slots(subject: Subject, draw: Draw) -> None:
    """A row of 2 beside one of 5, one new token each: the short row sees its slots 0, 1 and 2."""
    lengths = torch.tensor([2, draw.size(4, 6)])
    positions, visible = parts_of(subject, lengths, 1, 8)
    expect_close(
        positions,
        lengths[:, None],
        "positions: a row's next token stands at its own length",
        likely="the position of a token is the number of tokens before it in its row, not the column of the batch",
    )
    expect_close(
        visible[0].long(),
        layout(lengths, 1, 8)[1][0].long(),
        f"row 0 has 2 tokens, and beside it stands a row of {int(lengths[1])}: its new token must see slots 0, 1 and 2",
        mistakes={
            "the new token does not see itself: its own slot, 2, is missing": torch.tensor([1, 1] + [0] * 6)[None]
        },
        likely="the padding of the short row is seen, because the limit is that of the longest row",
    )


def new_tokens_do_not_see_later_ones(subject: Subject, draw: Draw) -> None:
    """Several new tokens at once: each sees itself and what was before it."""
    lengths = torch.tensor([0, draw.size(1, 3), draw.size(4, 5)])
    got, right = parts_of(subject, lengths, 3, 9)[1], layout(lengths, 3, 9)[1]
    expect_close(
        got.long(), right.long(), "three new tokens in each row", likely="token t of a row sees slots 0 … length + t"
    )


def many_rows_of_many_lengths(subject: Subject, draw: Draw) -> None:
    """Many rows, many slots, the loops in specs/ch08.py."""
    lengths = torch.tensor([draw.size(0, 90) for _ in range(70)])
    for name, got, right in zip(
        ("positions", "visible"), parts_of(subject, lengths, 2, 100), layout(lengths, 2, 100), strict=True
    ):
        expect_close(got.long(), right.long(), f"{name} of 70 rows", likely="a constant where a size belongs")


def the_layout_is_mended_in_three_lines(subject: Subject, draw: Draw) -> None:
    """One to three lines of code differ from what was handed out."""
    expect_small_fix(subject)


CHECKS = {
    "8.3": (
        predictions_for_the_nucleus, halves_by_hand, one_token_always_stays, temperatures_change_the_size,
        the_sizes_are_in_answers, the_reason_for_the_sizes,
    ),
    "8.4": (
        a_short_row_sees_its_own_slots, new_tokens_do_not_see_later_ones,
        many_rows_of_many_lengths, the_layout_is_mended_in_three_lines,
    ),
}  # fmt: skip
