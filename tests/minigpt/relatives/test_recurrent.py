"""Recurrent language models: the GRU against its four equations, attention against loops, and causality of both."""

import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from minigpt.relatives.recurrent import AdditiveAttention, RecurrentModel, gru_loops

B, T, C, V = 2, 7, 6, 11


def ids(seed=0):
    return torch.randint(V, (B, T), generator=torch.Generator().manual_seed(seed))


def test_the_four_equations_are_torchs_gru_values_and_gradients():
    torch.manual_seed(0)
    gru, x = nn.GRU(C, C, batch_first=True), torch.randn(B, T, C, requires_grad=True)
    weights = [*gru.parameters(), x]
    ours, theirs = gru_loops(x, gru), gru(x)[0]
    assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    mark = torch.randn(B, T, C)
    for mine, other in zip(
        torch.autograd.grad((ours * mark).sum(), weights),
        torch.autograd.grad((theirs * mark).sum(), weights),
        strict=True,
    ):
        assert_close(mine, other, rtol=1e-4, atol=1e-6)


def test_additive_attention_is_the_papers_formula_one_number_at_a_time():
    torch.manual_seed(0)
    attention, states = AdditiveAttention(C), torch.randn(B, T, C)
    W, U, v = attention.query.weight, attention.key.weight, attention.score.weight[0]
    mixed = attention(states)
    for b in range(B):
        assert_close(mixed[b, 0], torch.zeros(C), rtol=0, atol=0, msg="the first token has no past to look at")
        for t in range(1, T):
            scores = [v @ torch.tanh(W @ states[b, t] + U @ states[b, s]) for s in range(t)]
            weights = torch.stack(scores).softmax(0)
            expected = sum(weight * states[b, s] for s, weight in enumerate(weights))
            assert_close(mixed[b, t], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("attention", [False, True])
def test_no_logit_depends_on_a_later_token(attention):
    model, changed = RecurrentModel(V, C, attention=attention), ids()
    before = model(ids())
    changed[:, 4] = (changed[:, 4] + 1) % V
    after = model(changed)
    assert_close(after[:, :4], before[:, :4], rtol=0, atol=0, msg="a later token changed an earlier prediction")
    assert (after[:, 4:] - before[:, 4:]).abs().min(-1).values.max() > 0


@pytest.mark.parametrize("attention", [False, True])
def test_gradients_are_finite_and_reach_every_weight(attention):
    model = RecurrentModel(V, C, layers=2, attention=attention)
    loss = nn.functional.cross_entropy(model(ids()).flatten(0, 1), ids(1).flatten())
    loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, f"no gradient reaches {name}"
        assert torch.isfinite(parameter.grad).all(), f"{name}: the first token's softmax over nothing?"
        assert parameter.grad.abs().sum() > 0, f"{name} changes nothing"


def test_it_starts_near_a_uniform_guess_and_the_seed_decides():
    model = RecurrentModel(V, 64)
    loss = nn.functional.cross_entropy(model(ids()).flatten(0, 1), ids(1).flatten())
    assert abs(loss.item() - math.log(V)) < 0.5
    assert_close(model(ids()), RecurrentModel(V, 64)(ids()), rtol=0, atol=0)
    assert not torch.equal(model(ids()), RecurrentModel(V, 64, seed=1)(ids()))
