"""Checks of chapter 06: counting parameters (6.3), and the network that will not remember (6.4)."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from tutorials.exercises.checks.answers import expect_choice, expect_measured, expect_sentence
from tutorials.exercises.judging import (
    LARGE,
    CheckError,
    Draw,
    expect_close,
    expect_close_when_large,
    expect_gradients,
    expect_small_fix,
    expect_tensor,
)
from tutorials.exercises.measure import MODEL_SHAPES
from tutorials.exercises.specs.ch06 import feed_forward, share_of
from tutorials.exercises.subject import Subject

PARTS = ("embedding", "attention", "mlp")

# ---- 6.3 -----------------------------------------------------------------------------------------------------------


def predictions_of_the_largest_part(subject: Subject, draw: Draw) -> None:
    """answers.toml has a prediction for each of the three models."""
    for name in MODEL_SHAPES:
        expect_choice(subject, f"prediction_{name}", PARTS)


def one_matrix_by_hand(subject: Subject, draw: Draw) -> None:
    """One channel, one layer, one neuron: every matrix is a number or a vector, and can be counted on paper."""
    V = draw.size(5, 9)
    total = V + 4 + 2
    for part, count in zip(PARTS, (V, 4, 2), strict=True):
        expect_close(
            subject(part, V, 1, 1, 1, 1, 2, True),
            count / total,
            f"V = {V}, one layer, one channel, one neuron: {V} + 4 + 2 = {total} numbers, {count} of them in {part}",
            likely="one table of tokens; queries, keys, values, projection; up and down",
            mistakes={
                "that is the count; divide it by the count of all": float(count),
                "a tied embedding counts once": (2 * V if part == "embedding" else count) / (total + V),
                "the projection of attention is missing": (3 if part == "attention" else count) / (total - 1),
                "a matrix of the MLP has C·hidden numbers, and not C·4C": (8 if part == "mlp" else count) / (total + 6),
                "that is per cent; all shares together are 1": 100 * count / total,
                "// drops the fraction; / keeps it": 0.0,
                "that is rounded; give the share as it is": round(count / total, 2),
            },
        )


def the_output_matrix_counts(subject: Subject, draw: Draw) -> None:
    """Not tied: the output matrix is as large as the table of tokens, and part of the embedding."""
    shape = (draw.size(20, 30), 2, 3, 3, 5, 2)
    for part in PARTS:
        expect_close(
            subject(part, *shape, False),
            share_of(part, *shape, False),
            f"{part}, where the output matrix is one of its own",
            mistakes={
                "the output matrix is not counted": share_of(part, *shape, True),
                "only one layer is counted": share_of(part, shape[0], 1, *shape[2:], False),
                "only one layer's MLP is counted": _one_of_two(part, shape[0], 72, 30),
                "only one layer's attention is counted": _one_of_two(part, shape[0], 36, 60),
            },
            likely="V·C once for the table, once for the output matrix",
        )


def _one_of_two(part: str, V: int, attention: int, mlp: int) -> float:
    """The share if two layers of 3 channels and 5 neurons had so many numbers; with both of them it is 72 and 60."""
    numbers = {"embedding": 2 * V * 3, "attention": attention, "mlp": mlp}
    return numbers[part] / sum(numbers.values())


def fewer_keys_than_queries(subject: Subject, draw: Draw) -> None:
    """Keys and values have fewer channels than queries: their two matrices are C·kv_channels each."""
    C = draw.size(8, 12)
    shape = (20, 2, C, 2, 5, 2, True)
    for part in PARTS:
        expect_close(
            subject(part, *shape),
            share_of(part, *shape),
            f"{part}: C = {C}, and keys and values of 2 channels",
            mistakes={
                "keys and values are counted as C·C": share_of(part, 20, 2, C, C, 5, 2, True),
                "all four matrices of attention are counted with kv_channels": _all_four(part, C),
            },
            likely="two matrices of C·C and two of C·kv_channels",
        )


def _all_four(part: str, C: int) -> float:
    """Each of the four is C·kv_channels."""
    numbers = {"embedding": 20 * C, "attention": 2 * 4 * C * 2, "mlp": 2 * 2 * C * 5}
    return numbers[part] / sum(numbers.values())


def shares_at_any_size(subject: Subject, draw: Draw) -> None:
    """Small models and large ones, two matrices and three: the list in specs/ch06.py."""
    for _ in range(12):
        channels = 64 * draw.size(1, 128)
        shape = (
            draw.size(200, 200_000), draw.size(1, 120), channels, channels // draw.size(1, 8), draw.size(64, 30_000),
            draw.size(2, 3), bool(draw.size(0, 1)),
        )  # fmt: skip
        for part in PARTS:
            always_two = share_of(part, *shape[:5], 2, shape[6])
            expect_close(
                subject(part, *shape),
                share_of(part, *shape),
                f"{part} of {shape}",
                mistakes={"the MLP is counted with two matrices; it has `mlp_matrices` of them": always_two},
                likely=LARGE,
            )


def the_shares_are_in_answers(subject: Subject, draw: Draw) -> None:
    """The six numbers in answers.toml are those that your function gives."""
    for name, shape in MODEL_SHAPES.items():
        for part in ("embedding", "mlp"):
            expect_measured(subject, f"{name}_{part}", subject(part, *shape))


def the_reason_for_the_shares(subject: Subject, draw: Draw) -> None:
    """answers.toml says why, in your own words; a person will read it."""
    expect_sentence(subject)


# ---- 6.4 -----------------------------------------------------------------------------------------------------------


def draw_mlp(draw: Draw, B: int, C: int, M: int) -> list[Tensor]:
    """x [B,C], up [M,C], down [C,M], of a size that keeps sums small."""
    return [draw.normal(B, C), draw.normal(M, C) / C**0.5, draw.normal(C, M) / M**0.5]


def a_sum_is_not_the_sum_of_its_parts(subject: Subject, draw: Draw) -> None:
    """f(a + b) = f(a) + f(b) holds for a matrix, and a matrix, however wide it is inside, cannot remember 48 facts."""
    a, up, down = draw_mlp(draw, *draw.sizes(3, 3, 6))
    b = draw.normal(*a.shape)
    both, parts = subject(a + b, up, down), [subject(a, up, down), subject(b, up, down)]
    for output in (both, *parts):
        expect_tensor(output, a.shape, "B C", torch.float32, "the output")
    if torch.allclose(both, parts[0] + parts[1], rtol=1e-4, atol=1e-6):
        raise CheckError(
            "for all a and b, f(a + b) is f(a) + f(b): the whole MLP does no more than one matrix could",
            expected=feed_forward(a + b, up, down),
            got=both,
            likely="nothing happens to the neurons between the two matrices",
        )


def neurons_by_hand(subject: Subject, draw: Draw) -> None:
    """Two neurons that read 1 and −1, of which the first counts 3 and the second 1."""
    x = torch.ones(1, 1)
    up, down = torch.tensor([[1.0], [-1.0]]), torch.tensor([[3.0, 1.0]])

    def gives(activation: Callable[[Tensor], Tensor]) -> Tensor:
        return 3 * activation(x) + activation(-x)

    expect_close(
        subject(x, up, down),
        gives(F.gelu),
        "the neurons read 1 and −1, and write 3 and 1: 3·gelu(1) + gelu(−1) = 3 · 0.8413 − 0.1587 = 2.3654",
        likely="the neurons pass through GELU once, between the two matrices",
        mistakes={
            "that is ReLU; the file says GELU": gives(F.relu),
            "that is tanh; the file says GELU": gives(torch.tanh),
            "the activation comes after the second matrix": F.gelu(2 * x),
            "the activation comes before the first matrix": 2 * F.gelu(x),
            "that is GELU's tanh approximation; the exact one is asked for": gives(
                lambda z: F.gelu(z, approximate="tanh")
            ),
        },
    )


def mlp_equals_the_specification(subject: Subject, draw: Draw) -> None:
    """Random inputs, small and large: the loops in specs/ch06.py."""
    inputs = draw_mlp(draw, *draw.sizes(3, 3, 6))
    expect_close(subject(*inputs), feed_forward(*inputs), "the output must be that of specs/ch06.py", likely=LARGE)
    for text, shape in (("B = 80", (80, 3, 4)), ("C = 150", (3, 150, 4)), ("M = 150", (3, 4, 150))):
        large = draw_mlp(draw, *shape)
        expected = F.gelu(large[0] @ large[1].T) @ large[2].T
        expect_close_when_large(subject(*large), expected, "B C", text)


def mlp_gradients_flow(subject: Subject, draw: Draw) -> None:
    """The gradients of input and weights are those of the specification."""
    inputs = draw_mlp(draw, 2, 3, 4)
    expect_gradients(subject, inputs, feed_forward, "x up down", likely="detach, item, or a tensor made of numbers")


def the_memory_is_mended_in_three_lines(subject: Subject, draw: Draw) -> None:
    """One to three lines of code differ from what was handed out."""
    expect_small_fix(subject)


CHECKS = {
    "6.3": (
        predictions_of_the_largest_part, one_matrix_by_hand, the_output_matrix_counts, fewer_keys_than_queries,
        shares_at_any_size, the_shares_are_in_answers, the_reason_for_the_shares,
    ),
    "6.4": (
        a_sum_is_not_the_sum_of_its_parts, neurons_by_hand, mlp_equals_the_specification, mlp_gradients_flow,
        the_memory_is_mended_in_three_lines,
    ),
}  # fmt: skip
