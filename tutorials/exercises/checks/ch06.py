"""Checks of chapter 06: a block (6.1), and one whose parts work side by side (6.2)."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from tutorials.exercises.judging import (
    Check,
    CheckError,
    Draw,
    expect_close,
    expect_close_when_large,
    expect_gradients,
    expect_tensor,
    expect_unchanged,
)
from tutorials.exercises.specs import ch06 as spec
from tutorials.exercises.subject import Subject

EPSILON = 1e-5
Attention = Callable[[Tensor], Tensor]


def mean_of_the_past(x: Tensor) -> Tensor:
    """An attention that is easy to follow: all weights of a token are equal."""
    return x.cumsum(dim=1) / torch.arange(1, x.shape[1] + 1)[:, None]  # [B,T,C]


def nothing(x: Tensor) -> Tensor:
    """An attention that adds nothing."""
    return torch.zeros_like(x)


class Recorder:
    """An attention that remembers what it was given."""

    def __init__(self) -> None:
        self.given: list[Tensor] = []

    def __call__(self, x: Tensor) -> Tensor:
        self.given.append(x.detach().clone())
        return mean_of_the_past(x)


class Kind:
    """One of the two blocks: its specification, how many norms it has, and its likely mistakes."""

    def __init__(self, norms: int, specification: Callable[..., Tensor]) -> None:
        self.norms, self.spec = norms, specification

    def inputs(self, draw: Draw, B: int, T: int, C: int, M: int, attention: Attention = mean_of_the_past) -> list:
        """x, the attention, the norms' weights, the MLP's matrices, ε."""
        weights = [1 + 0.5 * draw.normal(C) for _ in range(self.norms)]
        x = draw.normal(B, T, C)
        x = x + x.sign()  # no number near 0, where ε would count
        return [x, attention, *weights, draw.normal(M, C), draw.normal(C, M), EPSILON]

    def small(self, draw: Draw, attention: Attention = mean_of_the_past) -> list:
        """A small case in which B, T, C and M differ."""
        return self.inputs(draw, *draw.sizes(4, 2, 6), attention)


SERIAL, PARALLEL = Kind(2, spec.block), Kind(1, spec.parallel_block)


def rms(x: Tensor, weight: Tensor) -> Tensor:
    """RMSNorm, a whole tensor at a time."""
    return F.rms_norm(x, x.shape[-1:], weight, EPSILON)


def has_the_streams_shape(kind: Kind) -> Check:
    """The output has the shape and the type of x."""

    def check(subject: Subject, draw: Draw) -> None:
        inputs = kind.small(draw)
        expect_tensor(subject(*inputs), inputs[0].shape, "B T C", torch.float32, "the output")

    return check


def leaves_its_inputs(kind: Kind) -> Check:
    """The stream and all weights are left as they are."""

    def check(subject: Subject, draw: Draw) -> None:
        inputs = kind.small(draw)
        norms = " ".join(f"norm{number}" for number in range(kind.norms))
        arguments = [a for a in inputs if not callable(a)]
        before = [a.clone() if isinstance(a, Tensor) else a for a in arguments]
        after = [a for a in subject.arguments_after(*inputs) if a is not None]
        for name, was, now in zip(f"x {norms} up down epsilon".split(), before, after, strict=True):
            same = torch.equal(was, now) if isinstance(was, Tensor) else was == now
            if not same:
                raise CheckError(
                    f"{name} must stay as it is: whoever calls the function still needs it",
                    expected=was,
                    got=now,
                    likely="an operation in place: += on the stream changes it for everybody; write x = x + …",
                )

    return check


def adds_nothing_if_nothing_is_found(kind: Kind) -> Check:
    """Attention and MLP both give 0: the stream goes through as it is."""

    def check(subject: Subject, draw: Draw) -> None:
        inputs = kind.small(draw, nothing)
        inputs[-2] = torch.zeros_like(inputs[-2])
        x, weight = inputs[0], inputs[2]
        mistakes = {
            "the stream itself is normed; only what attention and MLP READ is": rms(x, weight),
            "x is missing: what attention and MLP give must be ADDED to it": torch.zeros_like(x),
            "x is added twice": 2 * x,
        }
        if kind.norms == 2:
            second = inputs[3]
            mistakes |= {
                "the stream itself is normed, before the MLP; only what is READ is": rms(x, second),
                "the stream itself is normed, twice; only what attention and MLP READ is": rms(rms(x, weight), second),
            }
        expect_close(
            subject(*inputs),
            x,
            "attention gives 0 and the MLP gives 0, so the output must be x itself",
            given={"x": x},
            likely="the stream must reach the end as it is: only what attention and MLP READ is normed",
            mistakes=mistakes,
        )

    return check


def norms_what_attention_reads(kind: Kind) -> Check:
    """Attention is called once, and reads the stream through the norm."""

    def check(subject: Subject, draw: Draw) -> None:
        attention = Recorder()
        inputs = kind.small(draw, attention)
        subject(*inputs)
        if len(attention.given) != 1:
            raise CheckError(
                "attention must be called once",
                expected=1,
                got=len(attention.given),
                likely="call it once and keep what it gives in a variable",
            )
        x, weight = inputs[0], inputs[2]
        mean, spread = x.mean(-1, keepdim=True), x.var(-1, keepdim=True, unbiased=False)
        size = (x.square().mean((1, 2), keepdim=True) + EPSILON).sqrt()
        mistakes = {
            "attention reads the stream without a norm": x,
            "the weight of the norm is missing": rms(x, torch.ones_like(weight)),
            "that is LayerNorm: RMSNorm does not subtract the mean": (x - mean) / (spread + EPSILON).sqrt() * weight,
            "the sum of squares instead of their mean": rms(x, weight) / x.shape[-1] ** 0.5,
            "the mean runs over the tokens as well, so a later token changes an earlier one": x / size * weight,
            "the mean runs over the tokens instead of the channels": (
                x / (x.square().mean(1, keepdim=True) + EPSILON).sqrt() * weight
            ),
            "the mean runs over all numbers of the batch": x / (x.square().mean() + EPSILON).sqrt() * weight,
            "the root is missing": x / (x.square().mean(-1, keepdim=True) + EPSILON) * weight,
            "that is the standard deviation, which subtracts the mean; RMSNorm does not": (
                x / (x.std(-1, keepdim=True) + EPSILON) * weight
            ),
        }
        if kind.norms == 2:
            mistakes["the two norms have changed places"] = rms(x, inputs[3])
        expect_close(
            attention.given[0],
            rms(x, weight),
            "what attention is given must be x / √(mean(x²) + ε) · weight, token by token",
            given={"x": x, "weight": weight},
            mistakes=mistakes,
            likely="the mean of the squares runs over the channels, the last axis",
        )

    return check


def adds_what_attention_gives(kind: Kind) -> Check:
    """The MLP gives 0: the output is x + attention(norm(x))."""

    def check(subject: Subject, draw: Draw) -> None:
        inputs = kind.small(draw)
        inputs[-2] = torch.zeros_like(inputs[-2])
        x, weight = inputs[0], inputs[2]
        expect_close(
            subject(*inputs),
            x + mean_of_the_past(rms(x, weight)),
            "the MLP gives 0 here, so the output must be x + attention(norm(x))",
            given={"x": x},
            mistakes={"what attention gives is not added": x},
            likely="the result of attention is changed on its way into the stream",
        )

    return check


def two_neurons_by_hand(kind: Kind) -> Check:
    """One channel, two neurons: x = 2 is normed to 1, and 3·gelu(1) + 2·gelu(−1) = 2.2066 is added to x."""

    def check(subject: Subject, draw: Draw) -> None:
        sign = 1.0 if draw.size(0, 1) else -1.0
        ones = [torch.ones(1) for _ in range(kind.norms)]
        x, up, down = torch.full((1, 1, 1), 2 * sign), torch.tensor([[1.0], [-1.0]]), torch.tensor([[3.0, 2.0]])

        def gives(activation: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
            return x + 3 * activation(z) + 2 * activation(-z)

        z = x / 2  # what the neurons read, up to ε
        expect_close(
            subject(x, nothing, *ones, up, down, EPSILON),
            gives(F.gelu, z),
            f"attention gives 0; x = {2 * sign:.0f} is normed to {sign:.0f}; the neurons read {sign:.0f} and "
            f"{-sign:.0f}; added to x is 3·gelu({sign:.0f}) + 2·gelu({-sign:.0f})",
            mistakes={
                "there is no activation between the two matrices": gives(lambda number: number, z),
                "that is ReLU, not GELU": gives(F.relu, z),
                "that is SiLU, not GELU": gives(F.silu, z),
                "that is GELU's tanh approximation; the exact one is asked for": gives(
                    lambda number: F.gelu(number, approximate="tanh"), z
                ),
                "the MLP reads the stream without a norm": gives(F.gelu, x),
                "what the MLP gives is not added": x,
            },
            likely="the MLP is down · gelu(up · norm(x)), and it is added to the stream",
            rtol=1e-5,
        )

    return check


def equals_the_specification(kind: Kind) -> Check:
    """Random streams and weights: the loops in specs/ch06.py."""

    def check(subject: Subject, draw: Draw) -> None:
        inputs = kind.small(draw)
        mistakes = {}
        if kind.norms == 2:
            x, _, first, second, up, down, _ = inputs
            after = x + mean_of_the_past(rms(x, first))
            mistakes = {
                "the MLP reads the stream as it was BEFORE attention": after + F.gelu(rms(x, second) @ up.T) @ down.T,
                "the MLP reads through the norm of attention": after + F.gelu(rms(after, first) @ up.T) @ down.T,
            }
        else:
            x, _, norm, up, down, _ = inputs
            after = x + mean_of_the_past(rms(x, norm))
            mistakes = {
                "the MLP reads the stream AFTER attention; side by side, both read x": after
                + F.gelu(rms(after, norm) @ up.T) @ down.T
            }
        expect_close(
            subject(*inputs),
            kind.spec(*inputs),
            "the output must be that of specs/ch06.py",
            mistakes=mistakes,
            likely="the MLP reads something else than it should, or an axis is mixed up",
            rtol=1e-3,
            atol=1e-4,
        )

    return check


def uses_epsilon(kind: Kind) -> Check:
    """A stream of very small numbers, and one of zeros: there ε decides."""

    def check(subject: Subject, draw: Draw) -> None:
        for scale in (1e-3, 0.0):
            inputs = kind.small(draw)
            inputs[0] = inputs[0] * scale
            expect_close(
                subject(*inputs),
                kind.spec(*inputs),
                f"all numbers of x are about {scale}, so that ε = {EPSILON} is not small beside their squares",
                likely="ε stands inside the root, and added to the mean of the squares",
                not_finite="0 divided by 0: where is ε?",
            )

    return check


def lets_gradients_flow(kind: Kind) -> Check:
    """The gradients of the stream and of all weights are those of the specification."""

    def check(subject: Subject, draw: Draw) -> None:
        inputs = kind.inputs(draw, 1, 2, 3, 4)
        names = "stream weight weight up down" if kind.norms == 2 else "stream weight up down"
        expect_gradients(subject, inputs, kind.spec, names, likely="detach, item, or a tensor made of numbers")

    return check


def right_at_any_size(kind: Kind) -> Check:
    """Many sequences, long texts, wide streams, many neurons."""

    def check(subject: Subject, draw: Draw) -> None:
        sizes = {
            "B = {}": (draw.size(70, 90), 2, 3, 4),
            "T = {}": (2, draw.size(130, 160), 3, 4),
            "C = {}": (2, 3, draw.size(130, 160), 5),
            "M = {}": (2, 3, 4, draw.size(130, 160)),
        }
        for text, shape in sizes.items():
            inputs = kind.inputs(draw, *shape)
            inputs[-3] = inputs[-3] / inputs[0].shape[-1] ** 0.5
            inputs[-2] = inputs[-2] / len(inputs[-3]) ** 0.5
            expect_close_when_large(subject(*inputs), quick(kind, inputs), "B T C", text.format(max(shape)))

    return check


def quick(kind: Kind, inputs: list) -> Tensor:
    """The specification, a whole tensor at a time."""
    x, attention, *norms, up, down, _ = inputs
    after = x + attention(rms(x, norms[0]))
    read = rms(after, norms[1]) if kind.norms == 2 else rms(x, norms[0])
    return after + F.gelu(read @ up.T) @ down.T


MAKERS = (
    has_the_streams_shape, leaves_its_inputs, adds_nothing_if_nothing_is_found, norms_what_attention_reads,
    adds_what_attention_gives, two_neurons_by_hand, equals_the_specification, uses_epsilon, lets_gradients_flow,
    right_at_any_size,
)  # fmt: skip


def checks_of(prefix: str, kind: Kind) -> tuple[Check, ...]:
    """The checks for one kind of block, each with a name of its own."""
    checks = []
    for make in MAKERS:
        check = make(kind)
        check.__name__, check.__doc__ = f"{prefix}_{make.__name__}", make.__doc__
        checks.append(check)
    return tuple(checks)


CHECKS = {"6.1": checks_of("block", SERIAL), "6.2": checks_of("parallel", PARALLEL)}
