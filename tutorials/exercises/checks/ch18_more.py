"""Checks of chapter 18: the alarm that rings first (18.3), a clip that never clips (18.4)."""

from __future__ import annotations

import torch
from torch import Tensor

from tutorials.exercises.broken_runs import ALARMS, PATIENCE, curves
from tutorials.exercises.checks.answers import expect_choice, expect_measured, expect_sentence
from tutorials.exercises.judging import Draw, expect_close, expect_close_when_large, expect_small_fix, expect_unchanged
from tutorials.exercises.specs.ch18 import first_alarm, update
from tutorials.exercises.subject import Subject

# ---- 18.3 ----------------------------------------------------------------------------------------------------------


def predictions_for_the_alarms(subject: Subject, draw: Draw) -> None:
    """answers.toml has a prediction for each broken run."""
    for run in ALARMS:
        expect_choice(subject, f"prediction_{run}", (*ALARMS[run], "none"))


def draw_curves(draw: Draw, S: int, T: int) -> tuple[Tensor, Tensor]:
    """A curve [T], and healthy ones [S,T]."""
    return draw.normal(T), draw.normal(S, T)


def the_curves_stay(subject: Subject, draw: Draw) -> None:
    """The curves are left as they are."""
    S, T = draw.sizes(2, 3, 7)
    expect_unchanged(subject, *draw_curves(draw, S, T), 2, names="curve healthy patience")


def no_alarm_inside(subject: Subject, draw: Draw) -> None:
    """A curve that is one of the healthy ones is never outside."""
    S, T = draw.sizes(2, 3, 7)
    _, healthy = draw_curves(draw, S, T)
    expect_close(
        subject(healthy[draw.size(0, S - 1)].clone(), healthy, 1), 0,
        "the curve is one of the healthy runs: never outside, so 0", given={"healthy": healthy},
        likely="on the edge is inside; and the answer is a whole number, not a tensor",
    )  # fmt: skip


def above_and_below(subject: Subject, draw: Draw) -> None:
    """Healthy between 1 and 2; patience 1: the first iteration outside, counted from 1."""
    healthy = torch.tensor([[1.0] * 6, [2.0] * 6])
    place = draw.size(2, 5)
    for value, side in ((3.0, "above"), (0.0, "below")):
        curve = torch.full((6,), 1.5)
        curve[place - 1 :] = value
        expect_close(
            subject(curve, healthy, 1), place,
            f"healthy runs are between 1 and 2, and the curve is {side} from iteration {place} on",
            given={"curve": curve},
            likely="below the smallest of the healthy runs, or above the largest of them",
            mistakes={"counted from 0; the first iteration is 1": place - 1, "no alarm on this side": 0},
        )  # fmt: skip


def patience_in_a_row(subject: Subject, draw: Draw) -> None:
    """Out, in, out, out, out: with patience 3 the alarm rings in iteration 5."""
    healthy = torch.tensor([[-1.0] * 6, [1.0] * 6])
    curve = torch.tensor([5.0, 0.0, 5.0, -5.0, 5.0, 0.0])
    expect_close(
        subject(curve, healthy, 3), 5, "out, in, out, out, out, in; patience 3", given={"curve": curve},
        likely="the count starts again whenever the curve is back inside",
        mistakes={
            "the first iteration of the three; the alarm rings in the last of them": 3,
            "any three; they must follow one another": 4,
            "patience is not used": 1,
            "counted from 0; the first iteration is 1": 4,
        },
    )  # fmt: skip
    expect_close(
        subject(curve, healthy, 4), 0, "the same curve with patience 4: never four in a row, so 0",
        given={"curve": curve}, likely="0 if it never rings",
    )  # fmt: skip


