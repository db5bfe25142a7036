"""Checks of chapter 17: the KL of a token (17.3), the spread of its estimates (17.4), a β without effect (17.5)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tutorials.exercises.checks.answers import expect_choice, expect_measured, expect_sentence
from tutorials.exercises.checks.ch17 import draw_mask
from tutorials.exercises.judging import (
    CheckError,
    Draw,
    expect_close,
    expect_close_when_large,
    expect_gradients,
    expect_small_fix,
    expect_tensor,
    expect_unchanged,
)
from tutorials.exercises.measure import KL_WORLDS
from tutorials.exercises.specs.ch17 import exact_kl, objective_gradient, spread_of_estimate
from tutorials.exercises.subject import Subject

# ---- 17.3 ----------------------------------------------------------------------------------------------------------

Logits = tuple[Tensor, Tensor, Tensor]  # logits and ref_logits [B,N,V], mask [B,N]


def draw_logits(draw: Draw, B: int, N: int, V: int) -> Logits:
    """Two models that differ, and answers of different lengths."""
    return draw.normal(B, N, V), draw.normal(B, N, V), draw_mask(draw, B, N)


def one_kl_a_token(subject: Subject, draw: Draw) -> None:
    """The KLs are [B,N], one for each token."""
    B, N, V = draw.sizes(3, 3, 7)
    expect_tensor(subject(*draw_logits(draw, B, N, V)), (B, N), "B N", torch.float32, "the KLs")


def the_logits_stay(subject: Subject, draw: Draw) -> None:
    """logits, ref_logits and mask are left as they are."""
    expect_unchanged(subject, *draw_logits(draw, *draw.sizes(3, 3, 7)), names="logits ref_logits mask")


def the_same_model_has_no_kl(subject: Subject, draw: Draw) -> None:
    """Equal distributions, though not equal logits: a number added to all logits changes no distribution."""
    logits, _, mask = draw_logits(draw, *draw.sizes(3, 3, 7))
    expect_close(
        subject(logits, logits + 2.0, mask), torch.zeros(mask.shape),
        "the reference's logits are the policy's plus 2: the same distribution, so KL is 0",
        likely="take log_softmax of both first; logits are no log-probabilities",
    )  # fmt: skip


def two_tokens_of_a_vocabulary(subject: Subject, draw: Draw) -> None:
    """π = (¾, ¼), π_ref = (½, ½) or the other way round: all numbers by hand."""
    p, q = torch.tensor([[[0.75, 0.25]]]), torch.tensor([[[0.5, 0.5]]])
    forward = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    backward = 0.5 * math.log(2 / 3) + 0.5 * math.log(2)
    for mine, other, right, wrong in ((p, q, forward, backward), (q, p, backward, forward)):
        expect_close(
            subject(mine.log(), other.log(), torch.tensor([[True]])), torch.tensor([[right]]),
            "Σ π·(log π − log π_ref), in nats", given={"π": mine[0], "π_ref": other[0]},
            likely="a sum over the vocabulary, weighted by the probabilities of the policy",
            mistakes={
                "that is KL(π_ref ‖ π): weight by the POLICY's probabilities": torch.tensor([[wrong]]),
                "the sign: log π − log π_ref": torch.tensor([[-right]]),
                "the sign, and weighted by the reference": torch.tensor([[-wrong]]),
                "averaged over the vocabulary, not added up": torch.tensor([[right / 2]]),
                "that is in bits; use the natural logarithm": torch.tensor([[right / math.log(2)]]),
            },
        )  # fmt: skip


def forbidden_tokens_add_nothing(subject: Subject, draw: Draw) -> None:
    """A token with a logit of −inf has probability 0 and adds 0, also where both forbid it."""
    logits, reference, mask = draw_logits(draw, 2, 3, 5)
    logits[..., 1:3] = -torch.inf
    reference[..., 2] = -torch.inf
    expect_close(
        subject(logits, reference, mask), exact_kl(logits, reference, mask),
        "the policy forbids tokens 1 and 2, the reference token 2: they add nothing",
        likely="a token that the policy never says must not count",
        not_finite="0 · (−inf) and −inf − (−inf) are NaN: replace what has probability 0",
    )  # fmt: skip
    got = subject.gradients(logits, reference, mask)
    if isinstance(got, list) and not bool(got[0].isfinite().all()):
        raise CheckError(
            "the KL is right where tokens are forbidden, but its gradient is NaN",
            likely="0 times (−inf) in the backward pass: replace the DIFFERENCE of the logs before you multiply",
        )


def nothing_in_the_padding(subject: Subject, draw: Draw) -> None:
    """Where the mask is False the KL is 0, whatever the logits are there."""
    logits, reference, mask = draw_logits(draw, *draw.sizes(3, 4, 7))
    expected = exact_kl(logits, reference, mask)
    for name, garbage in (("1000", 1000.0), ("NaN", torch.nan)):
        dirty = logits.masked_fill(~mask[..., None], garbage)
        expect_close(
            subject(dirty, reference, mask), expected, f"where the mask is False, all logits hold {name}",
            given={"mask": mask.int()}, likely="the padding is 0",
            not_finite="0 times NaN is NaN: replace what is in the padding, do not multiply",
        )  # fmt: skip


def kl_gradients_flow(subject: Subject, draw: Draw) -> None:
    """The gradients of both logits are those of the specification."""
    expect_gradients(
        subject, draw_logits(draw, *draw.sizes(3, 3, 6)), exact_kl, "logits ref_logits",
        likely="detach, item, or the weights are taken as constants",
    )  # fmt: skip


def a_large_vocabulary(subject: Subject, draw: Draw) -> None:
    """Many tokens of a vocabulary of hundreds: the loops in specs/ch17.py."""
    B, N, V = draw.size(6, 8), draw.size(18, 22), draw.size(130, 150)
    inputs = draw_logits(draw, B, N, V)
    few = (draw.normal(70, 2, 3), draw.normal(70, 2, 3), draw_mask(draw, 70, 2))
    expect_close_when_large(subject(*few), exact_kl(*few), "B N", "B = 70")
    expect_close_when_large(subject(*inputs), kl_by_rows(*inputs), "B N", f"N = {N}, V = {V}")


def kl_by_rows(logits: Tensor, ref_logits: Tensor, mask: Tensor) -> Tensor:
    """As the specification, a whole distribution at a time: the loops would take seconds."""
    rows = torch.zeros(mask.shape)
    for b, n in mask.nonzero().tolist():
        policy, reference = logits[b, n].log_softmax(0), ref_logits[b, n].log_softmax(0)
        rows[b, n] = torch.nn.functional.kl_div(reference, policy, reduction="sum", log_target=True)
    return rows


# ---- 17.4 ----------------------------------------------------------------------------------------------------------


def predictions_for_the_spread(subject: Subject, draw: Draw) -> None:
    """answers.toml has a prediction for both worlds."""
    for name in ("prediction_near", "prediction_far"):
        expect_choice(subject, name, ("k1", "k3"))


def draw_two(draw: Draw, V: int) -> tuple[Tensor, Tensor]:
    """Two distributions [V]."""
    return draw.normal(V).softmax(0), draw.normal(V).softmax(0)


def no_spread_where_nothing_differs(subject: Subject, draw: Draw) -> None:
    """Policy and reference are the same: every estimate is 0."""
    policy, _ = draw_two(draw, draw.size(3, 6))
    for kind in ("k1", "k2", "k3"):
        expect_close(
            subject(policy, policy.clone(), kind), 0.0, f"{kind}: Δ is 0 for every answer, so nothing scatters",
            given={"policy": policy}, likely="a tensor is returned, or a number that is not 0 for Δ = 0",
        )  # fmt: skip


def two_answers_scatter(subject: Subject, draw: Draw) -> None:
    """π = (½, ½), π_ref = (¼, ¾): Δ = ln 2 or ln ⅔, all numbers by hand."""
    policy, reference = torch.tensor([0.5, 0.5]), torch.tensor([0.25, 0.75])
    first, second = math.log(2), math.log(2 / 3)
    estimates = {
        "k1": (first, second),
        "k2": (first**2 / 2, second**2 / 2),
        "k3": (0.5 - 1 + first, 1.5 - 1 + second),
    }
    for kind, (one, two) in estimates.items():
        right = abs(one - two) / 2
        expect_close(
            subject(policy, reference, kind), right,
            f"{kind} is {one:.4f} or {two:.4f}, half of the time each: each is {right:.4f} away from the mean",
            likely="the root of the mean squared distance from the mean, weighted by the policy's probabilities",
            mistakes={
                "that is the variance; take its root": right**2,
                "the mean is not subtracted": math.sqrt((one**2 + two**2) / 2),
                "the divisor is V − 1; here the probabilities are known": right * math.sqrt(2),
            },
        )  # fmt: skip


def the_policy_draws(subject: Subject, draw: Draw) -> None:
    """Random distributions, a few answers and two hundred: the loops in specs/ch17.py."""
    for V in (draw.size(3, 6), draw.size(180, 220)):
        policy, reference = draw_two(draw, V)
        for kind in ("k1", "k2", "k3"):
            right = spread_of_estimate(policy, reference, kind)
            expect_close(
                subject(policy, reference, kind), right, f"{kind}, {V} answers: as in specs/ch17.py", rtol=1e-3,
                likely="the POLICY draws, so its probabilities are the weights; and k3 has exp(−Δ)",
                mistakes={
                    "Δ = log π − log π_ref, not the other way round": spread_with_minus(policy, reference, kind),
                },
            )  # fmt: skip


def spread_with_minus(policy: Tensor, reference: Tensor, kind: str) -> float:
    """What comes out with −Δ in place of Δ."""
    delta = (reference.log() - policy.log()).double()
    estimate = {"k1": delta, "k2": delta**2 / 2, "k3": torch.expm1(-delta) + delta}[kind]
    weights = policy.double()
    return float((weights @ (estimate - weights @ estimate) ** 2).sqrt())


def the_spreads_are_in_answers(subject: Subject, draw: Draw) -> None:
    """The four numbers in answers.toml are those of your function for the two worlds."""
    for world, (policy, reference) in KL_WORLDS.items():
        for kind in ("k1", "k3"):
            value = subject(torch.tensor(policy), torch.tensor(reference), kind)
            expect_measured(subject, f"{world}_{kind}", value)


def the_reason_for_the_spread(subject: Subject, draw: Draw) -> None:
    """answers.toml says why, in your own words; a person will read it."""
    expect_sentence(subject)


# ---- 17.5 ----------------------------------------------------------------------------------------------------------


def draw_world(draw: Draw, V: int) -> tuple[Tensor, Tensor, Tensor]:
    """How often each of V answers is in a batch [V], the reference's probabilities [V], and scores [V]."""
    counts = torch.tensor([draw.size(1, 6) for _ in range(V)])
    return counts, draw.normal(V).softmax(0), draw.normal(V)


