"""The mathematics of PPO-RLHF: pure functions on tensors with masks, in the order one iteration uses them.

    logprobs, ref_logprobs, scores ─► shape_rewards ─► gae ─► whiten ─► policy_loss, value_loss

Every function takes tensors [B,T]: B episodes, T columns, of which column t is about the token that is predicted there
(`rollout.Batch`). `mask` [B,T] is True at response tokens, the end token included, which stand side by side in a row;
it comes from lengths, never from comparing ids with the pad id. What stands outside of the mask, be it NaN, reaches
neither a result nor a gradient: it is masked before it is used, because NaN · 0 is NaN in a backward pass too.

Losses and diagnostics are *sums over tokens divided by an explicit denominator*. Given the number of tokens of the
whole minibatch as the denominator, micro-batches add up to exactly the minibatch; a mean of micro-batch means would
weight tokens of short responses more (allenai/open-instruct#1137).

Sources: Ziegler et al. 2019 (arXiv 1909.08593) and its code, openai/lm-human-preferences; Schulman et al. 2017 (PPO,
arXiv 1707.06347), 2016 (GAE, arXiv 1506.02438) and 2020 ("Approximating KL divergence"); InstructGPT (2203.02155).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

# ---- masks ------------------------------------------------------------------------------------------------------


def masked_sum(x: Tensor, mask: Tensor) -> Tensor:
    """The sum of x where the mask is True. `torch.where`, not `x * mask`: NaN · 0 is NaN."""
    return torch.where(mask, x, 0.0).sum()


def masked_mean(x: Tensor, mask: Tensor, denominator: Tensor | int | None = None) -> Tensor:
    """The sum over the mask, divided by `denominator` (default: the number of True places, at least 1)."""
    return masked_sum(x, mask) / (mask.sum().clamp(min=1) if denominator is None else denominator)


def whiten(x: Tensor, mask: Tensor, shift_mean: bool = True) -> Tensor:
    """x [B,T] scaled to variance 1 over the mask, and to mean 0 unless `shift_mean=False`; 0 outside of the mask.

    The variance is the biased one (divided by n), as in lm-human-preferences `utils/core.py`. Statistics that
    included padding would make the result depend on the lengths.
    """
    x = torch.where(mask, x, 0.0)  # [B,T]
    mean = masked_mean(x, mask)
    variance = masked_mean((x - mean) ** 2, mask)
    white = (x - mean) * torch.rsqrt(variance + 1e-8)
    return torch.where(mask, white if shift_mean else white + mean, 0.0)


# ---- the KL divergence from the reference --------------------------------------------------------------------------
# Three estimators of KL(policy ‖ reference) from tokens sampled by the policy, Δ = log π − log π_ref, in nats.
# As *gradients* they differ: E[∇k1] = 0, E[∇k2] = ∇KL(π‖ref), E[∇k3] = ∇KL(ref‖π) (tests/rlhf/stage3_ppo/test_kl.py).


def kl_k1(logprobs: Tensor, ref_logprobs: Tensor) -> Tensor:
    """Δ. Unbiased and noisy: single values are often negative, and only a mean that stays negative is a mistake."""
    return logprobs - ref_logprobs


def kl_k2(logprobs: Tensor, ref_logprobs: Tensor) -> Tensor:
    """Δ²/2. Never negative, of low variance, a little biased."""
    return 0.5 * (logprobs - ref_logprobs) ** 2


def kl_k3(logprobs: Tensor, ref_logprobs: Tensor) -> Tensor:
    """exp(−Δ) − 1 + Δ. Unbiased and never negative. Its ratio is ref/π because the samples are π's; π/ref would
    estimate something else. `expm1` keeps the digits that exp(−Δ) − 1 loses where Δ is small."""
    delta = logprobs - ref_logprobs
    return torch.expm1(-delta) + delta


def masked_kl(
    estimator: Callable[[Tensor, Tensor], Tensor],
    logprobs: Tensor,
    ref_logprobs: Tensor,
    mask: Tensor,
    denominator: Tensor | int | None = None,
) -> Tensor:
    """One of the three estimators, summed over the mask and divided by `denominator` (default: the tokens)."""
    logprobs, ref_logprobs = torch.where(mask, logprobs, 0.0), torch.where(mask, ref_logprobs, 0.0)  # [B,T] each
    return masked_mean(estimator(logprobs, ref_logprobs), mask, denominator)


# ---- rewards and advantages ----------------------------------------------------------------------------------------


def replace_unended(scores: Tensor, ended: Tensor, missing_end_score: float) -> Tensor:
    """Scores [B] with a fixed low score wherever the *response* has no end token (Ziegler et al. 2019, section 3.2).

    The reward model was trained to read answers at their end token: elsewhere its score means nothing, and
    a policy that is paid for it learns never to stop.
    """
    return torch.where(ended, scores, missing_end_score)


def shape_rewards(scores: Tensor, logprobs: Tensor, ref_logprobs: Tensor, mask: Tensor, beta: float) -> Tensor:
    """Rewards [B,T]: −β·(log π − log π_ref) at every token of the response, plus the score [B] at the last one.

    R(x, y) = r(x, y) − β·log(π(y|x)/π_ref(y|x)), spread over the tokens (Ziegler eq. 2; InstructGPT eq. 2).
    Some codes put the score on the first pad after the end token, which bootstraps from a terminal state
    (huggingface/trl#3750).
    """
    rewards = torch.where(mask, -beta * kl_k1(logprobs, ref_logprobs), 0.0)  # [B,T]
    last = mask & ~F.pad(mask[:, 1:], (0, 1))  # [B,T], one True a row: the next column is outside of the response
    return torch.where(last, rewards + scores[:, None], rewards)


def gae(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float) -> tuple[Tensor, Tensor]:
    """Generalised advantage estimation (Schulman et al. 2016, eq. 16): (advantages, returns), both [B,T].

        δ_t = r_t + γ·V_{t+1} − V_t        A_t = δ_t + γλ·A_{t+1}        R_t = A_t + V_t

    V_t is the value of the state *before* token t; after the last token the episode is over and V = 0, also where
    it was cut at the maximum length. The returns, the targets of the value model, are taken here, before the
    advantages are whitened: whitened ones would be wrong targets, and nothing would say so.
    """
    rewards = torch.where(mask, rewards, 0.0)
    values = torch.where(mask, values, 0.0)  # zero at the pads: V(terminal) = 0 needs no special case below
    advantages = torch.zeros_like(values)
    advantage = torch.zeros_like(values[:, 0])  # [B], A_{t+1}
    next_value = torch.zeros_like(values[:, 0])  # [B], V_{t+1}
    for t in reversed(range(values.shape[1])):
        delta = rewards[:, t] + gamma * next_value - values[:, t]  # [B]
        advantage = delta + gamma * lam * advantage
        advantages[:, t] = advantage
        next_value = values[:, t]
    advantages = torch.where(mask, advantages, 0.0)  # a prompt's last token also leads to the response; it has none
    return advantages, advantages + values


# ---- losses --------------------------------------------------------------------------------------------------------


def policy_loss(
    logprobs: Tensor,
    old_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    clip: float,
    denominator: Tensor | int | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Clipped surrogate loss (Schulman et al. 2017, eq. 7): mean of max(−A·ρ, −A·clip(ρ, 1−ε, 1+ε)), ρ = π/π_old.

    The maximum makes it pessimistic: the gradient vanishes only where the ratio has already moved past the clip in
    the direction that the advantage asks for. All tensors [B,T]; diagnostics are masked and share the denominator:
    `approxkl` ½·(log ρ)², `approxkl_k3` (ρ − 1) − log ρ, `clipfrac` (clipped branch is active), `ratio` and
    `ratio_deviation_squared` (ρ − 1)², from which the variance follows across micro-batches.
    """
    log_ratio = torch.where(mask, logprobs - old_logprobs, 0.0)  # masked before exp: garbage must not become inf
    advantages = torch.where(mask, advantages, 0.0)  # [B,T]
    ratio = log_ratio.exp()  # [B,T]
    unclipped = -advantages * ratio
    clipped = -advantages * ratio.clamp(1 - clip, 1 + clip)
    loss = masked_mean(torch.maximum(unclipped, clipped), mask, denominator)
    with torch.no_grad():
        parts = {
            "approxkl": 0.5 * log_ratio**2,
            "approxkl_k3": torch.expm1(log_ratio) - log_ratio,
            "clipfrac": (clipped > unclipped).float(),
            "ratio": ratio,
            "ratio_deviation_squared": (ratio - 1) ** 2,
        }
        return loss, {name: masked_mean(part, mask, denominator) for name, part in parts.items()}


def value_loss(
    values: Tensor,
    old_values: Tensor,
    returns: Tensor,
    mask: Tensor,
    clip: float,
    denominator: Tensor | int | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """½·mean of max((V − R)², (clip(V, V_old ± ε) − R)²): all tensors [B,T] (lm-human-preferences `train_policy.py`).

    ε is in units of the score, so it is only sensible for scores of a size near 1. ε = 0 switches clipping off.
    Diagnostics: `clipfrac` (the clipped branch is active) and `error`, the plain mean of (V − R)².
    """
    values, old_values, returns = (torch.where(mask, x, 0.0) for x in (values, old_values, returns))  # [B,T] each
    unclipped = (values - returns) ** 2  # [B,T]
    near = old_values + (values - old_values).clamp(-clip, clip) if clip > 0 else values
    clipped = (near - returns) ** 2
    loss = 0.5 * masked_mean(torch.maximum(unclipped, clipped), mask, denominator)
    with torch.no_grad():
        clipfrac = masked_mean((clipped > unclipped).float(), mask, denominator)
        return loss, {"clipfrac": clipfrac, "error": masked_mean(unclipped, mask, denominator)}


def explained_variance(values: Tensor, returns: Tensor, mask: Tensor) -> Tensor:
    """1 − Var(R − V)/Var(R) over the mask: 1 is a perfect value model, 0 a constant, below 0 worse than a constant."""
    values, returns = torch.where(mask, values, 0.0), torch.where(mask, returns, 0.0)  # [B,T] each
    error = returns - values  # [B,T]
    variance = masked_mean((returns - masked_mean(returns, mask)) ** 2, mask)
    return 1 - masked_mean((error - masked_mean(error, mask)) ** 2, mask) / variance.clamp(min=1e-8)


# ---- β -------------------------------------------------------------------------------------------------------------


@dataclass
class FixedKLController:
    """A β that stays what it is (Stiennon et al. 2020; InstructGPT)."""

    beta: float

    def update(self, kl_nats_per_sequence: float, episodes: int) -> None:
        """Nothing to adapt."""


@dataclass
class AdaptiveKLController:
    """A β that follows the KL towards a target (Ziegler et al. 2019, section 2.2):

        e = clip(KL/target − 1, −0.2, 0.2)        β ← β·(1 + e·episodes/horizon)

    The KL is summed over a *sequence*, in nats. With a KL per token the same target would mean something else.
    """

    beta: float
    target: float
    horizon: float

    def update(self, kl_nats_per_sequence: float, episodes: int) -> None:
        """Call it after the PPO update of the policy, with the KL of the rollout that was just learned from."""
        error = min(max(kl_nats_per_sequence / self.target - 1, -0.2), 0.2)
        self.beta *= 1 + error * episodes / self.horizon
