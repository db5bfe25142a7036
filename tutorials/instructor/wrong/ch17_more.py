"""Wrong solutions of 17.3 to 17.5, and right ones that look unlike ours."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tutorials.instructor.wrong import Wrong


def logs(logits: Tensor, ref_logits: Tensor) -> tuple[Tensor, Tensor]:
    return logits.log_softmax(-1), ref_logits.log_softmax(-1)


# ---- 17.3 ----------------------------------------------------------------------------------------------------------


def right_kl(logits: Tensor, ref_logits: Tensor, mask: Tensor) -> Tensor:
    """Right: 0 is written where the policy says nothing."""
    p, q = logs(logits, ref_logits)
    difference = torch.where(p > -math.inf, p - q, 0.0)
    return torch.where(mask, (p.exp() * difference).sum(-1), 0.0)


def backwards(logits: Tensor, ref_logits: Tensor, mask: Tensor) -> Tensor:
    return right_kl(ref_logits, logits, mask)


def minus(logits: Tensor, ref_logits: Tensor, mask: Tensor) -> Tensor:
    return -right_kl(logits, ref_logits, mask)


def mean_over_vocabulary(logits: Tensor, ref_logits: Tensor, mask: Tensor) -> Tensor:
    return right_kl(logits, ref_logits, mask) / logits.shape[-1]


def in_bits(logits: Tensor, ref_logits: Tensor, mask: Tensor) -> Tensor:
    return right_kl(logits, ref_logits, mask) / math.log(2)


def of_logits(logits: Tensor, ref_logits: Tensor, mask: Tensor) -> Tensor:
    """The logits as if they were log-probabilities."""
    return torch.where(mask, (logits.softmax(-1) * (logits - ref_logits)).sum(-1), 0.0)


def nan_where_forbidden(logits: Tensor, ref_logits: Tensor, mask: Tensor) -> Tensor:
    p, q = logs(logits, ref_logits)
    return torch.where(mask, (p.exp() * (p - q)).sum(-1), 0.0)


def nan_gradient(logits: Tensor, ref_logits: Tensor, mask: Tensor) -> Tensor:
    """The value is right; the product with −inf is replaced, and its gradient is NaN all the same."""
    p, q = logs(logits, ref_logits)
    terms = torch.where(p > -math.inf, p.exp() * (p - q), 0.0)
    return torch.where(mask, terms.sum(-1), 0.0)


def mask_multiplied(logits: Tensor, ref_logits: Tensor, mask: Tensor) -> Tensor:
    p, q = logs(logits, ref_logits)
    return (p.exp() * torch.where(p > -math.inf, p - q, 0.0)).sum(-1) * mask


def padding_too(logits: Tensor, ref_logits: Tensor, mask: Tensor) -> Tensor:
    return right_kl(logits, ref_logits, torch.ones_like(mask))


def over_the_tokens(logits: Tensor, ref_logits: Tensor, mask: Tensor) -> Tensor:
    """Softmax over the wrong axis."""
    p, q = logits.log_softmax(1), ref_logits.log_softmax(1)
    return torch.where(mask, (p.exp() * (p - q)).sum(-1), 0.0)


def weights_detached(logits: Tensor, ref_logits: Tensor, mask: Tensor) -> Tensor:
    p, q = logs(logits, ref_logits)
    difference = torch.where(p > -math.inf, p - q, 0.0)
    return torch.where(mask, (p.exp().detach() * difference).sum(-1), 0.0)


def most_probable_hundred(logits: Tensor, ref_logits: Tensor, mask: Tensor) -> Tensor:
    """Right when small: the hundred most probable tokens only."""
    p, q = logs(logits, ref_logits)
    top = p.topk(min(100, p.shape[-1]), dim=-1).indices
    difference = torch.where(p > -math.inf, p - q, 0.0)
    return torch.where(mask, (p.exp() * difference).gather(-1, top).sum(-1), 0.0)


TWO, SAME = "two_tokens_of_a_vocabulary", "the_same_model_has_no_kl"

KL = (
    Wrong("17.3", "backwards", TWO, backwards, says="KL(π_ref ‖ π)"),
    Wrong("17.3", "minus", TWO, minus, says="the sign"),
    Wrong("17.3", "mean over the vocabulary", TWO, mean_over_vocabulary, says="not added up"),
    Wrong("17.3", "bits", TWO, in_bits, says="bits"),
    Wrong("17.3", "of logits", SAME, of_logits, says="log_softmax of both"),
    Wrong("17.3", "NaN where forbidden", "forbidden_tokens_add_nothing", nan_where_forbidden, says="NaN"),
    Wrong("17.3", "NaN in the gradient", "forbidden_tokens_add_nothing", nan_gradient, says="before you multiply"),
    Wrong("17.3", "mask multiplied", "nothing_in_the_padding", mask_multiplied, says="do not multiply"),
    Wrong("17.3", "padding too", "forbidden_tokens_add_nothing", padding_too),
    Wrong("17.3", "over the tokens", TWO, over_the_tokens),
    Wrong("17.3", "weights detached", "kl_gradients_flow", weights_detached, says="as constants"),
    Wrong("17.3", "a hundred tokens", "a_large_vocabulary", most_probable_hundred, says="the small cases are right"),
)


# ---- 17.4 ----------------------------------------------------------------------------------------------------------


def estimates(policy: Tensor, reference: Tensor, kind: str) -> Tensor:
    delta = (policy.log() - reference.log()).double()
    return {"k1": delta, "k2": delta**2 / 2, "k3": torch.expm1(-delta) + delta}[kind]


def deviation(values: Tensor, weights: Tensor) -> float:
    weights = weights.double()
    return float((weights @ (values - weights @ values) ** 2).sqrt())


def right_spread(policy: Tensor, reference: Tensor, kind: str) -> float:
    """Right: E[k²] − E[k]², with what rounding leaves below 0 cut off."""
    k, weights = estimates(policy, reference, kind), policy.double()
    return float((weights @ k**2 - (weights @ k) ** 2).clamp(min=0).sqrt())


def variance(policy: Tensor, reference: Tensor, kind: str) -> float:
    return deviation(estimates(policy, reference, kind), policy) ** 2


def around_zero(policy: Tensor, reference: Tensor, kind: str) -> float:
    return float((policy.double() @ estimates(policy, reference, kind) ** 2).sqrt())


def reference_draws(policy: Tensor, reference: Tensor, kind: str) -> float:
    return deviation(estimates(policy, reference, kind), reference)


def turned_delta(policy: Tensor, reference: Tensor, kind: str) -> float:
    return deviation(estimates(reference, policy, kind), policy)


def alike(policy: Tensor, reference: Tensor, kind: str) -> float:
    """Every answer counts the same."""
    return deviation(estimates(policy, reference, kind), torch.full_like(policy, 1 / len(policy)))


def sample_deviation(policy: Tensor, reference: Tensor, kind: str) -> float:
    return right_spread(policy, reference, kind) * math.sqrt(len(policy) / (len(policy) - 1))


def always_k1(policy: Tensor, reference: Tensor, kind: str) -> float:
    return right_spread(policy, reference, "k1")


def hundred_answers(policy: Tensor, reference: Tensor, kind: str) -> float:
    """Right when small."""
    return right_spread(policy[:100], reference[:100], kind)


SCATTER, DRAWS, WRITTEN = "two_answers_scatter", "the_policy_draws", "the_spreads_are_in_answers"

SPREAD = (
    Wrong("17.4", "variance", SCATTER, variance, says="take its root"),
    Wrong("17.4", "around zero", SCATTER, around_zero, says="the mean is not subtracted"),
    Wrong("17.4", "the reference draws", SCATTER, reference_draws),
    Wrong("17.4", "Δ turned round", SCATTER, turned_delta),
    Wrong("17.4", "all answers alike", DRAWS, alike, says="the POLICY draws"),
    Wrong("17.4", "V − 1", SCATTER, sample_deviation, says="V − 1"),
    Wrong("17.4", "always k1", SCATTER, always_k1),
    Wrong("17.4", "a hundred answers", DRAWS, hundred_answers),
    Wrong(
        "17.4",
        "no prediction",
        "predictions_for_the_spread",
        answers=(("prediction_far", "k2"),),
        says="prediction_far",
    ),
    Wrong("17.4", "another number", WRITTEN, answers=(("far_k3", 1.0),), says="far_k3"),
    Wrong("17.4", "no reason", "the_reason_for_the_spread", answers=(("because", "it is so"),)),
)


# ---- 17.5 ----------------------------------------------------------------------------------------------------------

REWARDS, GAIN = "    rewards = scores - beta * kl.detach()  # [B]\n", "    return -gain.mean()\n"
PLAIN = "    rewards = scores  # [B]\n"
BACK, CLIMB = "without_scores_it_goes_back", "the_mean_step_climbs_the_objective"


def instead(rewards: str, gain: str) -> tuple[tuple[str, str], ...]:
    return ((REWARDS, rewards), (GAIN, gain))


NO_EFFECT = (
    Wrong(
        "17.5",
        "as handed out",
        BACK,
        edits=instead(PLAIN, "    return -(gain - beta * kl).mean()\n"),
        says="nothing at all",
    ),
    Wrong("17.5", "no KL", BACK, edits=instead(PLAIN, GAIN)),
    Wrong(
        "17.5",
        "paid to go away",
        BACK,
        edits=instead("    rewards = scores + beta * kl.detach()\n", GAIN),
        says="away from the reference",
    ),
    Wrong(
        "17.5",
        "k3 in the loss",
        BACK,
        edits=instead(PLAIN, "    return -(gain - beta * (torch.expm1(-kl) + kl)).mean()\n"),
        says="the other KL",
    ),
    Wrong(
        "17.5",
        "counted twice",
        BACK,
        edits=instead(REWARDS, "    return -(gain - beta * kl**2 / 2).mean()\n"),
    ),
    Wrong("17.5", "no scores", CLIMB, edits=instead("    rewards = -beta * kl.detach()\n", GAIN)),
    Wrong(
        "17.5",
        "written anew",
        "beta_is_mended_in_three_lines",
        edits=(
            (
                REWARDS,
                "    penalty = kl.detach()\n    penalty = penalty * beta\n    rewards = scores\n"
                "    rewards = rewards - penalty\n",
            ),
        ),
    ),
    Wrong(
        "17.5",
        "calls the package",
        "can_be_checked",
        says="write that yourself",
        edits=(
            ("import torch\n", "import torch\n\nfrom rlhf.stage3_ppo.losses import kl_k1\n"),
            (REWARDS, "    rewards = scores - beta * kl_k1(logprobs, ref_logprobs).detach()\n"),
        ),
    ),
)

WRONG = (*KL, *SPREAD, *NO_EFFECT)


# ---- Right, and unlike ours ------------------------------------------------------------------------------------------


def k2_in_the_loss(logprobs: Tensor, old_logprobs: Tensor, ref_logprobs: Tensor, scores: Tensor, beta: float) -> Tensor:
    """The KL stays in the loss, as the estimate whose gradient is right."""
    advantages = scores - scores.mean()
    gain = (logprobs - old_logprobs).exp() * advantages
    return -(gain - beta * (logprobs - ref_logprobs) ** 2 / 2).mean()


ALSO_RIGHT = (("17.3", right_kl), ("17.4", right_spread), ("17.5", k2_in_the_loss))
