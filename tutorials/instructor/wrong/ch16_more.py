"""Wrong solutions of 16.3 and 16.4, and right ones that look unlike ours."""

from __future__ import annotations

import torch
from torch import Tensor

from tutorials.instructor.wrong import Wrong


def estimates_of(probabilities: Tensor, rewards: Tensor, baseline: float) -> Tensor:
    """g of each token that may be drawn: [V,V]."""
    return (rewards - baseline)[:, None] * (torch.eye(len(rewards)) - probabilities)


# ---- 16.3 ----------------------------------------------------------------------------------------------------------


def second_moment(probabilities: Tensor, rewards: Tensor, baseline: float) -> float:
    """E|g|², without taking off |E g|²."""
    return float(probabilities @ (estimates_of(probabilities, rewards, baseline) ** 2).sum(1))


def of_the_rewards(probabilities: Tensor, rewards: Tensor, baseline: float) -> float:
    """The variance of the rewards, which no baseline changes."""
    return float(probabilities @ (rewards - probabilities @ rewards) ** 2)


def right_variance(probabilities: Tensor, rewards: Tensor, baseline: float) -> float:
    """E|g|² − |E g|²."""
    g = estimates_of(probabilities, rewards, baseline)
    return second_moment(probabilities, rewards, baseline) - float(((probabilities @ g) ** 2).sum())


def mean_of_components(probabilities: Tensor, rewards: Tensor, baseline: float) -> float:
    return right_variance(probabilities, rewards, baseline) / len(rewards)


def deviation(probabilities: Tensor, rewards: Tensor, baseline: float) -> float:
    return max(right_variance(probabilities, rewards, baseline), 0.0) ** 0.5


def all_tokens_alike(probabilities: Tensor, rewards: Tensor, baseline: float) -> float:
    """Every token counts 1/V, whatever its probability."""
    g = estimates_of(probabilities, rewards, baseline)
    return float(((g - g.mean(0)) ** 2).sum(1).mean())


def unweighted_mean(probabilities: Tensor, rewards: Tensor, baseline: float) -> float:
    """The distances are weighed, the mean is not."""
    g = estimates_of(probabilities, rewards, baseline)
    return float(probabilities @ ((g - g.mean(0)) ** 2).sum(1))


def baseline_ignored(probabilities: Tensor, rewards: Tensor, baseline: float) -> float:
    return right_variance(probabilities, rewards, 0.0)


def baseline_of_its_own(probabilities: Tensor, rewards: Tensor, baseline: float) -> float:
    """Whatever is given, the mean reward."""
    return right_variance(probabilities, rewards, float(probabilities @ rewards))


def without_minus_pi(probabilities: Tensor, rewards: Tensor, baseline: float) -> float:
    """onehot instead of onehot − π."""
    g = (rewards - baseline)[:, None] * torch.eye(len(rewards))
    return float(probabilities @ ((g - probabilities @ g) ** 2).sum(1))


def sixteen_tokens(probabilities: Tensor, rewards: Tensor, baseline: float) -> float:
    """Right when small: only 16 tokens may be drawn."""
    g = estimates_of(probabilities, rewards, baseline)
    distances = ((g - probabilities @ g) ** 2).sum(1)
    return float((probabilities * distances)[:16].sum())


SURE, COIN, MEASURED = "a_sure_policy_has_no_variance", "a_fair_coin_by_hand", "the_variances_are_in_answers"

VARIANCE = (
    Wrong("16.3", "E|g|²", COIN, second_moment, says="must still be taken off"),
    Wrong("16.3", "of the rewards", COIN, of_the_rewards),
    Wrong("16.3", "mean of components", COIN, mean_of_components, says="averaged, not added"),
    Wrong("16.3", "deviation", COIN, deviation),
    Wrong("16.3", "all tokens alike", SURE, all_tokens_alike, says="by its probability"),
    Wrong("16.3", "unweighted mean", SURE, unweighted_mean),
    Wrong("16.3", "baseline ignored", COIN, baseline_ignored, says="subtracted from the reward"),
    Wrong("16.3", "baseline of its own", COIN, baseline_of_its_own),
    Wrong("16.3", "without − π", COIN, without_minus_pi),
    Wrong("16.3", "16 tokens", "any_number_of_tokens", sixteen_tokens),
    Wrong(
        "16.3",
        "no prediction",
        "predictions_for_the_variance",
        answers=(("prediction_baseline", ""),),
        says="prediction_baseline",
    ),
    Wrong("16.3", "another number", MEASURED, answers=(("baseline_10", 5.0),), says="baseline_10"),
    Wrong("16.3", "no reason", "the_reason_for_the_variance", answers=(("because", "so it is"),)),
)


