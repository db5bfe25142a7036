"""The distance of the policy from its reference: estimates of the KL divergence against the exact one.

    KL(π ‖ π_ref) = Σ_y π(y) · (log π(y) − log π_ref(y))

The sum runs over all answers, far too many in a language; so one samples answers from π and averages an estimate for
each. Here a world has so few answers that the sum can be taken, and so can the expectation of an estimate: it is a sum
over the same answers, weighted by π. Equal means equal to the last digits, and no test here depends on luck.

With Δ = log π(y) − log π_ref(y) of one sampled answer (Schulman 2020, "Approximating KL divergence"):

    k1 = Δ                 unbiased, but often negative
    k2 = Δ²/2              never negative, biased
    k3 = exp(−Δ) − 1 + Δ   never negative and unbiased
"""

import itertools

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from rlhf.stage3_ppo.losses import kl_k1, kl_k2, kl_k3

EXACT = {"rtol": 1e-10, "atol": 1e-12}
SIZES = [(8, 1), (6, 2), (4, 3)]  # V tokens, answers of T of them: 8, 36 and 64 answers


class Policy:
    """All answers of T tokens out of V, from one table of logits for each place: a row for each beginning."""

    def __init__(self, V: int, T: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.tables = [torch.randn(V**t, V, generator=generator, dtype=torch.float64) for t in range(T)]
        self.answers = list(itertools.product(range(V), repeat=T))
        for table in self.tables:
            table.requires_grad_()

    def token_logprobs(self) -> Tensor:
        """log π of each token, given those before it: [A,T] for all A = V^T answers."""
        V = self.tables[0].shape[1]
        rows = []
        for answer in self.answers:
            beginning, row = 0, []
            for table, token in zip(self.tables, answer, strict=True):
                row.append(table[beginning].log_softmax(-1)[token])
                beginning = beginning * V + token
            rows.append(torch.stack(row))
        return torch.stack(rows)

    def logprobs(self) -> Tensor:
        """log π of each answer [A]: the sum over its tokens."""
        return self.token_logprobs().sum(dim=1)

    def gradient(self, objective: Tensor) -> Tensor:
        """By all logits, as one vector."""
        return torch.cat([part.flatten() for part in torch.autograd.grad(objective, self.tables)])


def exact_kl(p: Tensor, q: Tensor) -> Tensor:
    """KL(p ‖ q) from the log-probabilities of all answers, [A] each."""
    return (p.exp() * (p - q)).sum()


def policy_and_reference(size: tuple[int, int]) -> tuple[Policy, Policy]:
    return Policy(*size, seed=0), Policy(*size, seed=2)


@pytest.mark.parametrize("size", SIZES)
def test_k1_and_k3_expect_the_exact_kl_in_the_right_direction(size: tuple[int, int]) -> None:
    policy, reference = (one.logprobs().detach() for one in policy_and_reference(size))
    assert_close(policy.exp().sum(), torch.ones((), dtype=torch.float64), **EXACT, msg="these are not all answers")
    expected = exact_kl(policy, reference)
    for name, estimator in (("k1", kl_k1), ("k3", kl_k3)):
        found = (policy.exp() * estimator(policy, reference)).sum()
        assert_close(found, expected, **EXACT, msg=f"E[{name}] is not KL(π ‖ π_ref): sign or direction?")


@pytest.mark.parametrize("size", SIZES)
def test_with_policy_and_reference_exchanged_the_estimators_expect_something_else(size: tuple[int, int]) -> None:
    """Else the test above could not see a wrong direction. rlhf-book's approx_kl3 takes π/π_ref although the samples
    come from π: it expects χ²(π ‖ π_ref) − KL(π ‖ π_ref), which is neither of the two divergences."""
    policy, reference = (one.logprobs().detach() for one in policy_and_reference(size))
    expected, backwards = exact_kl(policy, reference), exact_kl(reference, policy)
    assert abs(expected - backwards) > 0.01, "in this world the two directions are the same"
    probability = policy.exp()
    chi_square = (probability * (policy - reference).exp()).sum() - 1
    swapped = {"k1": -expected, "k3": chi_square - expected}
    for name, estimator in (("k1", kl_k1), ("k3", kl_k3)):
        found = (probability * estimator(reference, policy)).sum()
        assert_close(found, swapped[name], **EXACT)
        assert abs(found - expected) > 0.01, f"{name} cannot tell the policy from its reference"


@pytest.mark.parametrize("size", SIZES)
def test_estimates_of_the_tokens_add_up_to_the_kl_of_the_answer(size: tuple[int, int]) -> None:
    """KL(π ‖ π_ref) = E[Σ_t KL of the token's distribution], the chain rule; PPO pays it token by token."""
    policy, reference = (one.token_logprobs().detach() for one in policy_and_reference(size))
    probability = policy.sum(dim=1).exp()  # [A]
    expected = exact_kl(policy.sum(dim=1), reference.sum(dim=1))
    for name, estimator in (("k1", kl_k1), ("k3", kl_k3)):
        found = (probability * estimator(policy, reference).sum(dim=1)).sum()
        assert_close(found, expected, **EXACT, msg=f"the {name} of the tokens do not sum to that of the answer")


@pytest.mark.parametrize("size", SIZES)
def test_k2_and_k3_are_never_negative_and_k2_is_biased(size: tuple[int, int]) -> None:
    policy, reference = (one.logprobs().detach() for one in policy_and_reference(size))
    assert (kl_k2(policy, reference) >= 0).all()
    assert (kl_k3(policy, reference) >= 0).all()
    assert (kl_k1(policy, reference) < 0).any(), "a negative k1 of one sample is noise and no bug"
    k2 = (policy.exp() * kl_k2(policy, reference)).sum()
    assert abs(k2 - exact_kl(policy, reference)) > 1e-3, "k2 is biased: do not report it as the KL"


@pytest.mark.parametrize("size", SIZES)
def test_as_losses_they_are_three_different_objectives(size: tuple[int, int]) -> None:
    """The estimate of a sampled answer is differentiated; that π chose the sample is not in its gradient.

    E[∇k1] = E[∇log π] = 0: as a loss k1 does nothing, however large its coefficient. E[∇k2] = E[Δ·∇log π], which is
    ∇KL(π ‖ π_ref). E[∇k3] = −E[(π_ref/π)·∇log π] = ∇KL(π_ref ‖ π): the other direction.
    """
    policy, reference = policy_and_reference(size)
    fixed, probability = reference.logprobs().detach(), policy.logprobs().detach().exp()

    def expected_gradient(estimator) -> Tensor:
        return policy.gradient((probability * estimator(policy.logprobs(), fixed)).sum())

    nothing = torch.zeros(sum(table.numel() for table in policy.tables), dtype=torch.float64)
    towards = policy.gradient(exact_kl(policy.logprobs(), fixed))
    backwards = policy.gradient(exact_kl(fixed, policy.logprobs()))
    assert (towards - backwards).abs().max() > 0.01, "in this world the two gradients are the same"
    assert_close(expected_gradient(kl_k1), nothing, **EXACT, msg="E[∇k1] is 0")
    assert_close(expected_gradient(kl_k2), towards, **EXACT, msg="E[∇k2] is ∇KL(π ‖ π_ref)")
    assert_close(expected_gradient(kl_k3), backwards, **EXACT, msg="E[∇k3] is ∇KL(π_ref ‖ π)")


@pytest.mark.parametrize("size", SIZES)
def test_k1_in_the_reward_has_the_gradient_of_the_kl(size: tuple[int, int]) -> None:
    """In the reward (InstructGPT, eq. 2), where REINFORCE multiplies ∇log π by it: E[k1·∇log π] = ∇KL(π ‖ π_ref)."""
    policy, reference = policy_and_reference(size)
    fixed, now = reference.logprobs().detach(), policy.logprobs().detach()
    in_reward = policy.gradient((now.exp() * kl_k1(now, fixed) * policy.logprobs()).sum())
    assert_close(in_reward, policy.gradient(exact_kl(policy.logprobs(), fixed)), **EXACT)


def test_k3_keeps_its_digits_where_the_policies_nearly_agree() -> None:
    tiny = torch.tensor(1e-4)
    assert_close(kl_k3(tiny, torch.tensor(0.0)), torch.tensor(5e-9), rtol=0.02, atol=0.0)
