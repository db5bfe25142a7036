"""Wrong solutions of chapter 17 (17.1, 17.2), and right ones that look unlike ours."""

from __future__ import annotations

import torch
from torch import Tensor

from tutorials.instructor.wrong import Wrong


def clean(x: Tensor, mask: Tensor) -> Tensor:
    """0 in the padding."""
    return torch.where(mask, x, 0.0)


def following(values: Tensor) -> Tensor:
    """The next value of each row; 0 after the last column."""
    return torch.cat([values[:, 1:], values[:, :1] * 0], dim=1)


def carried(errors: Tensor, factor: float) -> Tensor:
    """A_t = δ_t + factor·A_{t+1}."""
    result, running = torch.zeros_like(errors), torch.zeros_like(errors[:, 0])
    for t in reversed(range(errors.shape[1])):
        running = errors[:, t] + factor * running
        result[:, t] = running
    return result


# ---- 17.1 ----------------------------------------------------------------------------------------------------------


def no_value(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float) -> Tensor:
    return carried(clean(rewards, mask), gamma * lam)


def bootstraps_at_the_end(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float) -> Tensor:
    """The last value follows itself."""
    r, v = clean(rewards, mask), clean(values, mask)
    ahead = torch.cat([v[:, 1:], v[:, -1:]], dim=1)
    return carried((r + gamma * ahead - v) * mask, gamma * lam)


def no_gamma_before_value(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float) -> Tensor:
    r, v = clean(rewards, mask), clean(values, mask)
    return carried(r + following(v) - v, gamma * lam)


def value_before(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float) -> Tensor:
    r, v = clean(rewards, mask), clean(values, mask)
    before = torch.cat([v[:, :1] * 0, v[:, :-1]], dim=1)
    return carried((r + gamma * before - v) * mask, gamma * lam)


def td_error(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float) -> Tensor:
    """λ is never used."""
    r, v = clean(rewards, mask), clean(values, mask)
    return r + gamma * following(v) - v


def no_gamma_before_lambda(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float) -> Tensor:
    r, v = clean(rewards, mask), clean(values, mask)
    return carried(r + gamma * following(v) - v, lam)


def no_lambda(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float) -> Tensor:
    r, v = clean(rewards, mask), clean(values, mask)
    return carried(r + gamma * following(v) - v, gamma * (lam > 0))


def forwards(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float) -> Tensor:
    r, v = clean(rewards, mask), clean(values, mask)
    return carried((r + gamma * following(v) - v).flip(1), gamma * lam).flip(1) * mask


def returns(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float) -> Tensor:
    """A + V where λ is above 0: the target of the value model."""
    r, v = clean(rewards, mask), clean(values, mask)
    advantages = carried(r + gamma * following(v) - v, gamma * lam)
    return advantages + v if lam == 1 else advantages


def reads_the_padding(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float) -> Tensor:
    """The value that follows the last token is that of the first pad."""
    errors = torch.where(mask, rewards + gamma * following(values) - values, 0.0)
    return carried(errors, gamma * lam)


def times_the_mask(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float) -> Tensor:
    """0 · NaN."""
    r, v = rewards * mask, values * mask
    return carried(r + gamma * following(v) - v, gamma * lam)


def not_masked(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float) -> Tensor:
    return carried(rewards + gamma * following(values) - values, gamma * lam)


def window_of_32(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float) -> Tensor:
    """Right when small: tokens from the 33rd on are left out."""
    r, v = clean(rewards, mask), clean(values, mask)
    errors = r + gamma * following(v) - v
    return torch.cat([carried(errors[:, :32], gamma * lam), errors[:, 32:]], dim=1)


def sixty_four_rows(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float) -> Tensor:
    """Right when small: answers from the 65th on stay 0."""
    r, v = clean(rewards, mask), clean(values, mask)
    result = carried(r + gamma * following(v) - v, gamma * lam)
    result[64:] = 0
    return result


END, ZERO, ONE = "nothing_follows_the_last_token", "lambda_zero_is_the_td_error", "lambda_one_is_return_minus_value"
FOUR, PAD, MANY = "four_tokens_of_the_chapter", "the_end_of_each_answer", "many_long_answers"