# ---- 16.4 ----------------------------------------------------------------------------------------------------------

RIGHT = (
    "    backwards = rewards.flip(dims=(1,))  # [B,N]\n    return backwards.cumsum(dim=1).flip(dims=(1,))  # [B,N]\n"
)
END, PAST = "a_reward_at_the_end_reaches_the_first_token", "no_credit_for_the_past"


def instead(lines: str) -> tuple[tuple[str, str], ...]:
    return ((RIGHT, lines),)


CREDIT = (
    Wrong("16.4", "as handed out", END, edits=instead("    return rewards.cumsum(dim=1)  # [B,N]\n")),
    Wrong(
        "16.4",
        "everything for everybody",
        PAST,
        edits=instead("    return rewards.sum(dim=1, keepdim=True).expand_as(rewards)\n"),
        says="added up for every token",
    ),
    Wrong("16.4", "flipped once", PAST, edits=instead("    return rewards.flip(1).cumsum(dim=1)\n")),
    Wrong("16.4", "over the batch", END, edits=instead("    return rewards.flip(0).cumsum(dim=0).flip(0)\n")),
    Wrong(
        "16.4",
        "without its own reward",
        END,
        edits=instead("    return rewards.sum(dim=1, keepdim=True) - rewards.cumsum(dim=1)\n"),
    ),
    Wrong("16.4", "the last column", PAST, edits=instead("    return rewards[:, -1:] + rewards * 0\n")),
    Wrong(
        "16.4",
        "sixteen tokens",
        "returns_equal_the_specification",
        edits=instead(
            "    later = rewards[:, :16].flip(1).cumsum(dim=1).flip(1)\n"
            "    return torch.cat([later, rewards[:, 16:]], dim=1)\n"
        ),
    ),
    Wrong(
        "16.4",
        "written anew",
        "the_repair_is_one_idea",
        edits=instead(
            "    returns = torch.zeros_like(rewards)\n    later = torch.zeros(len(rewards))\n"
            "    for place in reversed(range(rewards.shape[1])):\n        later = later + rewards[:, place]\n"
            "        returns[:, place] = later\n    return returns\n"
        ),
    ),
    Wrong(
        "16.4",
        "calls the package",
        "can_be_checked",
        says="write that yourself",
        edits=(
            ("import torch\n", "import torch\n\nfrom rlhf.stage3_ppo.losses import gae\n"),
            (RIGHT, "    return gae(rewards, rewards * 0, rewards == rewards, 1.0, 1.0)[0]\n"),
        ),
    ),
)

WRONG = (*VARIANCE, *CREDIT)


# ---- Right, and unlike ours ------------------------------------------------------------------------------------------


def in_loops(probabilities: Tensor, rewards: Tensor, baseline: float) -> float:
    """Token by token, in float64: the mean first."""
    p = probabilities.double()
    g = [(float(r) - baseline) * (torch.eye(len(p), dtype=p.dtype)[y] - p) for y, r in enumerate(rewards)]
    mean = sum(p[y] * g[y] for y in range(len(p)))
    return float(sum(p[y] * ((g[y] - mean) ** 2).sum() for y in range(len(p))))


def total_minus_past(rewards: Tensor) -> Tensor:
    """The whole, minus what came before."""
    return rewards.sum(dim=1, keepdim=True) - rewards.cumsum(dim=1) + rewards


ALSO_RIGHT = (("16.3", in_loops), ("16.4", total_minus_past))
