"""Checks of chapter 17: generalised advantage estimation (17.1), and the clipped loss (17.2)."""

from __future__ import annotations

import torch
from torch import Tensor

from tutorials.exercises.judging import (
    CheckError,
    Draw,
    expect_close,
    expect_close_when_large,
    expect_tensor,
    expect_unchanged,
)
from tutorials.exercises.specs.ch17 import advantages_of, clipped_loss
from tutorials.exercises.subject import Subject

Paid = tuple[Tensor, Tensor, Tensor, float, float]  # rewards, values, mask [B,N], gamma, lam
GARBAGE = {"1000": 1000.0, "inf": torch.inf, "NaN": torch.nan}


def draw_mask(draw: Draw, B: int, N: int) -> Tensor:
    """Answers of different lengths, the first of them full, the last of one token: [B,N]."""
    lengths = torch.tensor([N, *(draw.size(1, N) for _ in range(B - 2)), 1])  # [B]
    return torch.arange(N) < lengths[:, None]


def whole(numbers: list[float]) -> tuple[Tensor, Tensor]:
    """One answer without padding, and its mask: [1,N] each."""
    row = torch.tensor([numbers])
    return row, torch.ones_like(row, dtype=torch.bool)


# ---- 17.1 ----------------------------------------------------------------------------------------------------------


def draw_paid(draw: Draw, B: int, N: int) -> Paid:
    """Random rewards and values, numbers in the padding too."""
    return draw.normal(B, N), draw.normal(B, N), draw_mask(draw, B, N), draw.size(5, 9) / 10, draw.size(5, 9) / 10


def one_advantage_a_token(subject: Subject, draw: Draw) -> None:
    """The advantages are [B,N], of the type of the rewards."""
    B, N = draw.sizes(2, 3, 6)
    expect_tensor(subject(*draw_paid(draw, B, N)), (B, N), "B N", torch.float32, "the advantages")


def rewards_and_values_stay(subject: Subject, draw: Draw) -> None:
    """rewards, values and mask are left as they are."""
    B, N = draw.sizes(2, 3, 6)
    expect_unchanged(subject, *draw_paid(draw, B, N), names="rewards values mask gamma lam")


def nothing_follows_the_last_token(subject: Subject, draw: Draw) -> None:
    """One token: A = r − V, as V after the end is 0."""
    reward, value = float(draw.size(3, 9)), float(draw.size(1, 2))
    (rewards, mask), (values, _) = whole([reward]), whole([value])
    expect_close(
        subject(rewards, values, mask, 1.0, 0.5), torch.tensor([[reward - value]]),
        f"one token, r = {reward:.0f}, V = {value:.0f}: nothing follows, so A = r − V",
        likely="V after the last token is 0, and so is A",
        mistakes={
            "the value is not subtracted, or it is added again as the value that follows": rewards,
            "the sign: r + γ·0 − V": values - rewards,
            "the value is added; that is no advantage": rewards + values,
        },
    )  # fmt: skip


def lambda_zero_is_the_td_error(subject: Subject, draw: Draw) -> None:
    """λ = 0: A_t = δ_t, with γ before the value that follows."""
    (rewards, mask), (values, _) = whole([1.0, 2.0, 4.0]), whole([float(draw.size(1, 4)) for _ in range(3)])
    gamma = 0.5
    ahead = torch.tensor([[*values[0, 1:].tolist(), 0.0]])
    expect_close(
        subject(rewards, values, mask, gamma, 0.0), rewards + gamma * ahead - values,
        "λ = 0, γ = ½: A_t = r_t + ½·V_{t+1} − V_t", given={"rewards": rewards, "values": values},
        likely="the value of the NEXT token is added, and that of this one subtracted",
        mistakes={
            "γ is missing before the value that follows": rewards + ahead - values,
            "the value that follows is missing": rewards - values,
            "the value BEFORE this one is taken": rewards
            + gamma * torch.tensor([[0.0, *values[0, :-1].tolist()]])
            - values,
            "this and the next value are exchanged": rewards + gamma * values - ahead,
        },
    )  # fmt: skip


def lambda_one_is_return_minus_value(subject: Subject, draw: Draw) -> None:
    """λ = γ = 1: what is still to come, minus the value."""
    (rewards, mask), (values, _) = whole([1.0, 2.0, 4.0]), whole([float(draw.size(1, 4)) for _ in range(3)])
    returns = torch.tensor([[7.0, 6.0, 4.0]])
    so_far = torch.tensor([[1.0, 3.0, 7.0]])
    expect_close(
        subject(rewards, values, mask, 1.0, 1.0), returns - values,
        "λ = γ = 1, rewards 1, 2, 4: the returns are 7, 6, 4, and A is the return minus V",
        given={"values": values}, likely="run from the last token to the first, and carry A along",
        mistakes={
            "run from the first token to the last: that credits a token with the past": so_far - values,
            "A of the next token is missing, that is the TD error": rewards
            + torch.tensor([[*values[0, 1:].tolist(), 0.0]])
            - values,
            "those are the returns; subtract the values": returns,
        },
    )  # fmt: skip