def mean_gradient(subject: Subject, counts: Tensor, reference: Tensor, scores: Tensor, beta: float) -> Tensor:
    """−∂loss/∂logits of the policy counts/Σ, from a batch that holds each answer as often as the policy says it."""
    policy = counts / counts.sum()  # [V]
    answers = torch.arange(len(counts)).repeat_interleave(counts)  # [B]
    now = policy.log()[answers]  # [B]
    got = subject.gradients(now, now.clone(), reference.log()[answers], scores[answers], beta)
    if not isinstance(got, list):
        raise CheckError("a gradient must flow through the loss, or nothing is learned", likely="a detach too many")
    onehots = torch.eye(len(counts))[answers]  # [B,V]
    return -(got[0][:, None] * (onehots - policy)).sum(0)


def without_scores_it_goes_back(subject: Subject, draw: Draw) -> None:
    """All scores are equal: the step must be β times the way back to the reference, and larger for a larger β."""
    counts, reference, _ = draw_world(draw, draw.size(4, 6))
    policy, scores = counts / counts.sum(), torch.ones(len(counts))
    for beta in (0.5, 2.0):
        expect_close(
            mean_gradient(subject, counts, reference, scores, beta),
            objective_gradient(policy, reference, scores, beta),
            f"all scores are 1 and β = {beta}: on average the step is −β·∇KL(π ‖ π_ref)",
            given={"π": policy, "π_ref": reference},
            likely="what is the mean of ∇ log π over the policy's own samples?",
            mistakes={
                "the KL pushes on average by nothing at all": torch.zeros(len(counts)),
                "it goes away from the reference": -objective_gradient(policy, reference, scores, beta),
                "that is −β·∇KL(π_ref ‖ π), the other KL; k3 in the loss does that": beta * (reference - policy),
            },
        )  # fmt: skip


