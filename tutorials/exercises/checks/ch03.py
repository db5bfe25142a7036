"""Checks of chapter 03: sinusoidal vectors (3.1) and rotations of neighbours (3.2)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tutorials.exercises.judging import (
    LARGE,
    Draw,
    expect_close,
    expect_close_when_large,
    expect_gradients,
    expect_tensor,
    expect_unchanged,
)
from tutorials.exercises.specs.ch03 import rotate_neighbours, sinusoids
from tutorials.exercises.subject import Subject

FAR = 1e-3  # float32 angles are that far off at places beyond a hundred, and nobody minds


def some_places(draw: Draw, count: int, high: int = 40) -> Tensor:
    """Places in no order, [T]."""
    return torch.tensor([draw.size(0, high) for _ in range(count)])


# ---- 3.1 -----------------------------------------------------------------------------------------------------------


def a_vector_for_each_place(subject: Subject, draw: Draw) -> None:
    """One row for each position, one column for each channel, as float32."""
    places, channels = some_places(draw, draw.size(3, 5)), 2 * draw.size(3, 5)
    expect_tensor(subject(places, channels), (len(places), channels), "T C", torch.float32, "the result")


def positions_stay(subject: Subject, draw: Draw) -> None:
    """The positions are left as they are."""
    expect_unchanged(subject, some_places(draw, 3), 4, names="positions channels")


def place_zero_is_zeros_and_ones(subject: Subject, draw: Draw) -> None:
    """At place 0 all angles are 0: sines of 0, cosines of 1, in turn."""
    pairs = draw.size(2, 4)
    expected = torch.tensor([[0.0, 1.0] * pairs])
    expect_close(
        subject(torch.tensor([0]), 2 * pairs),
        expected,
        "place 0: every sine is 0 and every cosine is 1, side by side in each pair",
        mistakes={
            "sines and cosines have changed places": 1 - expected,
            "all sines stand first and all cosines after them; they take turns": torch.tensor(
                [[0.0] * pairs + [1.0] * pairs]
            ),
            "all cosines stand first, and they take turns with sines": torch.tensor([[1.0] * pairs + [0.0] * pairs]),
        },
        likely="positions count from 0, and the angle of a place is the place times a frequency",
    )


def one_pair_by_hand(subject: Subject, draw: Draw) -> None:
    """With two channels the only angle is the position itself, in radians."""
    place = draw.size(1, 6)
    expect_close(
        subject(torch.tensor([place]), 2),
        torch.tensor([[math.sin(place), math.cos(place)]]),
        f"two channels: the vector of place {place} is (sin {place}, cos {place})",
        mistakes={
            "that is the next place: places count from 0": torch.tensor([[math.sin(place + 1), math.cos(place + 1)]]),
            "the row's own number is used, and not the position that was given": torch.tensor([[0.0, 1.0]]),
            "the angle is in degrees": torch.tensor(
                [[math.sin(math.radians(place)), math.cos(math.radians(place))]]
            ),
            "sine and cosine have changed places": torch.tensor([[math.cos(place), math.sin(place)]]),
        },
        likely="the first pair has i = 0, and 10000 to the power 0 is 1",
    )  # fmt: skip


def the_second_pair_is_a_hundred_times_slower(subject: Subject, draw: Draw) -> None:
    """With four channels the second pair turns by a hundredth of the place."""
    place = draw.size(20, 90)

    def row(speed: float) -> Tensor:
        return torch.tensor([[math.sin(place), math.cos(place), math.sin(place * speed), math.cos(place * speed)]])

    expect_close(
        subject(torch.tensor([place]), 4),
        row(0.01),
        f"four channels, place {place}: pair 1 has the exponent 2·1/4, so its angle is {place}/√10000 = {place / 100}",
        mistakes={
            "the exponent is i/C; it is 2i/C": row(10000.0**-0.25),
            "the exponent is 2i, not divided by C": row(10000.0**-2),
            "the exponent has no minus: later pairs turn slower, not faster": row(100.0),
            "all pairs turn at the same speed": row(1.0),
            "the base is 1,000": row(1000.0**-0.5),
        },
        likely="the frequency of pair i is 10000^(-2i/C)",
        atol=1e-4,
    )


def sinusoids_equal_the_specification(subject: Subject, draw: Draw) -> None:
    """Places in any order, some of them twice: the loops in specs/ch03.py."""
    places, channels = some_places(draw, draw.size(4, 6)), 2 * draw.size(3, 5)
    places = torch.cat([places, places[:1]])
    expect_close(
        subject(places, channels),
        sinusoids(places, channels),
        f"the vectors of places {places.tolist()} must be those of specs/ch03.py",
        likely="the row of a place depends on its number, not on where it stands among the positions",
        atol=1e-4,
    )


def far_places_and_many_channels(subject: Subject, draw: Draw) -> None:
    """Places up to some thousands, and some hundred channels."""
    for places, channels in (
        (torch.arange(draw.size(600, 700)), 4),
        (torch.tensor([draw.size(3000, 4000), 0]), 6),
        (torch.tensor([1, 7]), 2 * draw.size(130, 160)),
    ):
        got = subject(places, channels)
        expect_tensor(got, (len(places), channels), "T C", torch.float32, "the result")
        expected = sinusoids(places, channels)
        worst = int((got - expected).abs().amax(dim=1).argmax())
        expect_close(
            got[worst],
            expected[worst],
            f"the small cases are right, and with T = {len(places)} places, C = {channels} channels, place "
            f"{int(places[worst])} is not",
            likely=LARGE,
            atol=FAR,
        )


# ---- 3.2 -----------------------------------------------------------------------------------------------------------


def halves(x: Tensor, positions: Tensor, base: float) -> Tensor:
    """The package's convention: channel i together with channel i + D/2."""
    D = x.shape[-1]
    order = torch.arange(D).view(2, D // 2).T.flatten()  # neighbours in this order are partners in the other
    return rotate_neighbours(x[..., order], positions, base)[..., order.argsort()]


def draw_rows(draw: Draw, pairs: int = 3) -> tuple[Tensor, Tensor]:
    """Vectors [B,H,T,D] with four different sizes, and places [T]."""
    B, H, T = draw.sizes(3, 2, 5)
    return draw.normal(B, H, T, 2 * pairs), some_places(draw, T)


def rotated_shape_and_type(subject: Subject, draw: Draw) -> None:
    """The result is [B,H,T,D] and has the type of x."""
    x, places = draw_rows(draw)
    expect_tensor(subject(x, places, 100.0), x.shape, "B H T D", torch.float32, "the result")


def vectors_and_positions_stay(subject: Subject, draw: Draw) -> None:
    """x, positions and base are left as they are."""
    expect_unchanged(subject, *draw_rows(draw), 100.0, names="x positions base")


def place_zero_turns_nothing(subject: Subject, draw: Draw) -> None:
    """At place 0 all angles are 0, and x comes back."""
    x = torch.tensor(draw.sizes(4, 1, 9)).float().view(1, 1, 1, 4)
    expect_close(
        subject(x, torch.tensor([0]), 100.0),
        x,
        "place 0 is turned by an angle of 0, which changes nothing",
        given={"x": x},
        likely="positions count from 0; and the result has its channels in the order in which they came",
    )


def one_pair_turns_by_hand(subject: Subject, draw: Draw) -> None:
    """D = 2: the vector (1, 0) at place p becomes (cos p, sin p)."""
    place = draw.size(1, 6)
    x = torch.tensor([1.0, 0.0]).view(1, 1, 1, 2)

    def turned(cos: float, sin: float) -> Tensor:
        return torch.tensor([cos, sin]).view(1, 1, 1, 2)

    expect_close(
        subject(x, torch.tensor([place]), 100.0),
        turned(math.cos(place), math.sin(place)),
        f"D = 2, place {place}: (1, 0) is turned by {place} radians and becomes (cos {place}, sin {place})",
        mistakes={
            "it turns clockwise: look at the signs of the sines": turned(math.cos(place), -math.sin(place)),
            "places count from 0, the first is not turned": turned(math.cos(place + 1), math.sin(place + 1)),
            "cosine and sine have changed places": turned(math.sin(place), math.cos(place)),
            "nothing is turned: the angle comes from the position that was given, not from the row": x,
            "the second number is made from the first one when that is changed already: keep the old ones": turned(
                math.cos(place), math.cos(place) * math.sin(place)
            ),
        },
        likely="first · cos − second · sin, and first · sin + second · cos",
    )


def neighbours_turn_together(subject: Subject, draw: Draw) -> None:
    """D = 4 with one number that is not 0: it may reach its neighbour only."""
    place, channel = draw.size(1, 6), draw.size(2, 3)
    x = torch.zeros(1, 1, 1, 4)
    x[..., channel] = 1.0
    inputs = x, torch.tensor([place]), 100.0
    expect_close(
        subject(*inputs),
        rotate_neighbours(*inputs),
        f"D = 4, base 100, place {place}: only channel {channel} is not 0, and it is turned together with channel "
        f"{channel ^ 1} by the angle {place}/√100 = {place / 10}",
        given={"x": x},
        mistakes={
            "channel i is turned together with channel i + D/2, as in the package": halves(*inputs),
            "the second pair is turned by the angle of the first one": rotate_neighbours(x, inputs[1], 1.0),
            "the exponent is i/D; it is 2i/D": rotate_neighbours(x, inputs[1], 10.0),
            "later pairs turn faster; they turn slower": rotate_neighbours(x, inputs[1], 0.01),
            "the base is 10,000 whatever was asked for": rotate_neighbours(x, inputs[1], 10000.0),
            "it turns clockwise: look at the signs of the sines": rotate_neighbours(x, -inputs[1], 100.0),
        },
        likely="the channels of the result are in another order than those of x",
    )


def only_the_distance_counts(subject: Subject, draw: Draw) -> None:
    """The score of a query and a key stays the same when both move by the same number of places."""
    D, distance = 6, draw.size(2, 5)
    query, key = draw.normal(2, D)
    scores = []
    for start in (0, draw.size(2, 20)):
        x = torch.stack([key, query])[None, None]  # [1,1,2,D]
        got = subject(x, torch.tensor([start, start + distance]), 100.0)
        expect_tensor(got, x.shape, "B H T D", torch.float32, "the result")
        scores.append(got[0, 0, 0] @ got[0, 0, 1])
    x = torch.stack([key, query])[None, None]
    right = rotate_neighbours(x, torch.tensor([0, distance]), 100.0)[0, 0]  # [2,D]
    side_by_side = rotate_neighbours(x, torch.tensor([0, 1]), 100.0)[0, 0]  # [2,D]
    expect_close(
        torch.stack(scores),
        (right[0] @ right[1]).repeat(2),
        f"a query {distance} places after a key: their product is the same at the beginning of a text and further on",
        mistakes={
            "the tokens are counted in their row; each is turned for the position that it was given": (
                side_by_side[0] @ side_by_side[1]
            ).repeat(2)
        },
        likely="a rotation keeps lengths and angles: both numbers of a pair have the same angle, and cos² + sin² = 1",
        atol=1e-4,
    )


def rotations_equal_the_specification(subject: Subject, draw: Draw) -> None:
    """Several rows and heads, places in no order, three bases: the loops in specs/ch03.py."""
    x, places = draw_rows(draw)
    for base in (10.0, 1000.0, 10000.0):
        expect_close(
            subject(x, places, base),
            rotate_neighbours(x, places, base),
            f"base {base:.0f}: the result must be that of specs/ch03.py, for all heads and rows",
            mistakes={"channel i is turned together with channel i + D/2": halves(x, places, base)},
            likely="the angle belongs to the token: its axis is the last but one of x",
            atol=1e-4,
        )


def rotations_at_any_size(subject: Subject, draw: Draw) -> None:
    """Many sequences, many heads, long texts, wide heads."""
    for sizes, shape in {
        "B = {} sequences": (draw.size(130, 160), 2, 3, 4),
        "H = {} heads": (2, draw.size(33, 40), 3, 4),
        "T = {} tokens": (1, 2, draw.size(140, 170), 4),
        "D = {} channels a head": (2, 1, 3, 2 * draw.size(70, 80)),
    }.items():
        x, places = draw.normal(*shape), some_places(draw, shape[2], high=9)
        got = subject(x, places, 100.0)
        expect_close_when_large(got, rotate_neighbours(x, places, 100.0), "B H T D", sizes.format(max(shape)))
    x, places = draw.normal(1, 1, 2, 4), torch.tensor([draw.size(700, 900), 3])
    expect_close(
        subject(x, places, 100.0),
        rotate_neighbours(x, places, 100.0),
        f"the small cases are right, and place {int(places[0])} is not",
        likely=LARGE,
        atol=FAR,
    )


def rotated_gradients_flow(subject: Subject, draw: Draw) -> None:
    """The gradient of x is that of the specification."""
    inputs = [draw.normal(1, 1, 3, 4), torch.tensor([0, 2, 5]), 100.0]
    expect_gradients(subject, inputs, rotate_neighbours, "x", likely="detach, item or a new tensor")


CHECKS = {
    "3.1": (
        a_vector_for_each_place, positions_stay, place_zero_is_zeros_and_ones, one_pair_by_hand,
        the_second_pair_is_a_hundred_times_slower, sinusoids_equal_the_specification, far_places_and_many_channels,
    ),
    "3.2": (
        rotated_shape_and_type, vectors_and_positions_stay, place_zero_turns_nothing, one_pair_turns_by_hand,
        neighbours_turn_together, only_the_distance_counts, rotations_equal_the_specification, rotated_gradients_flow,
        rotations_at_any_size,
    ),
}  # fmt: skip