def four_tokens_of_the_chapter(subject: Subject, draw: Draw) -> None:
    """The four tokens by hand, with λ = ½ and both γ = 1 and γ = ½."""
    (rewards, mask), (values, _) = whole([-0.1, 0.0, -0.1, 1.0]), whole([0.2, 0.4, 0.5, 0.6])
    expect_close(
        subject(rewards, values, mask, 1.0, 0.5), torch.tensor([[0.2, 0.2, 0.2, 0.4]]),
        "the chapter's four tokens with γ = 1 and λ = ½", given={"rewards": rewards, "values": values},
        likely="A_t = δ_t + γ·λ·A_{t+1}: is λ there, and only once?",
    )  # fmt: skip
    arguments = (rewards, values, mask, 0.5, 0.5)
    expect_close(
        subject(*arguments), advantages_of(*arguments),
        "the chapter's four tokens with γ = ½ and λ = ½", given={"rewards": rewards, "values": values},
        likely="γ stands at two places: before the value that follows, and before λ·A",
    )  # fmt: skip


def the_end_of_each_answer(subject: Subject, draw: Draw) -> None:
    """Garbage in the padding, even NaN, changes nothing; the advantages there are 0."""
    B, N = draw.sizes(2, 4, 7)
    rewards, values, mask, gamma, lam = draw_paid(draw, B, N)
    expected = advantages_of(rewards, values, mask, gamma, lam)
    for name, garbage in GARBAGE.items():
        dirty = (rewards.masked_fill(~mask, garbage), values.masked_fill(~mask, garbage))
        expect_close(
            subject(*dirty, mask, gamma, lam), expected,
            f"where the mask is False, rewards and values hold {name}", given={"mask": mask.int()},
            likely="what stands in the padding is used: an answer's last token has nothing after it",
            not_finite="0 times NaN is NaN: replace what is in the padding before you compute",
        )  # fmt: skip


def many_long_answers(subject: Subject, draw: Draw) -> None:
    """Dozens of answers of dozens of tokens: the sums in specs/ch17.py."""
    B, N = draw.size(70, 80), draw.size(50, 60)
    arguments = draw_paid(draw, B, N)
    expect_close_when_large(subject(*arguments), advantages_of(*arguments), "B N", f"B = {B}, N = {N}")


# ---- 17.2 ----------------------------------------------------------------------------------------------------------

Ratios = tuple[Tensor, Tensor, Tensor, Tensor, float]  # logprobs, old_logprobs, advantages, mask [B,N], clip


def draw_ratios(draw: Draw, B: int, N: int) -> Ratios:
    """Ratios around 1, many of them beyond the clip."""
    old = -draw.normal(B, N).abs()
    return old + 0.5 * draw.normal(B, N), old, draw.normal(B, N), draw_mask(draw, B, N), draw.size(1, 3) / 10


def the_clipped_loss_is_a_scalar(subject: Subject, draw: Draw) -> None:
    """A tensor without axes, of the type of the log-probabilities."""
    B, N = draw.sizes(2, 3, 6)
    expect_tensor(subject(*draw_ratios(draw, B, N)), (), "", torch.float32, "the loss")


def what_was_stored_stays(subject: Subject, draw: Draw) -> None:
    """logprobs, old_logprobs, advantages and mask are left as they are."""
    B, N = draw.sizes(2, 3, 6)
    expect_unchanged(subject, *draw_ratios(draw, B, N), names="logprobs old_logprobs advantages mask clip")


def at_the_start_every_ratio_is_one(subject: Subject, draw: Draw) -> None:
    """π = π_old: the loss is minus the mean advantage."""
    logprobs, mask = whole([-float(draw.size(1, 3)) for _ in range(4)])
    advantages = draw.whole(1, 4, low=1)
    mean = advantages.mean()
    expect_close(
        subject(logprobs, logprobs.clone(), advantages, mask, 0.2), -mean,
        "the policy is still the one that sampled, so every ratio is 1 and the loss is −mean A",
        given={"advantages": advantages}, likely="ρ = exp(log π − log π_old), which is exp(0) = 1 here",
        mistakes={
            "the sign: an optimiser makes the loss small": mean,
            "the tokens are added up; divide by their number": -advantages.sum(),
            "the difference of the logs is used in place of the ratio": torch.tensor(0.0),
            "log π is used in place of the ratio": -(logprobs * advantages).mean(),
        },
    )  # fmt: skip


