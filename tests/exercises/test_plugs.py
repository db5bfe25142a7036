"""A student's function really stands in the package's place, and in the package's form."""

import torch
from torch.testing import assert_close

from minigpt import model as package
from minigpt.attention import padded_layout
from rlhf.stage3_ppo import losses, step
from tutorials.exercises import sentences
from tutorials.exercises.checks.ch03 import halves
from tutorials.exercises.plugs import ch03, ch17
from tutorials.exercises.plugs.common import installed
from tutorials.exercises.specs.ch17 import advantages_of, clipped_loss


def episodes() -> tuple[torch.Tensor, ...]:
    """Three rows of eight columns: a prompt of 2, 0 and 5 tokens, answers of 3, 8 and 1, garbage elsewhere."""
    generator = torch.Generator().manual_seed(0)
    first, second, third = torch.randn(3, 3, 8, generator=generator)
    places = torch.arange(8)
    begins, lengths = torch.tensor([2, 0, 5]), torch.tensor([3, 8, 1])
    mask = (places >= begins[:, None]) & (places < (begins + lengths)[:, None])
    return tuple(x.masked_fill(~mask, torch.nan) for x in (first, second, third)) + (mask,)


def test_a_students_advantages_fit_rows_that_begin_with_a_prompt():
    rewards, values, _, mask = episodes()
    found = ch17.as_gae(advantages_of)(rewards, values, mask, 0.9, 0.8)
    for mine, theirs in zip(found, losses.gae(rewards, values, mask, 0.9, 0.8), strict=True):
        assert_close(mine, theirs, rtol=1e-5, atol=1e-6, msg="moved to the left and not moved back?")


def test_a_students_loss_is_the_packages_part_of_a_minibatch():
    logprobs, old, advantages, mask = episodes()
    found, measured = ch17.as_policy_loss(clipped_loss)(logprobs, old, advantages, mask, 0.2, denominator=40)
    expected, theirs = losses.policy_loss(logprobs, old, advantages, mask, 0.2, denominator=40)
    assert_close(found, expected, rtol=1e-5, atol=1e-6, msg="divided by its own tokens, not by the minibatch's")
    assert measured.keys() == theirs.keys()


def test_a_loss_is_replaced_where_stage_3_uses_it_and_comes_back():
    def mine() -> None:
        """Stands for a student's function."""

    for name in ("gae", "policy_loss"):
        before = getattr(losses, name)
        with ch17.everywhere(name, mine):
            assert getattr(step, name) is getattr(losses, name) is mine, f"stage 3 would still use the package's {name}"
        assert getattr(step, name) is getattr(losses, name) is before


def test_the_small_language_model_learns_from_the_loss_that_is_installed():
    speaker, losses_seen = sentences.imitate(steps=2), []

    def mine(logprobs, scores, baseline, mask):
        losses_seen.append(baseline)
        return (logprobs * mask).sum() * 0

    with installed(sentences, "reinforce_loss", mine):
        policy, log = sentences.reinforce(speaker, "banana", steps=2)
    assert len(losses_seen) == len(log) == 2
    for name, weight in policy.state_dict().items():
        assert_close(weight, speaker.state_dict()[name], rtol=0, atol=0, msg="another loss than the one installed")


def test_a_students_rotation_stands_where_the_model_rotates():
    """With the package's own pairs the model must be the package's, also in a batch with padding on the left."""
    config = package.GPTConfig(20, context=16, layers=2, heads=2, channels=16)
    ids = torch.arange(12).view(2, 6)  # [B,T]
    layouts = (None, padded_layout(torch.arange(6) >= torch.tensor([[0], [2]])))
    expected = [package.GPT(config)(ids, layout) for layout in layouts]
    with (
        installed(package, "RotaryPositions", ch03.Places),
        installed(package, "rotate", ch03.rotating(halves)),
    ):
        found = [package.GPT(config)(ids, layout) for layout in layouts]
    for mine, theirs in zip(found, expected, strict=True):
        assert_close(mine, theirs, rtol=1e-4, atol=1e-5, msg="the model was not turned by the installed function")
