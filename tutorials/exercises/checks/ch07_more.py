"""Checks of chapter 07: smoothed loss curves (7.3), and gradients computed in parts (7.4)."""

from __future__ import annotations

import torch
from torch import Tensor

from tutorials.exercises.broken_training import CURVES, curve
from tutorials.exercises.checks.answers import expect_choice, expect_measured, expect_sentence
from tutorials.exercises.judging import (
    Draw,
    expect_close,
    expect_close_when_large,
    expect_small_fix,
    expect_tensor,
    expect_unchanged,
)
from tutorials.exercises.specs.ch07 import gradient_in_parts, smoothed
from tutorials.exercises.subject import Subject

BETA = 0.9  # of the curves that are read

# ---- 7.3 -----------------------------------------------------------------------------------------------------------


def predictions_for_the_broken_runs(subject: Subject, draw: Draw) -> None:
    """answers.toml has a prediction for each of the broken runs."""
    for name in CURVES:
        if name != "healthy":
            expect_choice(subject, f"prediction_{name}", ("as low", "higher", "has learned nothing"))


def one_loss_a_step(subject: Subject, draw: Draw) -> None:
    """The result has the shape and the type of the curve."""
    N = draw.size(4, 9)
    expect_tensor(subject(draw.normal(N), 0.9), (N,), "N", torch.float32, "the smoothed curve")


def the_curve_stays(subject: Subject, draw: Draw) -> None:
    """The curve is left as it is."""
    expect_unchanged(subject, draw.normal(draw.size(4, 9)), 0.9, names="losses beta")


def carried_on(losses: Tensor, beta: float) -> Tensor:
    """A mistake: the mean is corrected, and the next step begins with the corrected one."""
    mean, means = 0.0, []
    for number, loss in enumerate(losses.tolist(), start=1):
        mean = (beta * mean + (1 - beta) * loss) / (1 - beta**number)
        means.append(mean)
    return torch.tensor(means)


def a_flat_curve_stays_flat(subject: Subject, draw: Draw) -> None:
    """All losses are equal, so every mean is that loss, the first one too."""
    level, N = 2.0 + draw.size(1, 5), draw.size(4, 6)
    losses = torch.full((N,), level)
    number = torch.arange(1, N + 1)
    begun = level * (1 - 0.9**number)
    expect_close(
        subject(losses, 0.9),
        losses,
        f"all losses are {level:.0f}, so all means are {level:.0f}",
        mistakes={
            "the weights do not add up to 1: the mean has begun at 0, like Adam's moments": begun,
            "the corrected mean is carried on; carry the uncorrected one, and divide a copy": carried_on(losses, 0.9),
            "β is the share of what is OLD, 1 − β that of the new loss": level * (1 - 0.1**number) / (1 - 0.9**number),
        },
        likely="divide by the sum of the weights",
        not_finite="0 divided by 0: 1 − β^0 is 0, and at the first step the sum of the weights is 1 − β^1",
    )


def three_losses_by_hand(subject: Subject, draw: Draw) -> None:
    """Losses 4, 1, 1 and β = ½: the means are 4, (½·4 + 1) / 1½ = 2, and (¼·4 + ½ + 1) / 1¾ = 1.429."""
    low = float(draw.size(1, 2))
    high = low + 3
    losses = torch.tensor([high, low, low])
    expect_close(
        subject(losses, 0.5),
        low + torch.tensor([3.0, 1.0, 3 / 7]),
        f"losses {high:.0f}, {low:.0f}, {low:.0f} and β = ½: a loss weighs 1, then ½, then ¼",
        mistakes={
            "the first loss weighs too much: the mean begins with it, and it is never divided out": low
            + torch.tensor([3.0, 1.5, 0.75]),
            "every loss weighs the same": low + torch.tensor([3.0, 1.5, 1.0]),
            "the oldest loss weighs most": low + torch.tensor([3.0, 2.0, 12 / 7]),
        },
        likely="a loss that is k steps old weighs β^k",
    )


def beta_is_what_stays(subject: Subject, draw: Draw) -> None:
    """β = 0 forgets everything: the curve itself. And β = 0.8 is not β = 0.2."""
    losses = draw.normal(draw.size(4, 7))
    expect_close(subject(losses, 0.0), losses, "β = 0: only the loss of the step itself counts", likely="β^0 is 1")
    expect_close(
        subject(losses, 0.8),
        smoothed(losses, 0.8),
        "β = 0.8: a loss that is one step old weighs 0.8",
        given={"losses": losses},
        mistakes={"that is β = 0.2: β and 1 − β have changed places": smoothed(losses, 0.2)},
        likely="a loss that is k steps old weighs β^k",
    )


def what_comes_later_is_not_known(subject: Subject, draw: Draw) -> None:
    """Another loss at the end changes the last mean, and none before it."""
    N = draw.size(5, 8)
    losses, spike = draw.normal(N), torch.zeros(N)
    spike[-1] = 100.0
    expect_close(
        subject(losses + spike, 0.7)[:-1],
        smoothed(losses, 0.7)[:-1],
        "the last loss is a spike; the means before it must not know of it",
        likely="each mean is over the losses up to its own step",
    )