def each_iteration_has_its_own_range(subject: Subject, draw: Draw) -> None:
    """Healthy runs grow from 0 to 5; a curve that stays at 3 is too high at first."""
    healthy = torch.stack([torch.arange(6.0), torch.arange(6.0) + 0.5])
    curve = torch.full((6,), 3.0)
    expect_close(
        subject(curve, healthy, 2), 2, "healthy runs go from 0 to 5, and the curve stays at 3",
        given={"healthy": healthy, "curve": curve},
        likely="compare with the same iteration of the healthy runs, not with the whole of them",
        mistakes={"the range of all iterations is used": 0},
    )  # fmt: skip


def many_runs(subject: Subject, draw: Draw) -> None:
    """Many curves of hundreds of iterations: the loops in specs/ch18.py."""
    for _ in range(5):
        S, T, patience = draw.size(5, 7), draw.size(180, 220), draw.size(2, 4)
        curve, healthy = draw_curves(draw, S, T)
        curve[: draw.size(70, 150)] = 0.0
        expect_close(
            subject(curve, healthy, patience), first_alarm(curve, healthy, patience),
            f"{S} healthy runs, {T} iterations, patience {patience}: as in specs/ch18.py",
            likely="the count starts again whenever the curve is back inside",
        )  # fmt: skip


def the_alarms_are_in_answers(subject: Subject, draw: Draw) -> None:
    """The numbers in answers.toml are those of your function for the recorded runs."""
    for run, fields in ALARMS.items():
        for field in fields:
            expect_measured(subject, f"{run}_{field}", float(subject(*curves(run, field), PATIENCE)))


def the_reason_for_the_alarms(subject: Subject, draw: Draw) -> None:
    """answers.toml says why, in your own words; a person will read it."""
    expect_sentence(subject)


# ---- 18.4 ----------------------------------------------------------------------------------------------------------


def draw_rollout(draw: Draw, B: int, K: int, V: int) -> tuple[Tensor, Tensor, Tensor]:
    """logits [B,V], drawn answers [B,K] and noisy scores [B,K]."""
    logits = draw.normal(B, V)
    drawn = torch.tensor([[draw.size(0, V - 1) for _ in range(K)] for _ in range(B)])
    return logits, drawn, 2 * draw.normal(B, K)


def many_steps_stay_near(subject: Subject, draw: Draw) -> None:
    """Thirty steps on one rollout: the ratio is π now over π when it was SAMPLED."""
    rollout = draw_rollout(draw, 3, 6, 4)
    plain = update(*rollout, 30, clip=1e9)
    reinforce = rollout[0]
    for _ in range(30):
        reinforce = update(reinforce, *rollout[1:], 1)
    expect_close(
        subject(*rollout, 30), update(*rollout, 30), "thirty steps on one rollout of 6 samples",
        likely="which policy has drawn the samples? What must not change while the steps are taken?",
        rtol=1e-3, atol=1e-3,
        mistakes={
            "every step starts anew with a ratio of 1, so nothing is ever clipped": reinforce,
            "the ratio is right, and the clip has no effect": plain,
        },
    )  # fmt: skip
    expect_close(
        subject(*rollout, 1), update(*rollout, 1), "one step: every ratio is 1 before it, so this is a plain step",
        likely="change only what is wrong: the first step was right",
    )  # fmt: skip


def many_policies_stay_near(subject: Subject, draw: Draw) -> None:
    """Dozens of policies and samples: the loop in specs/ch18.py."""
    B, K = draw.size(66, 70), draw.size(34, 38)
    rollout = draw_rollout(draw, B, K, 7)
    expect_close_when_large(subject(*rollout, 12), update(*rollout, 12), "B V", f"B = {B}, K = {K}")


def the_clip_is_mended_in_three_lines(subject: Subject, draw: Draw) -> None:
    """One to three lines of code differ from what was handed out."""
    expect_small_fix(subject)


CHECKS = {
    "18.3": (
        predictions_for_the_alarms, no_alarm_inside, the_curves_stay, above_and_below, patience_in_a_row,
        each_iteration_has_its_own_range, many_runs, the_alarms_are_in_answers, the_reason_for_the_alarms,
    ),
    "18.4": (
        many_steps_stay_near, many_policies_stay_near, the_clip_is_mended_in_three_lines,
    ),
}  # fmt: skip
