"""Wrong solutions of chapter 07: AdamW (7.1), the schedule (7.2), smoothed curves (7.3), the bug hunt (7.4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tutorials.exercises.specs.ch07 import smoothed, warmup_stable_decay
from tutorials.instructor.wrong import Wrong

# ---- 7.1 -----------------------------------------------------------------------------------------------------------


def adamw_with(
    share: float | None = None,
    swapped: bool = False,
    old_share: bool = False,
    squared: bool = True,
    late: int = 0,
    corrected: tuple[bool, bool] = (True, True),
    stored_corrected: bool = False,
    root: Callable[[Tensor, float], Tensor] = lambda v, epsilon: v.sqrt() + epsilon,
    decay: str = "decoupled",
    sign: float = -1.0,
) -> Callable[..., Tensor]:
    """The right step but for one of its parts."""

    def step_of(
        state: Tensor,
        g: Tensor,
        step: int,
        rate: float,
        beta1: float,
        beta2: float,
        epsilon: float,
        weight_decay: float,
    ) -> Tensor:
        w, m, v = state
        if swapped:
            beta1, beta2 = beta2, beta1
        if decay == "L2":
            g = g + weight_decay * w
        first, second = (1 - beta1 if share is None else share), (1 - beta2 if share is None else share)
        keep = (1 - beta1, 1 - beta2) if old_share else (beta1, beta2)
        if old_share:
            first, second = beta1, beta2
        m, v = keep[0] * m + first * g, keep[1] * v + second * (g * g if squared else g.abs())
        count = step + late
        mean = m / (1 - beta1**count) if corrected[0] else m
        size = v / (1 - beta2**count) if corrected[1] else v
        new = w + sign * rate * mean / root(size, epsilon)
        if decay == "decoupled":
            new = new - rate * weight_decay * w
        elif decay == "afterwards":
            new = new * (1 - rate * weight_decay)
        elif decay == "without the rate":
            new = new - weight_decay * w
        return torch.stack([new, mean, size] if stored_corrected else [new, m, v])

    return step_of


def always_step_one(*arguments: Any) -> Tensor:
    """The correction is that of the first step."""
    state, gradient, _, *settings = arguments
    return adamw_with()(state, gradient, 1, *settings)


def plain_descent(state: Tensor, gradient: Tensor, step: int, rate: float, *_: float) -> Tensor:
    return torch.stack([state[0] - rate * gradient, state[1], state[2]])


def epsilon_too_early(
    state: Tensor, g: Tensor, step: int, rate: float, beta1: float, beta2: float, epsilon: float, decay: float
) -> Tensor:
    """ε joins the root of v before it is corrected."""
    w, m, v = state
    m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
    size = (v.sqrt() + epsilon) / (1 - beta2**step) ** 0.5
    return torch.stack([w - rate * (m / (1 - beta1**step) / size + decay * w), m, v])


def forgets_the_moments(*arguments: Any) -> Tensor:
    state = arguments[0]
    return torch.stack([adamw_with()(*arguments)[0], state[1], state[2]])


def writes_into_the_state(*arguments: Any) -> Tensor:
    state = arguments[0]
    new = adamw_with()(*arguments)
    state[1:] = new[1:]
    return new


def two_thousand_weights(*arguments: Any) -> Tensor:
    state, new = arguments[0], adamw_with()(*arguments)
    return torch.cat([new[:, :2000], state[:, 2000:]], dim=1)


def correction_of_a_thousand_steps(*arguments: Any) -> Tensor:
    """From step 10,000 on the whole state is left as it is."""
    return adamw_with()(*arguments) if arguments[2] < 10_000 else arguments[0].clone()


def v_of_the_gradient(state: Tensor, g: Tensor, step: int, rate: float, *settings: float) -> Tensor:
    """v is made of gradients, and not of their squares."""
    beta1, beta2, epsilon, decay = settings
    w, m, v = state
    m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g
    new = w - rate * (m / (1 - beta1**step) / ((v / (1 - beta2**step)).sqrt() + epsilon) + decay * w)
    return torch.stack([new, m, v])


def rows_turned(*arguments: Any) -> Tensor:
    """The rows come back as m, v, weights."""
    return adamw_with()(*arguments).roll(-1, dims=0)


def corrected_with_one_beta(state: Tensor, g: Tensor, step: int, rate: float, *settings: float) -> Tensor:
    beta1, beta2, epsilon, decay = settings
    w, m, v = state
    m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
    new = w - rate * (m / (1 - beta1**step) / ((v / (1 - beta1**step)).sqrt() + epsilon) + decay * w)
    return torch.stack([new, m, v])


FIRST, HAND, FADES = "the_first_step_is_one_rate_long", "moments_by_hand", "the_correction_fades"
EPSILON, DECAY, LARGE_STATE = (
    "epsilon_is_added_to_the_root",
    "decay_is_no_part_of_the_gradient",
    "many_weights_and_late_steps",
)


def wrong_step(name: str, caught_by: str, says: str = "", **parts: Any) -> Wrong:
    return Wrong("7.1", name, caught_by, adamw_with(**parts), says=says)


STEPS = (
    wrong_step("no correction", FIRST, "not corrected", corrected=(False, False)),
    wrong_step("first moment not corrected", FIRST, "first moment", corrected=(False, True)),
    wrong_step("second moment not corrected", FIRST, "second moment", corrected=(True, False)),
    wrong_step("uphill", FIRST, "uphill", sign=1.0),
    Wrong("7.1", "plain descent", FIRST, plain_descent, says="plain gradient descent"),
    wrong_step("no root", FIRST, "not by its root", root=lambda v, epsilon: v + epsilon),
    wrong_step("step counts from 0", FIRST, "step counts from 1", late=1),
    wrong_step("the whole gradient", FIRST, "added whole; its share", share=1.0),
    wrong_step("exponent of step − 1", FIRST, "step − 1", late=-1),
    wrong_step("betas swapped", HAND, "places", swapped=True),
    wrong_step("shares swapped", FIRST, "share of what is OLD", old_share=True),
    wrong_step("v of the gradient's size", FIRST, squared=False),
    Wrong("7.1", "v of the gradient itself", FIRST, v_of_the_gradient, says="SQUARES"),
    Wrong("7.1", "rows turned", FIRST, rows_turned, says="row 0"),
    Wrong("7.1", "both corrected with β1", FIRST, corrected_with_one_beta, says="v has β2"),
    wrong_step("stores the corrected moments", HAND, "uncorrected", stored_corrected=True),
    Wrong("7.1", "forgets the moments", HAND, forgets_the_moments, says="not updated"),
    Wrong("7.1", "always step one", FADES, always_step_one, says="step 1"),
    wrong_step("ε inside the root", EPSILON, "inside the root", root=lambda v, epsilon: (v + epsilon).sqrt()),
    wrong_step("no ε", EPSILON, root=lambda v, epsilon: v.sqrt()),
    Wrong("7.1", "ε too early", EPSILON, epsilon_too_early, says="before v is corrected"),
    wrong_step("L2", DECAY, "L2", decay="L2"),
    wrong_step("no decay", DECAY, "no decay", decay="none"),
    wrong_step("decay without the rate", DECAY, "not multiplied", decay="without the rate"),
    wrong_step("decay afterwards", DECAY, "after the step", decay="afterwards"),
    Wrong("7.1", "writes into the state", "state_and_gradient_stay", writes_into_the_state, says="state"),
    Wrong("7.1", "2,000 weights", LARGE_STATE, two_thousand_weights, says="N ="),
    Wrong("7.1", "10,000 steps", LARGE_STATE, correction_of_a_thousand_steps, says="step ="),
    Wrong(
        "7.1",
        "torch's optimiser",
        "can_be_checked",
        says="write that yourself",
        edits=(
            (
                "    return torch.stack([weights, first, second])\n",
                "    torch.optim.AdamW([weights])\n    return torch.stack([weights, first, second])\n",
            ),
        ),
    ),
)


# ---- 7.2 -----------------------------------------------------------------------------------------------------------


def schedule_with(
    up: Callable[[int, int], float] = lambda step, warmup: (step + 1) / warmup,
    down: Callable[[int, int, float], float] = lambda after, decay, final: final + (1 - final) * after / decay,
    join: Callable[[list[float]], float] = min,
    late: int = 0,
) -> Callable[..., float]:
    """The right schedule but for one of its parts."""

    def factor(step: int, steps: int, warmup: int, decay: int, final: float) -> float:
        factors, after = [], steps - 1 - step
        if step < warmup:
            factors.append(up(step, warmup))
        if after < decay + late:
            factors.append(down(after, decay, final))
        return join(factors) if factors else 1.0

    return factor


def falls_at_once(step: int, steps: int, warmup: int, decay: int, final: float) -> float:
    """Linear from the end of the warm-up to the end of the run."""
    if step < warmup:
        return (step + 1) / warmup
    return 1 - (1 - final) * (step - warmup) / (steps - warmup)


def the_first_part_that_fits(factors: list[float]) -> float:
    return factors[0]


def schedule_without_a_middle(step: int, steps: int, warmup: int, decay: int, final: float) -> float | None:
    if step < warmup:
        return (step + 1) / warmup
    return final + (1 - final) * (steps - 1 - step) / decay if step >= steps - decay else None


def divides_by_zero(step: int, steps: int, warmup: int, decay: int, final: float) -> float:
    return min(1.0, (step + 1) / warmup, final + (1 - final) * (steps - 1 - step) / decay)


def product(factors: list[float]) -> float:
    return factors[0] * factors[-1] if len(factors) == 2 else factors[0]


UP, ALONG, DOWN = "the_first_step_is_not_lost", "the_middle_stays_at_the_peak", "the_last_step_has_the_final_factor"
SHORT = "short_runs_take_the_smaller"

SCHEDULES = (
    Wrong("7.2", "from 0", UP, schedule_with(up=lambda step, warmup: step / warmup), says="rate of 0"),
    Wrong("7.2", "no warm-up", UP, schedule_with(up=lambda step, warmup: 1.0), says="no warm-up"),
    Wrong("7.2", "falls at once", ALONG, falls_at_once, says="only the last"),
    Wrong("7.2", "falls too early", ALONG, schedule_with(down=lambda a, d, f: f + (1 - f) * a / (d + 1), late=1)),
    Wrong(
        "7.2",
        "one step late",
        DOWN,
        schedule_with(down=lambda a, d, f: f + (1 - f) * (a + 1) / d),
        says="one step late",
    ),
    Wrong("7.2", "to 0", DOWN, schedule_with(down=lambda a, d, f: a / d), says="not to `final`"),
    Wrong("7.2", "final times", DOWN, schedule_with(down=lambda a, d, f: f * a / d), says="not a floor"),
    Wrong("7.2", "divides by zero", "without_warm_up_or_decay", divides_by_zero, says="no such part"),
    Wrong("7.2", "warm-up first", SHORT, schedule_with(join=the_first_part_that_fits), says="look at both"),
    Wrong("7.2", "whole numbers", UP, schedule_with(up=lambda step, warmup: (step + 1) // warmup), says="fraction"),
    Wrong("7.2", "no return", ALONG, schedule_without_a_middle, says="return missing"),
    Wrong("7.2", "the larger", SHORT, schedule_with(join=max), says="larger"),
    Wrong("7.2", "the product", SHORT, schedule_with(join=product), says="product"),
    Wrong(
        "7.2",
        "a warm-up of 10 at most",
        "runs_of_any_length",
        lambda step, steps, warmup, decay, final: warmup_stable_decay(step, steps, min(warmup, 10), decay, final),
    ),
)


# ---- 7.3 -----------------------------------------------------------------------------------------------------------


def mean_with(
    start: str = "corrected", old: Callable[[float], float] = lambda beta: beta, swapped: bool = False
) -> Callable[..., Tensor]:
    """An exponential mean that begins in one of several ways."""

    def smooth(losses: Tensor, beta: float) -> Tensor:
        beta, means = old(beta), []
        moment = losses[0] if start == "first loss" else torch.zeros(())
        keep = 1 - beta if swapped else beta
        for number, loss in enumerate(losses, start=1):
            moment = keep * moment + (1 - keep) * loss
            means.append(moment / (1 - beta**number) if start == "corrected" else moment.clone())
        return torch.stack(means)

    return smooth


def carries_the_corrected(losses: Tensor, beta: float) -> Tensor:
    mean, means = torch.zeros(()), []
    for number, loss in enumerate(losses, start=1):
        mean = (beta * mean + (1 - beta) * loss) / (1 - beta**number)
        means.append(mean)
    return torch.stack(means)


def power_too_small(losses: Tensor, beta: float) -> Tensor:
    moment, means = torch.zeros(()), []
    for number, loss in enumerate(losses):
        moment = beta * moment + (1 - beta) * loss
        means.append(moment / (1 - beta**number))
    return torch.stack(means)


def running_mean(losses: Tensor, beta: float) -> Tensor:
    return losses.cumsum(0) / torch.arange(1, len(losses) + 1)


def backwards(losses: Tensor, beta: float) -> Tensor:
    """The oldest loss weighs most."""
    weights = beta ** torch.arange(len(losses))
    return (losses * weights).cumsum(0) / weights.cumsum(0)


def both_sides(losses: Tensor, beta: float) -> Tensor:
    """Later losses count as well."""
    steps = torch.arange(len(losses))
    weights = beta ** (steps[:, None] - steps).abs().float()
    return weights @ losses / weights.sum(1)


def last_hundred(losses: Tensor, beta: float) -> Tensor:
    """Losses older than 100 steps are forgotten."""
    steps = torch.arange(len(losses))
    age = steps[:, None] - steps
    weights = torch.where((age >= 0) & (age < 100), torch.tensor(beta) ** age.clamp(min=0), 0.0)
    return weights @ losses / weights.sum(1)


FLAT, THREE = "a_flat_curve_stays_flat", "three_losses_by_hand"

MEANS = (
    Wrong("7.3", "begins at 0", FLAT, mean_with("zero"), says="begun at 0"),
    Wrong("7.3", "begins with the first loss", THREE, mean_with("first loss"), says="first loss weighs too much"),
    Wrong("7.3", "carries the corrected", FLAT, carries_the_corrected, says="carried on"),
    Wrong("7.3", "power of step − 1", FLAT, power_too_small, says="first step"),
    Wrong("7.3", "shares swapped", FLAT, mean_with(swapped=True), says="share of what is OLD"),
    Wrong("7.3", "a list", "one_loss_a_step", lambda losses, beta: list(smoothed(losses, beta)), says="torch.stack"),
    Wrong("7.3", "plain mean", THREE, running_mean, says="weighs the same"),
    Wrong("7.3", "backwards", THREE, backwards, says="oldest"),
    Wrong("7.3", "β swapped", "beta_is_what_stays", mean_with(old=lambda beta: 1 - beta)),
    Wrong("7.3", "both sides", THREE, both_sides),
    Wrong("7.3", "the last hundred", "curves_of_any_length", last_hundred, says="N ="),
    Wrong(
        "7.3",
        "no prediction",
        "predictions_for_the_broken_runs",
        answers=(("prediction_bad_init", ""),),
        says="prediction_bad_init",
    ),
    Wrong(
        "7.3",
        "another word",
        "predictions_for_the_broken_runs",
        answers=(("prediction_rate_x100", "NaN"),),
        says="prediction_rate_x100",
    ),
    Wrong("7.3", "not what it gives", "the_ends_are_in_answers", answers=(("end_healthy", 9.0),), says="end_healthy"),
    Wrong("7.3", "no reason", "the_reason_for_the_ends", answers=(("because", "It broke."),)),
)


# ---- 7.4 -----------------------------------------------------------------------------------------------------------

TOTAL = "    total = sum(int((wanted != NO_TARGET).sum()) for _, wanted in parts)\n"
LOSS = '        loss = F.cross_entropy(scores, wanted.flatten(), ignore_index=NO_TARGET, reduction="sum")\n'
MEAN = "        loss = F.cross_entropy(scores, wanted.flatten(), ignore_index=NO_TARGET)\n"
NOT_IGNORED = '        loss = F.cross_entropy(scores, wanted.flatten(), reduction="sum")\n'
BACK = "        (loss / total).backward()\n"
PARTS, ONE = "    total = len(parts)\n", "    total = 1\n"
BESIDE = "a_long_row_beside_a_short_one"

HUNT = (
    Wrong("7.4", "as handed out", BESIDE, edits=((TOTAL, PARTS), (LOSS, MEAN)), says="parts' means"),
    Wrong("7.4", "not divided", BESIDE, edits=((TOTAL, ONE), (LOSS, MEAN)), says="the sum of the parts' means"),
    Wrong("7.4", "a sum", BESIDE, edits=((TOTAL, ONE),), says="divide by their number"),
    Wrong("7.4", "a sum, divided by the parts", BESIDE, edits=((TOTAL, PARTS),), says="the number of parts"),
    Wrong("7.4", "means, divided by the targets", BESIDE, edits=((LOSS, MEAN),), says="must give its sum"),
    Wrong("7.4", "−1 as a target", BESIDE, edits=((LOSS, NOT_IGNORED),), says="ignore_index"),
    Wrong(
        "7.4",
        "padding counts",
        BESIDE,
        edits=((TOTAL, "    total = sum(wanted.numel() for _, wanted in parts)\n"),),
        says="padding",
    ),
    Wrong(
        "7.4",
        "rows count",
        BESIDE,
        edits=((TOTAL, "    total = sum(len(wanted) for _, wanted in parts)\n"), (LOSS, MEAN)),
    ),
    Wrong(
        "7.4",
        "as handed out, but for parts without a target",
        BESIDE,
        edits=((TOTAL, "    total = sum(bool((wanted != NO_TARGET).any()) for _, wanted in parts)\n"), (LOSS, MEAN)),
        says="parts' means",
    ),
    Wrong(
        "7.4",
        "64 parts",
        "many_rows_in_parts",
        edits=((TOTAL, TOTAL + "    parts = parts[:64]\n"),),
        says="parts",
    ),
    Wrong(
        "7.4",
        "written anew",
        "the_split_is_mended_in_three_lines",
        edits=(
            (TOTAL, TOTAL.replace("total", "count")),
            (LOSS, "        flat = wanted.flatten()\n" + LOSS.replace("wanted.flatten()", "flat")),
            (BACK, "        mean = loss / count\n        mean.backward()\n"),
        ),
        says="one idea",
    ),
)

WRONG = (*STEPS, *SCHEDULES, *MEANS, *HUNT)


def adamw_in_place(
    state: Tensor, g: Tensor, step: int, rate: float, beta1: float, beta2: float, epsilon: float, decay: float
) -> Tensor:
    """Right: on a copy, in the order of torch's documentation."""
    new = state.clone()
    new[0].mul_(1 - rate * decay)
    new[1].lerp_(g, 1 - beta1)
    new[2].mul_(beta2).addcmul_(g, g, value=1 - beta2)
    new[0].addcdiv_(new[1], (new[2] / (1 - beta2**step)).sqrt().add_(epsilon), value=-rate / (1 - beta1**step))
    return new


def smoothed_by_a_matrix(losses: Tensor, beta: float) -> Tensor:
    """Right: all weights at once."""
    steps = torch.arange(len(losses))
    weights = torch.where(steps[:, None] >= steps, torch.tensor(float(beta)) ** (steps[:, None] - steps).abs(), 0.0)
    return weights @ losses / weights.sum(1)


def means_weighed_by_their_targets(table: Tensor, parts: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Right: a mean times its number of targets is a sum. Torch's mean over no target is NaN, but its gradient is 0."""
    table = table.clone().requires_grad_()
    counts = [int((targets != -1).sum()) for _, targets in parts]
    for (tokens, targets), count in zip(parts, counts, strict=True):
        mean = F.cross_entropy(table[tokens].flatten(0, 1), targets.flatten(), ignore_index=-1)
        (mean * count / sum(counts)).backward()
    return table.grad


ALSO_RIGHT = (("7.1", adamw_in_place), ("7.3", smoothed_by_a_matrix), ("7.4", means_weighed_by_their_targets))
