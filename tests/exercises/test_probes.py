"""The probe environments of chapter 18: PPO passes them, and each mistake fails first at the probe it belongs to."""

import pytest
import torch

from rlhf.stage3_ppo import losses, step
from tutorials.exercises.probes import PROBES, probabilities_of_yes, run, yes_or_no
from tutorials.numbers.make.broken_runs import paid_at_the_pad

original_scores = step.score_responses


def first_failure() -> str:
    """The name of the first probe that fails, "" if none does."""
    return next((probe.name for probe in PROBES if probe.problem(run(probe))), "")


def test_the_policy_of_the_probes_says_yes_half_of_the_time():
    for prompt, share in probabilities_of_yes(yes_or_no()).items():
        assert share == pytest.approx(0.5, abs=0.1), f"{prompt}: two actions are no choice if one is never taken"


def test_ppo_passes_every_probe():
    assert first_failure() == ""


def paid_at_the_first_token(scores, logprobs, ref_logprobs, mask, beta):
    first = mask & (mask.cumsum(1) == 1)
    return torch.where(first, scores[:, None], 0.0)


def no_gradient_for_values(values, *rest, **options):
    return losses.value_loss(values.detach() + 0 * values, *rest, **options)


def policy_loss_with_the_other_sign(*arguments, **options):
    loss, parts = losses.policy_loss(*arguments, **options)
    return -loss, parts


@pytest.mark.parametrize(
    ("name", "wrong", "probe"),
    [
        ("value_loss", no_gradient_for_values, "one step"),
        ("shape_rewards", paid_at_the_pad, "one step"),
        ("score_responses", lambda *arguments: original_scores(*arguments).flip(0), "the prompt decides"),
        ("shape_rewards", paid_at_the_first_token, "two steps"),
        ("policy_loss", policy_loss_with_the_other_sign, "two actions"),
    ],
)
def test_a_mistake_fails_first_at_the_probe_that_isolates_it(monkeypatch, name, wrong, probe):
    monkeypatch.setattr(step, name, wrong)
    assert first_failure() == probe