def the_four_cases(subject: Subject, draw: Draw) -> None:
    """ρ = 3/2 or ½, A = a or −a, ε = 0.2: only a gain that went too far is cut."""
    a = float(draw.size(2, 5))
    for ratio in (1.5, 0.5):
        for advantage in (a, -a):
            (logprobs, mask), (old, _) = whole([-1.0 + float(torch.tensor(ratio).log())]), whole([-1.0])
            near, plain = (1.2 if ratio > 1 else 0.8) * advantage, ratio * advantage
            other, back = max(plain, near), (0.8 if ratio > 1 else 1.2) * advantage
            expect_close(
                subject(logprobs, old, torch.tensor([[advantage]]), mask, 0.2), torch.tensor(-min(plain, near)),
                f"ρ = {ratio}, A = {advantage:.0f}: ρ·A = {plain:.1f}, clipped {near:.1f}, and the smaller counts",
                likely="the loss is minus the SMALLER of ρ·A and clip(ρ)·A",
                mistakes={
                    "the larger of the two is taken, or nothing is clipped": torch.tensor(-other),
                    "the sign: the loss is MINUS the smaller one": torch.tensor(min(plain, near)),
                    "the ratio is turned over: it is π/π_old": torch.tensor(-min(advantage / ratio, back)),
                },
            )  # fmt: skip


def real_tokens_only(subject: Subject, draw: Draw) -> None:
    """The mean runs over real tokens; garbage in the padding, even NaN, changes neither loss nor gradient."""
    B, N = draw.sizes(2, 4, 7)
    logprobs, old, advantages, mask, clip = draw_ratios(draw, B, N)
    expected = clipped_loss(logprobs, old, advantages, mask, clip)
    padded = float(expected) * float(mask.float().mean())
    by_answer = torch.stack([clipped_loss(*(x[b : b + 1] for x in (logprobs, old, advantages, mask)), clip)
                             for b in range(B)]).mean()  # fmt: skip
    for name, garbage in GARBAGE.items():
        dirty = (logprobs.masked_fill(~mask, garbage), old.masked_fill(~mask, 0.0), advantages, mask, clip)
        expect_close(
            subject(*dirty), expected, f"where the mask is False, logprobs holds {name}", given={"mask": mask.int()},
            likely="what stands in the padding is used, or counted",
            mistakes={
                "divided by B·N, padding included": torch.tensor(padded),
                "each answer is averaged first, so tokens of short answers weigh more": by_answer,
            },
            not_finite="0 times NaN is NaN, and exp(1000) is infinite: leave the padding out before you compute",
        )  # fmt: skip
    got = subject.gradients(logprobs.masked_fill(~mask, torch.nan), old, advantages, mask, clip)
    if isinstance(got, list) and not bool((got[0][~mask] == 0).all()):
        raise CheckError("the gradient at a padded place must be 0", likely="leave the padding out before exp")


def where_the_gradient_stops(subject: Subject, draw: Draw) -> None:
    """∂loss/∂log π is −ρ·A/n, and 0 where a gain has gone too far."""
    B, N = draw.sizes(2, 4, 7)
    logprobs, old, advantages, mask, clip = draw_ratios(draw, B, N)
    got = subject.gradients(logprobs, old, advantages, mask, clip)
    if not isinstance(got, list):
        what = "a gradient must flow through the result, or nothing is learned"
        raise CheckError(what, likely="detach, item, no_grad, or a tensor made of numbers")
    ratio = (logprobs - old).exp()
    too_far = ((advantages > 0) & (ratio > 1 + clip)) | ((advantages < 0) & (ratio < 1 - clip))
    plain = -ratio * advantages * mask / mask.sum()
    expect_close(
        got[0], plain * ~too_far, f"ε = {clip}: the gradient by log π of each token", given={"mask": mask.int()},
        likely="the ratio carries the gradient: nothing of it may be detached",
        mistakes={"nothing is clipped": plain},
    )  # fmt: skip


def a_large_rollout(subject: Subject, draw: Draw) -> None:
    """Dozens of answers of dozens of tokens: the loops in specs/ch17.py."""
    B, N = draw.size(70, 80), draw.size(40, 50)
    arguments = draw_ratios(draw, B, N)
    expect_close_when_large(subject(*arguments), clipped_loss(*arguments), "", f"B = {B}, N = {N}")


CHECKS = {
    "17.1": (
        one_advantage_a_token, rewards_and_values_stay, nothing_follows_the_last_token, lambda_zero_is_the_td_error,
        lambda_one_is_return_minus_value, four_tokens_of_the_chapter, the_end_of_each_answer, many_long_answers,
    ),
    "17.2": (
        the_clipped_loss_is_a_scalar, what_was_stored_stays, at_the_start_every_ratio_is_one, the_four_cases,
        real_tokens_only, where_the_gradient_stops, a_large_rollout,
    ),
}  # fmt: skip
