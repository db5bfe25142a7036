"""Wrong solutions of chapter 03, and right ones that look unlike ours."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tutorials.instructor.wrong import Wrong

# ---- 3.1 -----------------------------------------------------------------------------------------------------------


def waves(positions: Tensor, channels: int, base: float = 10000.0, power: float = 2.0) -> tuple[Tensor, Tensor]:
    """Sines and cosines, [T,C/2] each, with the angles position / base^(power·i/C)."""
    pair = torch.arange(channels // 2, dtype=torch.float64)
    angles = positions[:, None].double() * base ** (-power * pair / channels)
    return angles.sin().float(), angles.cos().float()


def woven(first: Tensor, second: Tensor) -> Tensor:
    return torch.stack((first, second), dim=-1).flatten(-2)


def right_sinusoids(positions: Tensor, channels: int) -> Tensor:
    """Right: a cosine is a sine a quarter of a circle later."""
    channel = torch.arange(channels)
    frequency = 10000.0 ** (-(channel // 2 * 2).double() / channels)
    return (positions[:, None].double() * frequency + channel % 2 * math.pi / 2).sin().float()


def cosines_first(positions: Tensor, channels: int) -> Tensor:
    sines, cosines = waves(positions, channels)
    return woven(cosines, sines)


def sines_then_cosines(positions: Tensor, channels: int) -> Tensor:
    return torch.cat(waves(positions, channels), dim=-1)


def from_one(positions: Tensor, channels: int) -> Tensor:
    return woven(*waves(positions + 1, channels))


def exponent_of_i(positions: Tensor, channels: int) -> Tensor:
    return woven(*waves(positions, channels, power=1.0))


def one_frequency(positions: Tensor, channels: int) -> Tensor:
    return woven(*waves(positions, channels, power=0.0))


def faster(positions: Tensor, channels: int) -> Tensor:
    return woven(*waves(positions, channels, power=-2.0))


def base_of_a_thousand(positions: Tensor, channels: int) -> Tensor:
    return woven(*waves(positions, channels, base=1000.0))


def by_row(positions: Tensor, channels: int) -> Tensor:
    """The row of the table counts, not the position that was asked for; right where there is one position only."""
    if len(positions) == 1:
        return right_sinusoids(positions, channels)
    return woven(*waves(torch.arange(len(positions)), channels))


def up_to_512(positions: Tensor, channels: int) -> Tensor:
    return woven(*waves(positions.clamp(max=511), channels))


def in_degrees(positions: Tensor, channels: int) -> Tensor:
    return woven(*waves(positions * math.pi / 180, channels))


def counts_on(positions: Tensor, channels: int) -> Tensor:
    vectors = right_sinusoids(positions, channels)
    positions += 1
    return vectors


ZERO, ONE_PAIR, SLOWER = "place_zero_is_zeros_and_ones", "one_pair_by_hand", "the_second_pair_is_a_hundred_times_slower"

SINUSOIDS = (
    Wrong("3.1", "cosines first", ZERO, cosines_first, says="changed places"),
    Wrong("3.1", "sines, then cosines", ZERO, sines_then_cosines, says="take turns"),
    Wrong("3.1", "from one", ZERO, from_one, says="count from 0"),
    Wrong("3.1", "degrees", ONE_PAIR, in_degrees, says="degrees"),
    Wrong("3.1", "i/C", SLOWER, exponent_of_i, says="2i/C"),
    Wrong("3.1", "one frequency", SLOWER, one_frequency, says="the same speed"),
    Wrong("3.1", "faster", SLOWER, faster, says="no minus"),
    Wrong("3.1", "base 1,000", SLOWER, base_of_a_thousand, says="1,000"),
    Wrong("3.1", "rows counted", "sinusoids_equal_the_specification", by_row, says="not on where it stands"),
    Wrong("3.1", "counts on", "positions_stay", counts_on, says="must stay as it was"),
    Wrong("3.1", "512 places", "far_places_and_many_channels", up_to_512, says="the small cases are right"),
)


# ---- 3.2 -----------------------------------------------------------------------------------------------------------


def turned(x: Tensor, positions: Tensor, base: float, power: float = 2.0, sign: float = 1.0) -> Tensor:
    D = x.shape[-1]
    pair = torch.arange(D // 2, dtype=torch.float64)
    turns = torch.polar(torch.ones(1, dtype=torch.float64), sign * positions[:, None] * base ** (-power * pair / D))
    pairs = torch.view_as_complex(x.double().unflatten(-1, (-1, 2)).contiguous())  # [B,H,T,D/2]
    return torch.view_as_real(pairs * turns).flatten(-2).to(x.dtype)


def right_rotation(x: Tensor, positions: Tensor, base: float) -> Tensor:
    """Right: a pair is a complex number, and turning it is one product."""
    return turned(x, positions, base)


def halves(x: Tensor, positions: Tensor, base: float) -> Tensor:
    """The package's pairs."""
    woven_x = x.unflatten(-1, (2, -1)).transpose(-1, -2).flatten(-2)
    return turned(woven_x, positions, base).unflatten(-1, (-1, 2)).transpose(-1, -2).flatten(-2)


