"""A student's layer of many heads (exercise 5.1) really stands where the model attends."""

import torch
from torch.testing import assert_close

from minigpt.attention import padded_layout
from minigpt.model import GPT, Attention, GPTConfig
from tutorials.exercises.plugs.ch05 import as_attention
from tutorials.exercises.plugs.common import installed
from tutorials.exercises.specs.ch05 import multi_head_attention


def test_a_students_layer_stands_where_the_model_attends():
    """The specification in its place gives the package's numbers; with a mask the package itself does the work."""
    model = GPT(GPTConfig(20, context=16, layers=2, heads=2, channels=16, position="learned"))
    ids, calls = torch.arange(12).view(2, 6), []  # [B,T]

    def counted(*inputs: object) -> torch.Tensor:
        calls.append(inputs)
        return multi_head_attention(*inputs)

    for layout, used in ((None, 2), (padded_layout(torch.arange(6) >= torch.tensor([[0], [2]])), 0)):
        expected = model(ids, layout)  # [B,T,V]
        calls.clear()
        with installed(Attention, "forward", as_attention(counted)):
            found = model(ids, layout)  # [B,T,V]
        assert_close(found, expected, rtol=1e-4, atol=1e-5, msg="the layer in the model is another one")
        assert len(calls) == used, "the student's function is called once a layer, and not where there is a mask"
