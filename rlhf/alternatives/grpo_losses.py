"""The advantages and the loss of GRPO and its relatives, as pure functions of tensors."""

from __future__ import annotations

from functools import partial

from torch import Tensor

from rlhf.stage3_ppo.losses import kl_k2, kl_k3, masked_kl, policy_loss

KL_IN_LOSS = {"k2": kl_k2, "k3": kl_k3}


def group_advantages(scores: Tensor, group_size: int, scale_by_std: bool = False) -> Tensor:
    """Scores [B], the G answers to a prompt side by side -> [B], the score minus the group's mean.

    DeepSeekMath divides by the group's standard deviation as well (plus 1e-4, as in TRL, so that equal scores give 0
    and not NaN). Liu et al. 2025 (Dr. GRPO, arXiv 2503.20783, section 3.2) leave that out: it weighs prompts by how
    nearly equal their answers are, and moves the fixed point if the KL is part of the loss.
    """
    groups = scores.view(-1, group_size)  # [B/G,G]
    advantages = groups - groups.mean(dim=1, keepdim=True)
    if scale_by_std:
        advantages = advantages / (groups.std(dim=1, keepdim=True) + 1e-4)
    return advantages.flatten()  # [B]


def leave_one_out_advantages(scores: Tensor, group_size: int) -> Tensor:
    """RLOO (Kool et al. 2019; Ahmadian et al. 2024, arXiv 2402.14740): the score minus the mean of the *other* answers.

    Unbiased, because the baseline does not know the answer it is subtracted from. It is G/(G−1) times
    group_advantages, which are thus too short by a constant: with the KL in the loss, β counts G/(G−1) times there.
    Scores [B] -> [B].
    """
    groups = scores.view(-1, group_size)  # [B/G,G]
    others = (groups.sum(dim=1, keepdim=True) - groups) / (group_size - 1)
    return (groups - others).flatten()  # [B]


ADVANTAGES = {
    "group": group_advantages,
    "scaled": partial(group_advantages, scale_by_std=True),
    "leave_one_out": leave_one_out_advantages,
}


def grpo_loss(
    logprobs: Tensor,
    old_logprobs: Tensor,
    ref_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    clip: float,
    beta: float,
    kl: str,
    denominator: Tensor | int | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """PPO's clipped loss with one advantage an answer, plus β·KL if `kl` is k2 or k3. advantages [B], the rest [B,T].

    A sum over tokens divided by `denominator`, as in policy_loss: a token counts the same in answers of any length. The
    paper first takes the mean over each answer, which makes the tokens of long answers count less (Dr. GRPO, 3.1).
    """
    loss, stats = policy_loss(logprobs, old_logprobs, advantages[:, None].expand_as(logprobs), mask, clip, denominator)
    if kl == "reward":
        return loss, stats
    return loss + beta * masked_kl(KL_IN_LOSS[kl], logprobs, ref_logprobs, mask, denominator), stats
