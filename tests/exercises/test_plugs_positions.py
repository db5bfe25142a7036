"""A student's rotation (exercise 3.2) really stands where the model rotates."""

import torch
from torch.testing import assert_close

from minigpt import model as package
from minigpt.attention import padded_layout
from tutorials.exercises.checks.ch03 import halves
from tutorials.exercises.plugs import ch03
from tutorials.exercises.plugs.common import installed


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