GAE = (
    Wrong("17.1", "no value", END, no_value, says="not subtracted"),
    Wrong("17.1", "bootstraps at the end", END, bootstraps_at_the_end, says="the value that follows"),
    Wrong("17.1", "no γ before V", ZERO, no_gamma_before_value, says="γ is missing"),
    Wrong("17.1", "the value before", ZERO, value_before, says="BEFORE"),
    Wrong("17.1", "TD error only", ONE, td_error, says="TD error"),
    Wrong("17.1", "forwards", ONE, forwards),
    Wrong("17.1", "returns", ONE, returns, says="those are the returns"),
    Wrong("17.1", "no λ", FOUR, no_lambda, says="is λ there"),
    Wrong("17.1", "no γ before λ", FOUR, no_gamma_before_lambda, says="γ stands at two places"),
    Wrong("17.1", "reads the padding", PAD, reads_the_padding, says="has nothing after it"),
    Wrong("17.1", "times the mask", PAD, times_the_mask, says="0 times NaN"),
    Wrong("17.1", "not masked", PAD, not_masked),
    Wrong("17.1", "32 tokens", MANY, window_of_32, says="the small cases are right"),
    Wrong("17.1", "64 answers", MANY, sixty_four_rows, says="the small cases are right"),
    Wrong(
        "17.1",
        "calls the package",
        "can_be_checked",
        says="write that yourself",
        edits=(
            ("import torch\n", "import torch\n\nfrom rlhf.stage3_ppo import losses\n"),
            (
                "    columns, running = [], torch.zeros_like(errors[:, 0])  # [B]\n",
                "    return losses.gae(rewards, values, mask, gamma, lam)[0]\n    columns, running = [], 0\n",
            ),
        ),
    ),
)


# ---- 17.2 ----------------------------------------------------------------------------------------------------------


def gains(logprobs: Tensor, old: Tensor, advantages: Tensor, mask: Tensor, clip: float) -> tuple[Tensor, Tensor]:
    """ρ·A and clip(ρ)·A, [B,N] each, of the real tokens."""
    ratio = torch.where(mask, logprobs - old, 0.0).exp()
    return ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages


def mean_of(x: Tensor, mask: Tensor) -> Tensor:
    return torch.where(mask, x, 0.0).sum() / mask.sum()


def gain_not_loss(logprobs: Tensor, old: Tensor, advantages: Tensor, mask: Tensor, clip: float) -> Tensor:
    return mean_of(torch.minimum(*gains(logprobs, old, advantages, mask, clip)), mask)


def summed(logprobs: Tensor, old: Tensor, advantages: Tensor, mask: Tensor, clip: float) -> Tensor:
    return -torch.where(mask, torch.minimum(*gains(logprobs, old, advantages, mask, clip)), 0.0).sum()


def log_ratio_only(logprobs: Tensor, old: Tensor, advantages: Tensor, mask: Tensor, clip: float) -> Tensor:
    return -mean_of((logprobs - old) * advantages, mask)


def logprob_for_ratio(logprobs: Tensor, old: Tensor, advantages: Tensor, mask: Tensor, clip: float) -> Tensor:
    return -mean_of(logprobs * advantages, mask)


def never_clipped(logprobs: Tensor, old: Tensor, advantages: Tensor, mask: Tensor, clip: float) -> Tensor:
    return -mean_of(gains(logprobs, old, advantages, mask, clip)[0], mask)


def always_clipped(logprobs: Tensor, old: Tensor, advantages: Tensor, mask: Tensor, clip: float) -> Tensor:
    """clip(ρ)·A alone: no way back for a ratio that has gone the wrong way."""
    return -mean_of(gains(logprobs, old, advantages, mask, clip)[1], mask)


def larger_one(logprobs: Tensor, old: Tensor, advantages: Tensor, mask: Tensor, clip: float) -> Tensor:
    return -mean_of(torch.maximum(*gains(logprobs, old, advantages, mask, clip)), mask)


def turned_over(logprobs: Tensor, old: Tensor, advantages: Tensor, mask: Tensor, clip: float) -> Tensor:
    return -mean_of(torch.minimum(*gains(old, logprobs, advantages, mask, clip)), mask)


def padding_counts(logprobs: Tensor, old: Tensor, advantages: Tensor, mask: Tensor, clip: float) -> Tensor:
    return -torch.where(mask, torch.minimum(*gains(logprobs, old, advantages, mask, clip)), 0.0).mean()


