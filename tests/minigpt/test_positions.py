"""Positions: the formulas against loops, and the property each kind is chosen for."""

import math

import pytest
import torch
from torch.testing import assert_close

from minigpt.positions import RotaryPositions, positions_from_mask, rotary_tables, rotate, sinusoidal_table


def test_sinusoids_are_those_of_the_paper() -> None:
    context, channels = 9, 6
    table = sinusoidal_table(context, channels)
    for pos in range(context):
        for i in range(channels // 2):
            angle = pos / 10000 ** (2 * i / channels)  # Vaswani et al. 2017, section 3.5
            assert table[pos, 2 * i].item() == pytest.approx(math.sin(angle), abs=1e-6), "sines go on even channels"
            assert table[pos, 2 * i + 1].item() == pytest.approx(math.cos(angle), abs=1e-6), (
                "cosines go on odd channels"
            )


def test_a_shift_of_sinusoids_is_one_fixed_linear_map() -> None:
    """The paper's reason for sinusoids: PE(pos + k) is a rotation of PE(pos) that does not depend on pos."""
    table, shift, channels = sinusoidal_table(40, 8).double(), 5, 8
    for i in range(channels // 2):
        turn = shift / 10000 ** (2 * i / channels)
        matrix = torch.tensor(
            [[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]], dtype=torch.float64
        )
        pair = table[:, 2 * i : 2 * i + 2]  # [T,2]
        assert_close(pair[shift:], pair[:-shift] @ matrix.T, rtol=0, atol=1e-6)


def test_rotary_turns_channel_i_with_channel_i_plus_half() -> None:
    context, head_size, base = 7, 6, 100.0
    x = torch.randn(1, 1, context, head_size, generator=torch.Generator().manual_seed(0))
    cos, sin = RotaryPositions(context, head_size, base)(torch.arange(context))
    turned = rotate(x, cos, sin)
    for pos in range(context):
        for i in range(head_size // 2):
            angle = pos * base ** (-2 * i / head_size)
            first, second = x[0, 0, pos, i].item(), x[0, 0, pos, i + head_size // 2].item()
            expected = complex(first, second) * complex(math.cos(angle), math.sin(angle))
            message = "LLaMA pairs i with i + D/2, not 2i with 2i + 1"
            assert turned[0, 0, pos, i].item() == pytest.approx(expected.real, abs=1e-5), message
            assert turned[0, 0, pos, i + head_size // 2].item() == pytest.approx(expected.imag, abs=1e-5), message


def test_rotary_scores_depend_on_the_distance_only() -> None:
    context, head_size = 30, 8
    generator = torch.Generator().manual_seed(1)
    query = torch.randn(head_size, generator=generator, dtype=torch.float64)
    key = torch.randn(head_size, generator=generator, dtype=torch.float64)
    cos, sin = (table.double() for table in rotary_tables(context, head_size, 10000.0))
    queries = rotate(query.expand(1, 1, context, head_size), cos, sin)[0, 0]  # [T,D], the same query everywhere
    keys = rotate(key.expand(1, 1, context, head_size), cos, sin)[0, 0]  # [T,D]
    scores = queries @ keys.T  # [T,T]
    for distance in range(-context + 1, context):
        diagonal = scores.diagonal(distance)
        assert_close(diagonal, diagonal[:1].expand_as(diagonal), rtol=0, atol=1e-5)
    assert scores[0].std() > 0.1, "scores do not depend on the distance at all: nothing was turned"


def test_rotary_keeps_lengths() -> None:
    x = torch.randn(2, 3, 10, 4, generator=torch.Generator().manual_seed(2))
    cos, sin = rotary_tables(10, 4, 10000.0)
    assert_close(rotate(x, cos, sin).norm(dim=-1), x.norm(dim=-1), rtol=1e-5, atol=1e-6)


def test_positions_count_real_tokens() -> None:
    mask = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 0], [1, 1, 1, 1]], dtype=torch.bool)
    expected = torch.tensor([[0, 0, 0, 1], [0, 1, 2, 2], [0, 1, 2, 3]])
    assert torch.equal(positions_from_mask(mask), expected), "padding on the left must not shift positions"
