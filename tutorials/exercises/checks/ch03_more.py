"""Checks of chapter 03: the measurement (3.3) and the bug hunt (3.4)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tutorials.exercises.checks.answers import expect_choice, expect_measured, expect_sentence
from tutorials.exercises.judging import LARGE, CheckError, Draw, expect_close, expect_small_fix, expect_tensor
from tutorials.exercises.measure import BASES, DISTANCES, ROTARY_HEAD
from tutorials.exercises.specs.ch03 import kept_score, positions_of
from tutorials.exercises.subject import Subject

# ---- 3.3 -----------------------------------------------------------------------------------------------------------


def predictions_about_the_base(subject: Subject, draw: Draw) -> None:
    """answers.toml has both predictions."""
    expect_choice(subject, "prediction_distance", ("falls", "stays", "rises"))
    expect_choice(subject, "prediction_base", ("100", "10000", "same"))


def two_numbers_are_a_cosine(subject: Subject, draw: Draw) -> None:
    """A head of two numbers has one pair, turned by the distance itself."""
    distance = draw.size(1, 9)
    expect_close(
        subject(distance, 2, 100.0),
        math.cos(distance),
        f"head size 2, distance {distance}: one pair, turned by {distance} radians, leaves cos {distance}",
        mistakes={
            "that is the score; divide it by the score at distance 0, the head size": 2 * math.cos(distance),
            "the pairs are counted as if each number were one": math.cos(distance) / 2,
            "the angle is in degrees": math.cos(math.radians(distance)),
            "that is the sine": math.sin(distance),
            "there are half as many pairs as numbers, and these are as many": (
                math.cos(distance) + math.cos(distance / 100)
            )
            / 2,
        },
        likely="both vectors are (1, 1); turned against each other by an angle a, their product is 2 cos a",
    )  # fmt: skip


def later_pairs_turn_slower(subject: Subject, draw: Draw) -> None:
    """Four numbers, base 100: the second pair is turned by a tenth of the distance."""
    distance = draw.size(2, 9)

    def kept(second: float) -> float:
        return (math.cos(distance) + math.cos(second)) / 2

    expect_close(
        subject(distance, 4, 100.0),
        kept(distance / 10),
        f"head size 4, base 100, distance {distance}: the angles are {distance} and {distance}/√100 = {distance / 10}",
        mistakes={
            "all pairs are turned by the same angle": math.cos(distance),
            "the exponent is i/D; it is 2i/D": kept(distance / 100**0.25),
            "later pairs turn faster; they turn slower": kept(distance * 10),
            "the base is 10,000 whatever was asked for": kept(distance / 100),
        },
        likely="the mean of the cosines of all pairs",
    )


def kept_scores_equal_the_specification(subject: Subject, draw: Draw) -> None:
    """Several distances, head sizes and bases, small and large: the specification turns the vectors themselves."""
    for distance, head_size in ((0, 6), (draw.size(3, 20), 8), (draw.size(200, 400), 16), (7, 2 * draw.size(64, 90))):
        for base in (10.0, 10000.0, 500000.0):
            expect_close(
                subject(distance, head_size, base),
                kept_score(distance, head_size, base),
                f"distance {distance}, head size {head_size}, base {base:.0f}",
                likely=LARGE,
                atol=1e-4,
            )


def what_is_kept_is_in_answers(subject: Subject, draw: Draw) -> None:
    """The four numbers in answers.toml are those that your function gives."""
    for base in BASES:
        for distance in DISTANCES:
            expect_measured(subject, f"base_{base}_at_{distance}", subject(distance, ROTARY_HEAD, float(base)))


def the_reason_for_the_base(subject: Subject, draw: Draw) -> None:
    """answers.toml says why, in your own words; a person will read it."""
    expect_sentence(subject)


# ---- 3.4 -----------------------------------------------------------------------------------------------------------

BY_COLUMN = "positions count the columns of the batch; count the real tokens before each token instead"


def expect_places(subject: Subject, mask: Tensor, what: str, likely: str) -> None:
    """Real tokens have the right places, and padding has one that exists: no table has a row −1."""
    got, right = subject(mask), positions_of(mask)
    expect_tensor(got, mask.shape, "B T", torch.int64, "the result")
    columns = torch.arange(mask.shape[1]).expand(mask.shape)  # [B,T]
    expect_close(
        got[mask],
        right[mask],
        what,
        given={"mask": mask.long()[:3, :12]},
        mistakes={
            BY_COLUMN: columns[mask],
            "places count from 0, and these from 1": right[mask] + 1,
            "the padding is counted as well": columns[mask] + 1,
            "the count runs down the rows of the batch (axis 0), not along each row": (mask.cumsum(0) - 1)[mask],
        },
        likely=likely,
    )
    outside = (got < 0) | (got >= mask.shape[1])
    if outside.any():
        raise CheckError(
            f"the padding must get a place that exists, from 0 to {mask.shape[1] - 1}: a table has no other row",
            got=got[outside][:8],
            likely="before the first real token the count is 0, and one less is −1",
        )


def padded_rows(draw: Draw, lengths: list[int], width: int) -> Tensor:
    """The mask of rows with padding on the left, [B,T]."""
    return torch.arange(width) >= width - torch.tensor(lengths)[:, None]


def padding_on_the_left_is_not_counted(subject: Subject, draw: Draw) -> None:
    """One row, two columns of padding: the first real token stands at place 0."""
    real = draw.size(2, 4)
    mask = padded_rows(draw, [real], real + 2)
    places = ", ".join(map(str, range(real)))
    expect_places(subject, mask, f"two columns of padding, then {real} real tokens, at places {places}", BY_COLUMN)


def every_row_counts_for_itself(subject: Subject, draw: Draw) -> None:
    """Rows of different lengths in one batch."""
    lengths = draw.sizes(3, 1, 6)
    mask = padded_rows(draw, lengths, 8)
    expect_places(
        subject,
        mask,
        f"rows of {lengths} tokens in 8 columns: each counts from 0 at its own first token",
        "the count runs over another axis, or one row decides for all",
    )


def gaps_and_ends_are_padding_too(subject: Subject, draw: Draw) -> None:
    """Padding on the left, in the middle and on the right."""
    middle, end = draw.size(1, 3), draw.size(1, 3)
    row = [False] * 2 + [True] * 2 + [False] * middle + [True] * 3 + [False] * end
    expect_places(
        subject,
        torch.tensor([row, [False, *row[:-1]]]),
        "real tokens at places 0 to 4, with padding before, between and after them",
        "only the padding at the beginning is left out",
    )


def many_rows_and_long_ones(subject: Subject, draw: Draw) -> None:
    """Many rows, and rows of some hundred columns."""
    for rows, width in ((draw.size(130, 160), 6), (3, draw.size(300, 400))):
        mask = padded_rows(draw, [draw.size(1, width - 1) for _ in range(rows)], width)
        expect_places(subject, mask, f"B = {rows} rows of T = {width} columns", LARGE)


def the_places_are_mended_in_three_lines(subject: Subject, draw: Draw) -> None:
    """One to three lines of code differ from what was handed out."""
    expect_small_fix(subject)


CHECKS = {
    "3.3": (
        predictions_about_the_base, two_numbers_are_a_cosine, later_pairs_turn_slower,
        kept_scores_equal_the_specification, what_is_kept_is_in_answers, the_reason_for_the_base,
    ),
    "3.4": (
        padding_on_the_left_is_not_counted, every_row_counts_for_itself, gaps_and_ends_are_padding_too,
        many_rows_and_long_ones, the_places_are_mended_in_three_lines,
    ),
}  # fmt: skip