def the_mean_step_climbs_the_objective(subject: Subject, draw: Draw) -> None:
    """Random scores: the mean step is the gradient of E[score] − β·KL(π ‖ π_ref), for few answers and for many."""
    for V in (draw.size(4, 6), draw.size(70, 80)):
        counts, reference, scores = draw_world(draw, V)
        policy = counts / counts.sum()
        expect_close(
            mean_gradient(subject, counts, reference, scores, 0.5),
            objective_gradient(policy, reference, scores, 0.5),
            f"{V} answers, β = 0.5: the step is not that of E[score] − β·KL(π ‖ π_ref)",
            likely="the KL in the wrong direction, or counted twice", rtol=1e-3,
        )  # fmt: skip


def beta_is_mended_in_three_lines(subject: Subject, draw: Draw) -> None:
    """One to three lines of code differ from what was handed out."""
    expect_small_fix(subject)


CHECKS = {
    "17.3": (
        one_kl_a_token, the_logits_stay, the_same_model_has_no_kl, two_tokens_of_a_vocabulary,
        forbidden_tokens_add_nothing, nothing_in_the_padding, kl_gradients_flow, a_large_vocabulary,
    ),
    "17.4": (
        predictions_for_the_spread, no_spread_where_nothing_differs, two_answers_scatter, the_policy_draws,
        the_spreads_are_in_answers, the_reason_for_the_spread,
    ),
    "17.5": (without_scores_it_goes_back, the_mean_step_climbs_the_objective, beta_is_mended_in_three_lines),
}  # fmt: skip
