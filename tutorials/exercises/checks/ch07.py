"""Checks of chapter 07: a step of AdamW (7.1), and a schedule (7.2)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tutorials.exercises.judging import (
    LARGE,
    Draw,
    expect_close,
    expect_close_when_large,
    expect_tensor,
    expect_unchanged,
)
from tutorials.exercises.specs import ch07 as spec
from tutorials.exercises.subject import Subject

ARGUMENTS = "state gradient step rate beta1 beta2 epsilon decay"

# ---- 7.1 -----------------------------------------------------------------------------------------------------------


def arguments(state: Tensor, gradient: Tensor, step: int = 1, **settings: float) -> list[Any]:
    """The arguments of adamw_step, in order; settings that are not given are common ones, without decay."""
    usual = {"rate": 0.01, "beta1": 0.9, "beta2": 0.95, "epsilon": 1e-8, "decay": 0.0} | settings
    return [state, gradient, step, *usual.values()]


def drawn_state(draw: Draw, N: int) -> tuple[Tensor, Tensor]:
    """A state in the middle of a run [3,N], and a gradient [N] that is nowhere near 0."""
    gradient, first = (draw.normal(N) for _ in range(2))
    gradient, first = gradient + gradient.sign(), first + first.sign()
    return torch.stack([draw.normal(N), first, 1 + draw.normal(N).square()]), gradient


def first_state(N: int) -> Tensor:
    """Weights and moments of 0."""
    return torch.zeros(3, N)


def three_rows_stay_three_rows(subject: Subject, draw: Draw) -> None:
    """The new state has the shape and the type of the old one."""
    N = draw.size(4, 7)
    state, gradient = drawn_state(draw, N)
    expect_tensor(subject(*arguments(state, gradient)), (3, N), "rows N", torch.float32, "the new state")


def state_and_gradient_stay(subject: Subject, draw: Draw) -> None:
    """The old state and the gradient are left as they are."""
    state, gradient = drawn_state(draw, draw.size(4, 7))
    expect_unchanged(subject, *arguments(state, gradient), names=ARGUMENTS)


def the_first_step_is_one_rate_long(subject: Subject, draw: Draw) -> None:
    """At the first step every weight moves by the rate, however large its gradient is, and against its sign."""
    N = draw.size(4, 6)
    gradient = draw.normal(N).sign() * torch.tensor([0.01, 1.0, 100.0, 3.0, 0.2, 40.0][:N])
    b1, b2, rate = 0.75, 0.84, 0.5  # chosen so that no two of the mistakes below give the same numbers
    right = -rate * gradient.sign()
    a1, a2 = 1 - b1, 1 - b2
    expect_close(
        subject(*arguments(first_state(N), gradient, rate=rate, beta1=b1, beta2=b2))[0],
        right,
        "step 1, weights 0, moments 0: m̂ / √v̂ is gradient / |gradient|, so each weight must become −rate or rate",
        given={"gradient": gradient, "rate": rate, "β1": b1, "β2": b2},
        mistakes={
            "the moments are not corrected: both begin at 0": right * a1 / a2**0.5,
            "the first moment is not corrected": right * a1,
            "the second moment is not corrected": right / a2**0.5,
            "both moments are corrected with β1; v has β2": right * (a1 / a2) ** 0.5,
            "both moments are corrected with β2; m has β1": right * a1 / a2,
            "the gradient is added whole; its share is 1 − β": right / a1 * a2**0.5,
            "the gradient is added whole to m; its share is 1 − β1": right / a1,
            "β is the share of what is OLD, 1 − β that of the gradient": right * (b1 / a1) / (b2 / a2) ** 0.5,
            "in m, β1 is the share of what is OLD, 1 − β1 that of the gradient": right * b1 / a1,
            "β1 belongs to m and β2 to v, and they have changed places": right * (a2 / a1) ** 1.5,
            "row 0 of the result is the first moment; the rows are weights, m, v": a1 * gradient,
            "row 0 of the result is the second moment; the rows are weights, m, v": a2 * gradient.square(),
            "uphill: the loss falls AGAINST the gradient": -right,
            "that is plain gradient descent: where is the size of the gradient divided out?": -rate * gradient,
            "divided by v̂, not by its root": -rate / gradient,
            "step counts from 1 already; this is the correction of step 2": right * (1 + b2) ** 0.5 / (1 + b1),
        },
        likely="a moment is not corrected, or not divided by the root of the other",
        not_finite="0 divided by 0: is step − 1 in the exponent? or a root of a negative number: v is made of SQUARES",
    )


def moments_by_hand(subject: Subject, draw: Draw) -> None:
    """β1 = ¾, β2 = ½, and moments of 2 and 8: with a gradient of 4 they become 2.5 and 12."""
    sign = 1.0 if draw.size(0, 1) else -1.0
    state, gradient = torch.tensor([[0.0], [2.0 * sign], [8.0]]), torch.tensor([4.0 * sign])

    def rows(first: float, second: float) -> Tensor:
        return torch.tensor([[first * sign], [second]])

    expect_close(
        subject(*arguments(state, gradient, 2, beta1=0.75, beta2=0.5))[1:],
        rows(2.5, 12.0),
        "m = ¾·2 + ¼·4 = 2.5 (with the sign of the gradient), v = ½·8 + ½·16 = 12",
        mistakes={
            "the gradient is added whole; its share is 1 − β": rows(0.75 * 2 + 4, 0.5 * 8 + 16),
            "the two β have changed places": rows(3.0, 0.75 * 8 + 0.25 * 16),
            "β is the share of what is OLD, 1 − β that of the gradient": rows(0.25 * 2 + 0.75 * 4, 12.0),
            "v remembers SQUARES of gradients": torch.tensor([[2.5 * sign], [0.5 * 8 + 0.5 * 4 * sign]]),
            "the corrected moments are stored; keep them uncorrected": rows(2.5 / (1 - 0.75**2), 12 / (1 - 0.5**2)),
            "the moments are not updated": rows(2.0, 8.0),
        },
        likely="a moment is β times the old one, and 1 − β times the gradient or its square",
    )


def the_correction_fades(subject: Subject, draw: Draw) -> None:
    """A later step: the moments are divided by 1 − β^step."""
    step = draw.size(3, 6)
    state, gradient = drawn_state(draw, draw.size(4, 6))

    def at(number: int) -> Tensor:
        return spec.adamw_step(*arguments(state, gradient, number))[0]

    late = spec.adamw_step(*arguments(state, gradient, 10**9))[0]
    expect_close(
        subject(*arguments(state, gradient, step))[0],
        at(step),
        f"step {step}: m is divided by 1 − β1^{step}, and v by 1 − β2^{step}",
        mistakes={
            "step counts from 1 already": at(step + 1),
            "one step too few in the exponent": at(step - 1),
            "the correction is that of step 1, at every step": at(1),
            "the moments are not corrected": late,
        },
        likely="1 − β to the power of the step",
    )


def epsilon_is_added_to_the_root(subject: Subject, draw: Draw) -> None:
    """A large ε, and a weight that has never had a gradient."""
    state, gradient = first_state(3), torch.tensor([0.0, 1.0, 4.0 + draw.size(0, 3)])
    settings = {"rate": 1.0, "beta1": 0.9, "beta2": 0.96, "epsilon": 0.5}
    expect_close(
        subject(*arguments(state, gradient, **settings))[0],
        -gradient / (gradient.abs() + 0.5),
        "step 1, rate 1, ε = 0.5: gradient / (|gradient| + 0.5)",
        given={"gradient": gradient},
        mistakes={
            "ε stands inside the root; add it to √v̂": -gradient / (gradient.square() + 0.5).sqrt(),
            "ε is added before v is corrected": -gradient / (gradient.abs() + 0.5 / (1 - 0.96) ** 0.5),
            "ε is subtracted": -gradient / (gradient.abs() - 0.5),
        },
        likely="ε is added to the root of v̂",
        not_finite="0 divided by 0: where is ε?",
    )


def decay_is_no_part_of_the_gradient(subject: Subject, draw: Draw) -> None:
    """Without a gradient, weights shrink by rate · decay; with one, decay takes its share of the OLD weights."""
    weights = draw.normal(draw.size(3, 5)) * 3
    state = torch.stack([weights, torch.zeros_like(weights), torch.zeros_like(weights)])
    settings = {"rate": 0.5, "decay": 0.2}
    expect_close(
        subject(*arguments(state, torch.zeros_like(weights), **settings))[0],
        weights * 0.9,
        "no gradient, rate 0.5, decay 0.2: w becomes (1 − 0.5 · 0.2) · w",
        given={"weights": weights},
        mistakes={
            "the decay is added to the gradient (L2), and Adam divides it out again": weights - 0.5 * weights.sign(),
            "the decay is not multiplied by the rate": weights * 0.8,
            "there is no decay": weights,
            "the weights grow": weights * 1.1,
        },
        likely="the decay is rate · decay · w",
    )
    gradient = torch.ones_like(weights)
    expect_close(
        subject(*arguments(state, gradient, **settings))[0],
        weights * 0.9 - 0.5,
        "gradient 1, rate 0.5, decay 0.2: w becomes 0.9 · w − 0.5",
        given={"weights": weights},
        mistakes={"the weights decay after the step; both are of the old weights": (weights - 0.5) * 0.9},
        likely="both parts are subtracted from the old weights",
    )


def ten_steps_in_a_row(subject: Subject, draw: Draw) -> None:
    """Ten steps, each from the state that the one before has left: the loops in specs/ch07.py."""
    mine, _ = drawn_state(draw, draw.size(4, 7))
    mine[1:] = 0.0
    right = mine
    for step in range(1, 11):
        gradient = draw.normal(mine.shape[1]) * 10 ** draw.size(-2, 2)
        mine = subject(*arguments(mine, gradient, step, decay=0.1))
        right = spec.adamw_step(*arguments(right, gradient, step, decay=0.1))
        expect_close(mine, right, f"the state after {step} steps", likely="a moment is lost between two steps")


def many_weights_and_late_steps(subject: Subject, draw: Draw) -> None:
    """Many weights, and a step of a long run."""
    for N, step in ((draw.size(3000, 4000), 3), (5, draw.size(20_000, 90_000))):
        state, gradient = drawn_state(draw, N)
        first = 0.9 * state[1] + 0.1 * gradient
        second = 0.95 * state[2] + 0.05 * gradient.square()
        direction = first / (1 - 0.9**step) / ((second / (1 - 0.95**step)).sqrt() + 1e-8)
        right = torch.stack([state[0] - 0.01 * (direction + 0.1 * state[0]), first, second])
        got = subject(*arguments(state, gradient, step, decay=0.1))
        expect_close_when_large(got, right, "row N", f"N = {N}, step = {step}")


# ---- 7.2 -----------------------------------------------------------------------------------------------------------


def the_first_step_is_not_lost(subject: Subject, draw: Draw) -> None:
    """Warm-up: with four steps of it, the factors are ¼, ½, ¾ and 1."""
    steps = draw.size(50, 90)
    for step in (1, 0, 2, 3):  # first the one at which all of the mistakes differ
        expect_close(
            subject(step, steps, 4, 10, 0.1),
            (step + 1) / 4,
            f"step {step} of a warm-up of 4: ({step} + 1) / 4",
            mistakes={
                "// drops the fraction; / keeps it": (step + 1) // 4,
                "step / warmup: the first step would be one at a rate of 0": step / 4,
                "there is no warm-up": 1.0,
            },
            likely="the first step has the number 0, and a factor of 1/4",
        )


def the_middle_stays_at_the_peak(subject: Subject, draw: Draw) -> None:
    """Between warm-up and decay every factor is 1."""
    steps, warmup, decay = draw.size(60, 90), draw.size(5, 9), draw.size(10, 20)
    for step in (warmup, (warmup + steps - decay) // 2, steps - decay - 1):
        progress = (step - warmup) / (steps - warmup)
        expect_close(
            subject(step, steps, warmup, decay, 0.1),
            1.0,
            f"step {step} of {steps}, warm-up {warmup}, decay {decay}: neither has a part in it",
            mistakes={
                "that falls from the end of the warm-up on; only the last `decay` steps fall": 1 - 0.9 * progress
            },
            likely="one step too many belongs to the warm-up or to the decay",
        )


def the_last_step_has_the_final_factor(subject: Subject, draw: Draw) -> None:
    """Four steps of decay to 0.2: 0.8, 0.6, 0.4 and 0.2."""
    steps = draw.size(40, 60)
    for after, right in ((3, 0.8), (2, 0.6), (1, 0.4), (0, 0.2)):
        expect_close(
            subject(steps - 1 - after, steps, 5, 4, 0.2),
            right,
            f"{after} steps come after this one, decay 4, final 0.2: the four factors are 0.8, 0.6, 0.4 and 0.2",
            mistakes={
                "one step late: the first of the falling steps is below 1, and the last one has `final`": right + 0.2,
                "it falls to 0, not to `final`": after / 4,
                "`final` is a factor, not a floor": 0.2 * after / 4,
            },
            likely="from 1 to `final` in four equal amounts",
        )


def without_warm_up_or_decay(subject: Subject, draw: Draw) -> None:
    """A length of 0: that part does not exist, and nothing is divided by it."""
    steps = draw.size(8, 12)
    for warmup, decay in ((0, 0), (0, 4), (4, 0)):
        for step in range(steps):
            expect_close(
                subject(step, steps, warmup, decay, 0.0),
                spec.warmup_stable_decay(step, steps, warmup, decay, 0.0),
                f"step {step} of {steps}, warm-up {warmup}, decay {decay}",
                likely="where a length is 0, that part has no steps",
            )


def short_runs_take_the_smaller(subject: Subject, draw: Draw) -> None:
    """Warm-up and decay overlap: the smaller of the two factors."""
    warmup, decay = draw.size(5, 8), draw.size(5, 8)
    steps = max(warmup, decay) + 1
    for step in range(steps):
        up, down = min(1.0, (step + 1) / warmup), min(1.0, 0.1 + 0.9 * (steps - 1 - step) / decay)
        expect_close(
            subject(step, steps, warmup, decay, 0.1),
            min(up, down),
            f"step {step} of {steps}, warm-up {warmup}, decay {decay}: up is {up:.3f}, down is {down:.3f}",
            mistakes={
                "the larger of the two, or the first part that fits: look at both": max(up, down),
                "their product": up * down,
            },
            likely="look at both parts, not only at the first that fits",
        )


def runs_of_any_length(subject: Subject, draw: Draw) -> None:
    """Long runs and very short ones: the list in specs/ch07.py."""
    for _ in range(30):
        steps = draw.random.choice((1, 2, 3, 20, 5000))
        warmup, decay = draw.size(0, steps + 2), draw.size(0, steps + 2)
        step, final = draw.size(0, steps - 1), draw.size(0, 10) / 10
        right = spec.warmup_stable_decay(step, steps, warmup, decay, final)
        what = f"step {step} of {steps}, warm-up {warmup}, decay {decay}, final {final}"
        expect_close(subject(step, steps, warmup, decay, final), right, what, likely=LARGE)


CHECKS = {
    "7.1": (
        three_rows_stay_three_rows, state_and_gradient_stay, the_first_step_is_one_rate_long, moments_by_hand,
        the_correction_fades, epsilon_is_added_to_the_root, decay_is_no_part_of_the_gradient, ten_steps_in_a_row,
        many_weights_and_late_steps,
    ),
    "7.2": (
        the_first_step_is_not_lost, the_middle_stays_at_the_peak, the_last_step_has_the_final_factor,
        without_warm_up_or_decay, short_runs_take_the_smaller, runs_of_any_length,
    ),
}  # fmt: skip