def by_answer(logprobs: Tensor, old: Tensor, advantages: Tensor, mask: Tensor, clip: float) -> Tensor:
    gain = torch.where(mask, torch.minimum(*gains(logprobs, old, advantages, mask, clip)), 0.0)
    return -(gain.sum(1) / mask.sum(1)).mean()


def mask_after_exp(logprobs: Tensor, old: Tensor, advantages: Tensor, mask: Tensor, clip: float) -> Tensor:
    """Right numbers but for garbage: inf · 0."""
    ratio = (logprobs - old).exp()
    gain = torch.minimum(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages)
    return -(gain * mask).sum() / mask.sum()


def where_after_exp(logprobs: Tensor, old: Tensor, advantages: Tensor, mask: Tensor, clip: float) -> Tensor:
    """The right loss, and a gradient that is NaN in the padding."""
    ratio = (logprobs - old).exp()
    gain = torch.minimum(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages)
    return -torch.where(mask, gain, 0.0).sum() / mask.sum()


def half_detached(logprobs: Tensor, old: Tensor, advantages: Tensor, mask: Tensor, clip: float) -> Tensor:
    """The right number with REINFORCE's gradient: the ratio is a constant weight."""
    plain, clipped = gains(logprobs.detach(), old, advantages, mask, clip)
    loss = -mean_of(torch.minimum(plain, clipped), mask)
    push = -mean_of(advantages * torch.where(mask, logprobs, 0.0), mask)
    return loss + push - push.detach()


def sixty_four_answers(logprobs: Tensor, old: Tensor, advantages: Tensor, mask: Tensor, clip: float) -> Tensor:
    """Right when small."""
    return -mean_of(torch.minimum(*gains(logprobs, old, advantages, mask, clip))[:64], mask[:64])


START, CASES, REAL = "at_the_start_every_ratio_is_one", "the_four_cases", "real_tokens_only"

CLIP = (
    Wrong("17.2", "gain, not loss", START, gain_not_loss, says="the sign"),
    Wrong("17.2", "summed", START, summed, says="added up"),
    Wrong("17.2", "log ratio", START, log_ratio_only, says="difference of the logs"),
    Wrong("17.2", "log π for ρ", START, logprob_for_ratio, says="in place of the ratio"),
    Wrong("17.2", "never clipped", CASES, never_clipped, says="nothing is clipped"),
    Wrong("17.2", "always clipped", CASES, always_clipped),
    Wrong("17.2", "the larger one", CASES, larger_one, says="the larger"),
    Wrong("17.2", "turned over", CASES, turned_over),
    Wrong("17.2", "padding counts", REAL, padding_counts, says="padding included"),
    Wrong("17.2", "by answer", REAL, by_answer, says="averaged first"),
    Wrong("17.2", "mask after exp", REAL, mask_after_exp, says="infinite"),
    Wrong("17.2", "where after exp", REAL, where_after_exp, says="leave the padding out before exp"),
    Wrong("17.2", "half detached", "where_the_gradient_stops", half_detached),
    Wrong("17.2", "64 answers", "a_large_rollout", sixty_four_answers, says="the small cases are right"),
)

WRONG = (*GAE, *CLIP)


# ---- Right, and unlike ours ------------------------------------------------------------------------------------------


def as_the_package(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float) -> Tensor:
    r, v = clean(rewards, mask), clean(values, mask)
    return carried(r + gamma * following(v) - v, gamma * lam)


def as_one_product(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float) -> Tensor:
    """All δs times a triangular table of powers."""
    r, v = clean(rewards, mask), clean(values, mask)
    places = torch.arange(rewards.shape[1])
    distance = places[:, None] - places[None]  # [N,N], how far t + l is from t
    powers = torch.where(distance >= 0, (gamma * lam) ** distance.clamp(min=0).float(), 0.0)
    return (r + gamma * following(v) - v) @ powers


def maximum_of_losses(logprobs: Tensor, old: Tensor, advantages: Tensor, mask: Tensor, clip: float) -> Tensor:
    plain, clipped = gains(logprobs, old, advantages, mask, clip)
    return mean_of(torch.maximum(-plain, -clipped), mask)


ALSO_RIGHT = (("17.1", as_the_package), ("17.1", as_one_product), ("17.2", maximum_of_losses))
