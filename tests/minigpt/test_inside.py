"""The inside of a forward pass: the logits of the model itself, weights that are attention, heads that are silent."""

import pytest
import torch

from minigpt.inside import look_inside
from minigpt.model import GPT, GPTConfig
from minigpt.runs.errors import UserError

SHAPES = [
    {"position": "rotary", "norm": "rmsnorm", "mlp": "gelu"},
    {"position": "learned", "norm": "layernorm", "mlp": "gelu_tanh", "bias": True, "dropout": 0.3},
    {"position": "sinusoidal", "mlp": "swiglu", "tied_embeddings": False},
]


def random_model(**shape):
    """Weights large enough that heads look at some tokens more than at others, and that silence shows."""
    model = GPT(GPTConfig(vocab_size=30, context=12, layers=3, heads=2, channels=16, **shape), seed=1).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(8)
    return model


IDS = [3, 1, 4, 1, 5, 9, 2, 6]


@pytest.mark.parametrize("shape", SHAPES)
def test_the_logits_are_those_of_the_model(shape):
    model = random_model(**shape)
    with torch.no_grad():
        expected = model(torch.tensor([IDS]))[0]
    torch.testing.assert_close(look_inside(model, IDS).logits, expected, rtol=1e-4, atol=1e-4)


def test_the_weights_of_each_token_are_shares_of_itself_and_what_came_before():
    weights = look_inside(random_model(), IDS).weights
    assert weights.shape == (3, 2, len(IDS), len(IDS))
    torch.testing.assert_close(weights.sum(-1), torch.ones(3, 2, len(IDS)), rtol=0, atol=1e-5)
    assert (weights.triu(1) == 0).all(), "a token has looked at a later one"
    assert weights.std() > 0.05, "all weights alike: this shows nothing"


def test_the_weights_are_those_that_the_fused_kernel_uses(monkeypatch):
    """With the unit vectors as values, the output of attention is the weights themselves."""
    model, seen = random_model(), []

    def fused_weights(queries, keys, values, mask, dropout=0.0):
        unit = torch.eye(len(IDS)).expand(1, 2, -1, -1)
        seen.append(torch.nn.functional.scaled_dot_product_attention(queries, keys, unit, is_causal=True))
        return torch.nn.functional.scaled_dot_product_attention(queries, keys, values, is_causal=True)

    expected = look_inside(model, IDS).weights
    monkeypatch.setattr("minigpt.model.attention_fused", fused_weights)
    with torch.no_grad():
        model(torch.tensor([IDS]))
    torch.testing.assert_close(torch.cat(seen), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("head", [0, 1])
def test_a_silent_head_is_one_whose_columns_of_the_projection_are_zero(head):
    model, size = random_model(), 16 // 2
    found = look_inside(model, IDS, silent=[(1, head)]).logits
    whole = look_inside(model, IDS).logits
    with torch.no_grad():
        model.blocks[1].attention.projection.weight[:, head * size : (head + 1) * size] = 0
        expected = model(torch.tensor([IDS]))[0]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(found, whole, atol=1e-3), "nothing was silenced"


def test_a_silent_head_still_looks_and_earlier_layers_do_not_notice():
    model = random_model()
    whole, quiet = look_inside(model, IDS), look_inside(model, IDS, silent=[(1, 0)])
    torch.testing.assert_close(quiet.weights[:2], whole.weights[:2], rtol=0, atol=0)
    assert not torch.allclose(quiet.weights[2], whole.weights[2], atol=1e-4), "the layer after it reads what is missing"


@pytest.mark.parametrize("head", [(3, 0), (0, 2), (-1, 0), (0, -1)])
def test_a_head_that_does_not_exist_is_refused(head):
    with pytest.raises(UserError, match="there is no head"):
        look_inside(random_model(), IDS, silent=[head])


@pytest.mark.parametrize("ids", [[], [1] * 13])
def test_an_empty_text_and_one_beyond_the_context_are_refused(ids):
    with pytest.raises(UserError, match="reads 1 to 12"):
        look_inside(random_model(), ids)
