"""Wrong solutions of 18.3 and 18.4, and right ones that look unlike ours."""

from __future__ import annotations

import torch
from torch import Tensor

from tutorials.instructor.wrong import Wrong

# ---- 18.3 ----------------------------------------------------------------------------------------------------------


def outside_of(curve: Tensor, healthy: Tensor) -> Tensor:
    return (curve < healthy.min(0).values) | (curve > healthy.max(0).values)


def rings(outside: Tensor, patience: int) -> int:
    for t in range(patience, len(outside) + 1):
        if bool(outside[t - patience : t].all()):
            return t
    return 0


def right_alarm(curve: Tensor, healthy: Tensor, patience: int) -> int:
    """Right: a window that moves."""
    return rings(outside_of(curve, healthy), patience)


def from_zero(curve: Tensor, healthy: Tensor, patience: int) -> int:
    return max(right_alarm(curve, healthy, patience) - 1, 0)


def above_only(curve: Tensor, healthy: Tensor, patience: int) -> int:
    return rings(curve > healthy.max(0).values, patience)


def below_only(curve: Tensor, healthy: Tensor, patience: int) -> int:
    return rings(curve < healthy.min(0).values, patience)


def first_of_them(curve: Tensor, healthy: Tensor, patience: int) -> int:
    """The first of the iterations in a row."""
    found = right_alarm(curve, healthy, patience)
    return found - patience + 1 if found else 0


def not_in_a_row(curve: Tensor, healthy: Tensor, patience: int) -> int:
    count = 0
    for t, out in enumerate(outside_of(curve, healthy).tolist(), start=1):
        count += out
        if count == patience:
            return t
    return 0


def impatient(curve: Tensor, healthy: Tensor, patience: int) -> int:
    return rings(outside_of(curve, healthy), 1)


def range_of_all(curve: Tensor, healthy: Tensor, patience: int) -> int:
    return rings((curve < healthy.min()) | (curve > healthy.max()), patience)


def edge_is_outside(curve: Tensor, healthy: Tensor, patience: int) -> int:
    return rings((curve <= healthy.min(0).values) | (curve >= healthy.max(0).values), patience)


def hundred_iterations(curve: Tensor, healthy: Tensor, patience: int) -> int:
    """Right when small: it looks at the first 64 iterations."""
    return rings(outside_of(curve, healthy)[:64], patience)


ROW, SIDES = "patience_in_a_row", "above_and_below"

ALARM = (
    Wrong("18.3", "from zero", SIDES, from_zero, says="counted from 0"),
    Wrong("18.3", "above only", SIDES, above_only, says="no alarm on this side"),
    Wrong("18.3", "below only", SIDES, below_only, says="no alarm on this side"),
    Wrong("18.3", "the first of them", ROW, first_of_them, says="in the last of them"),
    Wrong("18.3", "not in a row", ROW, not_in_a_row),
    Wrong("18.3", "impatient", ROW, impatient, says="patience is not used"),
    Wrong("18.3", "the range of all", "each_iteration_has_its_own_range", range_of_all, says="all iterations"),
    Wrong("18.3", "the edge is outside", "no_alarm_inside", edge_is_outside, says="on the edge"),
    Wrong("18.3", "64 iterations", "many_runs", hundred_iterations),
    Wrong(
        "18.3",
        "no prediction",
        "predictions_for_the_alarms",
        answers=(("prediction_beta_0", "all"),),
        says="prediction_beta_0",
    ),
    Wrong("18.3", "another number", "the_alarms_are_in_answers", answers=(("beta_0_kl", 39.0),), says="beta_0_kl"),
    Wrong("18.3", "no reason", "the_reason_for_the_alarms", answers=(("because", "it is so"),)),
)


# ---- 18.4 ----------------------------------------------------------------------------------------------------------

KEPT = "        if step == 0:\n            old = now.detach()  # [B,K]\n"
CLIPPED = "ratio.clamp(1 - CLIP, 1 + CLIP) * advantages  # [B,K] each"
LOSS = "    loss = -torch.minimum(plain, clipped).mean(dim=1).sum()"
STAY = "many_steps_stay_near"

NEVER = (
    Wrong("18.4", "as handed out", STAY, edits=((KEPT, "        old = now.detach()\n"),), says="starts anew"),
    Wrong("18.4", "no clip", STAY, edits=((CLIPPED, "ratio * advantages"),), says="no effect"),
    Wrong("18.4", "the way back is closed", STAY, edits=((LOSS, "    loss = -clipped.mean(dim=1).sum()"),)),
    Wrong(
        "18.4",
        "every second step",
        STAY,
        edits=((KEPT, "        if step % 2 == 0:\n            old = now.detach()\n"),),
    ),
    Wrong("18.4", "not detached", STAY, edits=((KEPT, "        old = now\n"),)),
    Wrong(
        "18.4",
        "written anew",
        "the_clip_is_mended_in_three_lines",
        edits=(
            (
                KEPT,
                "        first = step == 0\n        if first:\n            sampled = now.detach()\n"
                "        old = sampled\n",
            ),
        ),
    ),
)

WRONG = (*ALARM, *NEVER)


# ---- Right, and unlike ours ------------------------------------------------------------------------------------------


def by_hand(logits: Tensor, drawn: Tensor, scores: Tensor, steps: int, log: list[str] | None = None) -> Tensor:
    """REINFORCE's gradient with a weight that is 0 where a gain has gone too far."""
    old, advantages = logits.log_softmax(-1).gather(1, drawn), scores - scores.mean(dim=1, keepdim=True)
    for _ in range(steps):
        z = logits.detach().requires_grad_()
        now = z.log_softmax(-1).gather(1, drawn)
        ratio = (now - old).exp().detach()
        stop = ((advantages > 0) & (ratio > 1.2)) | ((advantages < 0) & (ratio < 0.8))
        weight = torch.where(stop, 0.0, ratio * advantages)
        (gradient,) = torch.autograd.grad(-(weight * now).mean(dim=1).sum(), z)
        logits = logits - gradient
    return logits


ALSO_RIGHT = (("18.3", right_alarm), ("18.4", by_hand))
