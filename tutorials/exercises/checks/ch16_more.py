"""Checks of chapter 16: the variance of an estimate (16.3), and credit for the right token (16.4)."""

from __future__ import annotations

import torch
from torch import Tensor

from tutorials.exercises.checks.answers import expect_choice, expect_measured, expect_sentence
from tutorials.exercises.judging import Draw, expect_close, expect_small_fix, expect_unchanged
from tutorials.exercises.measure import BANDIT, BASELINES
from tutorials.exercises.specs.ch16 import returns_of, variance_of_estimate
from tutorials.exercises.subject import Subject

# ---- 16.3 ----------------------------------------------------------------------------------------------------------


def predictions_for_the_variance(subject: Subject, draw: Draw) -> None:
    """answers.toml has a prediction for both cases."""
    for name in ("prediction_no_baseline", "prediction_baseline"):
        expect_choice(subject, name, ("falls", "stays", "rises"))


def draw_bandit(draw: Draw, V: int) -> tuple[Tensor, Tensor]:
    """Probabilities and rewards [V]."""
    return draw.normal(V).softmax(dim=0), draw.normal(V)


def a_sure_policy_has_no_variance(subject: Subject, draw: Draw) -> None:
    """When one token has probability 1, every draw gives the same estimate."""
    V = draw.size(3, 5)
    probabilities = torch.zeros(V)
    probabilities[draw.size(0, V - 1)] = 1.0
    expect_close(
        subject(probabilities, draw.normal(V), 0.5), 0.0,
        "one token has probability 1: every sample gives the same gradient", given={"probabilities": probabilities},
        likely="weight each token's squared distance by its probability; or a tensor is returned, not a number",
    )  # fmt: skip


def a_fair_coin_by_hand(subject: Subject, draw: Draw) -> None:
    """Two tokens, ½ each, rewards r and 0: all estimates can be written down."""
    reward = float(2 * draw.size(1, 4))
    inputs = (torch.tensor([0.5, 0.5]), torch.tensor([reward, 0.0]))
    # g = (r/2, −r/2) or (0, 0); mean (r/4, −r/4); each is (r/4, r/4) away from it
    expected = 2 * (reward / 4) ** 2
    expect_close(
        subject(*inputs, 0.0), expected,
        f"rewards {reward:.0f} and 0, no baseline: g is ({reward / 2:.0f}, −{reward / 2:.0f}) or (0, 0), half of the "
        "time each",
        mistakes={
            "that is E|g|², of which |E g|² must still be taken off": 2 * expected,
            "the variances of the components are averaged, not added": expected / 2,
            "that is a standard deviation": expected**0.5,
            "the divisor is V − 1, as for a sample; here the probabilities are known": 2 * expected,
        },
        likely="the squared distance of each possible estimate from their mean, weighted by its probability",
    )  # fmt: skip
    expect_close(
        subject(*inputs, reward / 2), 0.0,
        f"with the baseline {reward / 2:.0f}, both estimates are ({reward / 4:g}, −{reward / 4:g}): no variance",
        likely="the baseline is subtracted from the reward",
    )  # fmt: skip


def more_reward_and_more_baseline(subject: Subject, draw: Draw) -> None:
    """The same number added to all rewards and to the baseline changes nothing."""
    probabilities, rewards = draw_bandit(draw, draw.size(3, 6))
    expect_close(
        subject(probabilities, rewards + 3.0, 3.5),
        subject(probabilities, rewards, 0.5),
        "3 was added to every reward and to the baseline: only their difference counts", likely="reward − baseline",
        rtol=1e-3,
    )  # fmt: skip


def any_number_of_tokens(subject: Subject, draw: Draw) -> None:
    """A few tokens, and fifty: the loops in specs/ch16.py."""
    for V in (draw.size(3, 6), draw.size(45, 60)):
        inputs = (*draw_bandit(draw, V), draw.size(-4, 4) / 4)
        expect_close(
            subject(*inputs), variance_of_estimate(*inputs),
            f"{V} tokens: the variance must be that of specs/ch16.py", rtol=1e-3,
            likely="the mean of the estimates is weighted by the probabilities too",
        )  # fmt: skip


def the_variances_are_in_answers(subject: Subject, draw: Draw) -> None:
    """The four numbers in answers.toml are those of your function for the bandit of the chapter."""
    probabilities, rewards = (torch.tensor(values) for values in BANDIT)
    for shift in (0.0, 10.0):
        for name, baseline in BASELINES.items():
            given = baseline(probabilities, rewards + shift)
            value = subject(probabilities, rewards + shift, given)
            expect_measured(subject, f"{name}_{shift:.0f}", value)


def the_reason_for_the_variance(subject: Subject, draw: Draw) -> None:
    """answers.toml says why, in your own words; a person will read it."""
    expect_sentence(subject)


# ---- 16.4 ----------------------------------------------------------------------------------------------------------


def a_reward_at_the_end_reaches_the_first_token(subject: Subject, draw: Draw) -> None:
    """The answer is paid after its last token; the first token has helped to earn it."""
    N, pay = draw.size(3, 5), float(draw.size(2, 7))
    rewards = torch.zeros(1, N)
    rewards[0, -1] = pay
    expect_close(
        subject(rewards), torch.full((1, N), pay),
        f"{pay:.0f} is paid after the last of {N} tokens: each token is credited with {pay:.0f}",
        given={"rewards": rewards}, likely="follow the reward: to which tokens does it get, and to which not?",
    )  # fmt: skip


def no_credit_for_the_past(subject: Subject, draw: Draw) -> None:
    """What was paid before a token is no credit to it."""
    N, pay = draw.size(3, 5), float(draw.size(2, 7))
    rewards = torch.zeros(1, N)
    rewards[0, 0] = pay
    expect_close(
        subject(rewards), rewards,
        f"{pay:.0f} is paid after the first token: no later token has a part in it",
        given={"rewards": rewards}, likely="all rewards of the answer are added up for every token",
    )  # fmt: skip


def returns_equal_the_specification(subject: Subject, draw: Draw) -> None:
    """Random rewards, a few and many: the loops in specs/ch16.py. The rewards are left as they are."""
    for B, N in (draw.sizes(2, 3, 7), (draw.size(20, 30), draw.size(33, 40))):
        rewards = draw.normal(B, N)
        expect_close(
            subject(rewards), returns_of(rewards),
            "the returns must be those of specs/ch16.py", given={"shape": list(rewards.shape)}, rtol=1e-3, atol=1e-4,
            likely="right for three tokens only, or another answer's rewards are added",
        )  # fmt: skip
    expect_unchanged(subject, draw.normal(3, 4), names="rewards")


def the_repair_is_one_idea(subject: Subject, draw: Draw) -> None:
    """One to three lines of code differ from what was handed out."""
    expect_small_fix(subject)


CHECKS = {
    "16.3": (
        predictions_for_the_variance, a_sure_policy_has_no_variance, a_fair_coin_by_hand,
        more_reward_and_more_baseline, any_number_of_tokens, the_variances_are_in_answers, the_reason_for_the_variance,
    ),
    "16.4": (
        a_reward_at_the_end_reaches_the_first_token, no_credit_for_the_past, returns_equal_the_specification,
        the_repair_is_one_idea,
    ),
}  # fmt: skip