def curves_of_any_length(subject: Subject, draw: Draw) -> None:
    """Long curves and slow means: the loops in specs/ch07.py."""
    for N, beta in ((draw.size(400, 600), 0.98), (1, 0.9), (draw.size(150, 200), 0.5)):
        losses = 3 + draw.normal(N)
        expect_close_when_large(subject(losses, beta), smoothed(losses, beta), "N", f"N = {N}, β = {beta}")


def the_ends_are_in_answers(subject: Subject, draw: Draw) -> None:
    """The numbers in answers.toml are those that your function gives for the recorded curves."""
    for name in CURVES:
        expect_measured(subject, f"end_{name}", subject(curve(name), BETA)[-1].item())


def the_reason_for_the_ends(subject: Subject, draw: Draw) -> None:
    """answers.toml says why, in your own words; a person will read it."""
    expect_sentence(subject)


# ---- 7.4 -----------------------------------------------------------------------------------------------------------


Part = list[Tensor]  # inputs [B,T] and targets [B,T]


def part(draw: Draw, B: int, T: int, V: int) -> Part:
    """Rows of a width of their own; each has its targets first, at least one of them, then −1."""
    inputs, targets = (torch.randint(0, V, (B, T), generator=draw.generator) for _ in range(2))
    lengths = torch.tensor([T, *(draw.size(1, T) for _ in range(B - 1))])
    return [inputs, targets.masked_fill(torch.arange(T) >= lengths[:, None], -1)]


def a_long_row_beside_a_short_one(subject: Subject, draw: Draw) -> None:
    """A part with three targets, and one with a single target: every target counts a quarter."""
    a, b = draw.random.sample(range(3), 2)
    parts = [
        [torch.tensor([[a, a, a]]), torch.tensor([[0, 0, 0]])],
        [torch.tensor([[b, b, b]]), torch.tensor([[1, -1, -1]])],
    ]
    table = torch.zeros(3, 3)
    whole = gradient_in_parts(table, parts)
    alone = [gradient_in_parts(table, [one]) for one in parts]
    expect_close(
        subject(table, parts),
        whole,
        "the first part has three targets, the second has one: every target counts a quarter",
        mistakes={
            "the mean of the parts' means: a single target counts as much as three others": sum(alone) / 2,
            "the sum of the parts' means": sum(alone),
            "the sum over all targets; divide by their number": 4 * whole,
            "the sum over all targets, divided by the number of parts": 2 * whole,
            "the parts' means, divided by the number of targets: a part must give its sum": sum(alone) / 4,
            "padding counts as a target": whole * 4 / 6,
            "only the last part is left": alone[1] / 4,
        },
        likely="one denominator for the whole batch: the number of its targets",
    )


def every_split_gives_the_same(subject: Subject, draw: Draw) -> None:
    """One part, and several of different sizes and widths: the loops in specs/ch07.py."""
    table = draw.normal(4, 4)
    for sizes in ((5,), (1, 3), (2, 1, 4), (1,) * 6):
        parts = [part(draw, B, draw.size(2, 8), 4) for B in sizes]
        expect_close(
            subject(table, parts),
            gradient_in_parts(table, parts),
            f"parts of {', '.join(map(str, sizes))} rows: the gradient of the mean over all targets",
            likely="a part's weight is the number of its targets, not 1 / parts",
        )


def a_part_may_have_no_target(subject: Subject, draw: Draw) -> None:
    """A part that is all padding adds nothing."""
    table, parts = draw.normal(4, 4), [part(draw, 2, 5, 4) for _ in range(3)]
    parts[draw.size(0, 2)][1].fill_(-1)
    expect_close(
        subject(table, parts),
        gradient_in_parts(table, parts),
        "one part has no target: it adds nothing to the gradient",
        likely="a sum over no targets is 0; and a part without a target is no part that a mean may count",
    )


def many_rows_in_parts(subject: Subject, draw: Draw) -> None:
    """Many parts, many rows, long rows, many tokens."""
    large = draw.size(70, 90)
    sizes = {
        "{} parts": (large, 1, 3, 4),
        "B = {}": (2, large, 3, 4),
        "T = {}": (2, 3, large, 4),
        "V = {}": (2, 3, 4, large),
    }
    for text, (count, B, T, V) in sizes.items():
        table, parts = draw.normal(V, V), [part(draw, B, T, V) for _ in range(count)]
        parts[0][1][:, 1:] = -1  # the first part has fewer targets than the others
        right = gradient_in_parts(table, parts)
        expect_close_when_large(subject(table, parts), right, "V V", text.format(large))


def the_split_is_mended_in_three_lines(subject: Subject, draw: Draw) -> None:
    """One to three lines of code differ from what was handed out."""
    expect_small_fix(subject)


CHECKS = {
    "7.3": (
        predictions_for_the_broken_runs, one_loss_a_step, the_curve_stays, a_flat_curve_stays_flat,
        three_losses_by_hand, beta_is_what_stays, what_comes_later_is_not_known, curves_of_any_length,
        the_ends_are_in_answers, the_reason_for_the_ends,
    ),
    "7.4": (
        a_long_row_beside_a_short_one, every_split_gives_the_same, a_part_may_have_no_target, many_rows_in_parts,
        the_split_is_mended_in_three_lines,
    ),
}  # fmt: skip