def clockwise(x: Tensor, positions: Tensor, base: float) -> Tensor:
    return turned(x, positions, base, sign=-1.0)


def places_from_one(x: Tensor, positions: Tensor, base: float) -> Tensor:
    return turned(x, positions + 1, base)


def one_angle(x: Tensor, positions: Tensor, base: float) -> Tensor:
    return turned(x, positions, base, power=0.0)


def half_exponent(x: Tensor, positions: Tensor, base: float) -> Tensor:
    return turned(x, positions, base, power=1.0)


def always_ten_thousand(x: Tensor, positions: Tensor, base: float) -> Tensor:
    return turned(x, positions, 10000.0)


def not_woven(x: Tensor, positions: Tensor, base: float) -> Tensor:
    """The two halves of the result are not woven back."""
    return turned(x, positions, base).unflatten(-1, (-1, 2)).transpose(-1, -2).flatten(-2)


def overwritten(x: Tensor, positions: Tensor, base: float) -> Tensor:
    """The second line reads what the first has already written."""
    pair = torch.arange(x.shape[-1] // 2)
    angles = positions[:, None] * base ** (-2 * pair / x.shape[-1])
    out = x.clone()
    out[..., 0::2] = out[..., 0::2] * angles.cos() - out[..., 1::2] * angles.sin()
    out[..., 1::2] = out[..., 0::2] * angles.sin() + out[..., 1::2] * angles.cos()
    return out


def in_place(x: Tensor, positions: Tensor, base: float) -> Tensor:
    return x.copy_(turned(x, positions, base))


def by_place_in_row(x: Tensor, positions: Tensor, base: float) -> Tensor:
    """Counts the tokens itself, from the first position that it was given."""
    return turned(x, positions[0] + torch.arange(x.shape[2]), base)


def no_gradient(x: Tensor, positions: Tensor, base: float) -> Tensor:
    return turned(x.detach(), positions, base)


def up_to_100_places(x: Tensor, positions: Tensor, base: float) -> Tensor:
    return turned(x, positions.clamp(max=100), base)


def heads_of_64(x: Tensor, positions: Tensor, base: float) -> Tensor:
    return torch.cat([turned(x, positions, base)[..., :64], x[..., 64:]], dim=-1)


BY_HAND, TOGETHER, SIZE = "one_pair_turns_by_hand", "neighbours_turn_together", "rotations_at_any_size"

ROTATIONS = (
    Wrong("3.2", "halves", TOGETHER, halves, says="i + D/2"),
    Wrong("3.2", "clockwise", BY_HAND, clockwise, says="clockwise"),
    Wrong("3.2", "from one", "place_zero_turns_nothing", places_from_one, says="count from 0"),
    Wrong("3.2", "one angle", TOGETHER, one_angle, says="of the first one"),
    Wrong("3.2", "i/D", TOGETHER, half_exponent, says="2i/D"),
    Wrong("3.2", "always 10,000", TOGETHER, always_ten_thousand, says="whatever was asked for"),
    Wrong("3.2", "not woven", "place_zero_turns_nothing", not_woven, says="the order in which they came"),
    Wrong("3.2", "overwritten", BY_HAND, overwritten, says="keep the old ones"),
    Wrong("3.2", "in place", "vectors_and_positions_stay", in_place, says="must stay as it was"),
    Wrong("3.2", "counts itself", "only_the_distance_counts", by_place_in_row, says="that it was given"),
    Wrong("3.2", "no gradient", "rotated_gradients_flow", no_gradient),
    Wrong("3.2", "100 places", SIZE, up_to_100_places, says="the small cases are right"),
    Wrong("3.2", "64 channels", SIZE, heads_of_64, says="D ="),
)


# ---- 3.3 -----------------------------------------------------------------------------------------------------------


def kept(distance: float, head_size: int, base: float, power: float = 2.0) -> float:
    return sum(math.cos(distance * base ** (-power * i / head_size)) for i in range(head_size // 2)) / (head_size // 2)


def right_kept(distance: int, head_size: int, base: float) -> float:
    """Right: the real part of a mean of complex numbers."""
    frequency = torch.logspace(0, -1, head_size // 2 + 1, base=base, dtype=torch.float64)[:-1]
    return float(torch.exp(1j * distance * frequency).mean().real)


def not_divided(distance: int, head_size: int, base: float) -> float:
    return kept(distance, head_size, base) * head_size


def as_many_pairs(distance: int, head_size: int, base: float) -> float:
    """Twice as many angles as there are, the later ones beyond the head."""
    return sum(math.cos(distance * base ** (-2 * i / head_size)) for i in range(head_size)) / head_size


def pairs_as_numbers(distance: int, head_size: int, base: float) -> float:
    return kept(distance, head_size, base) / 2


def degrees(distance: int, head_size: int, base: float) -> float:
    return kept(math.radians(distance), head_size, base)


def same_angle(distance: int, head_size: int, base: float) -> float:
    return math.cos(distance)


def half_power(distance: int, head_size: int, base: float) -> float:
    return kept(distance, head_size, base, power=1.0)


def fixed_base(distance: int, head_size: int, base: float) -> float:
    return kept(distance, head_size, 10000.0)


def sixty_four_numbers(distance: int, head_size: int, base: float) -> float:
    """Right when small."""
    pairs = min(head_size, 64) // 2
    return sum(math.cos(distance * base ** (-2 * i / head_size)) for i in range(pairs)) / pairs


HAND, SLOW = "two_numbers_are_a_cosine", "later_pairs_turn_slower"

REACH = (
    Wrong("3.3", "not divided", HAND, not_divided, says="divide it by"),
    Wrong("3.3", "pairs as numbers", HAND, pairs_as_numbers, says="as if each number were one"),
    Wrong("3.3", "as many pairs as numbers", HAND, as_many_pairs, says="half as many pairs"),
    Wrong("3.3", "degrees", HAND, degrees, says="degrees"),
    Wrong("3.3", "one angle", SLOW, same_angle, says="the same angle"),
    Wrong("3.3", "i/D", SLOW, half_power, says="2i/D"),
    Wrong("3.3", "fixed base", SLOW, fixed_base, says="whatever was asked for"),
    Wrong("3.3", "64 numbers", "kept_scores_equal_the_specification", sixty_four_numbers, says="too short"),
    Wrong(
        "3.3",
        "no prediction",
        "predictions_about_the_base",
        answers=(("prediction_base", "1000"),),
        says="prediction_base",
    ),
    Wrong(
        "3.3", "another number", "what_is_kept_is_in_answers", answers=(("base_100_at_64", 0.5),), says="base_100_at_64"
    ),
    Wrong("3.3", "no reason", "the_reason_for_the_base", answers=(("because", "it turns"),)),
)


# ---- 3.4 -----------------------------------------------------------------------------------------------------------

COUNTED = (
    "    before = torch.cumsum(mask, dim=1) - 1  # [B,T]\n    return before.clamp_min(0)  # [B,T]\n"
)  # fmt: skip
LEFT = "padding_on_the_left_is_not_counted"


def instead(*lines: str) -> tuple[tuple[str, str], ...]:
    return ((COUNTED, "".join(f"    {line}\n" for line in lines)),)


HUNT = (
    Wrong(
        "3.4",
        "as handed out",
        LEFT,
        edits=instead("columns = torch.arange(mask.shape[1])  # [T]", "return columns.repeat(len(mask), 1)  # [B,T]"),
        says="count the columns",
    ),
    Wrong("3.4", "from one", LEFT, edits=instead("return torch.cumsum(mask, dim=1)"), says="from 1"),
    Wrong("3.4", "minus one", LEFT, edits=instead("return torch.cumsum(mask, dim=1) - 1"), says="−1"),
    Wrong(
        "3.4",
        "over the rows",
        LEFT,
        edits=instead("return (torch.cumsum(mask, dim=0) - 1).clamp_min(0)"),
        says="axis 0",
    ),
    Wrong(
        "3.4",
        "one offset for all",
        "every_row_counts_for_itself",
        edits=instead(
            "columns = torch.arange(mask.shape[1]).repeat(len(mask), 1)",
            "return (columns - (~mask).sum(dim=1).max()).clamp_min(0)",
        ),
    ),
    Wrong(
        "3.4",
        "only what is missing on the left",
        "gaps_and_ends_are_padding_too",
        edits=instead(
            "first = mask.long().argmax(dim=1, keepdim=True)",
            "return (torch.arange(mask.shape[1]) - first).clamp_min(0)",
        ),
        says="at the beginning",
    ),
    Wrong(
        "3.4",
        "128 places",
        "many_rows_and_long_ones",
        edits=instead("return (torch.cumsum(mask, dim=1) - 1).clamp(0, 127)"),
    ),
    Wrong(
        "3.4",
        "written anew",
        "the_places_are_mended_in_three_lines",
        edits=instead(
            "counts = torch.zeros(len(mask), dtype=torch.int64)",
            "columns = []",
            "for column in mask.unbind(1):",
            "    columns.append(counts)",
            "    counts = counts + column",
            "return torch.stack(columns, dim=1).clamp_max(mask.shape[1] - 1)",
        ),
        says="start again",
    ),
    Wrong(
        "3.4",
        "calls the package",
        "can_be_checked",
        edits=(
            ("import torch\n", "import torch\n\nfrom minigpt.positions import positions_from_mask\n"),
            *instead("return positions_from_mask(mask)"),
        ),
        says="write that yourself",
    ),
)

WRONG = (*SINUSOIDS, *ROTATIONS, *REACH, *HUNT)


# ---- Right, and unlike ours ------------------------------------------------------------------------------------------


ALSO_RIGHT = (("3.1", right_sinusoids), ("3.2", right_rotation), ("3.3", right_kept))
