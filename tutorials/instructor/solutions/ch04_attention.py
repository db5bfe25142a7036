"""Chapter 04: attention. Exercises 4.1, 4.2, 4.4 and 4.5 are written into this file; 4.3 is in bugs/ch04_too_good.py.

    python -m tutorials.exercises check 4.1      # run the checks of one exercise
    python -m tutorials.exercises hint 4.1       # one hint; ask again for the next one
    python -m tutorials.exercises plug 4.1       # once it is green: train a model on your function

Replace `raise NotImplementedError(...)` by your own lines. torch and math are enough. What each function must do is
also written as plain loops in specs/ch04.py: slow, and right.

Shapes: B batch · H heads · T tokens · D head size · S keys.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

# ---- 4.1 Causal attention ----------------------------------------------------------------------------------------


def causal_attention(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Scaled dot-product attention in which token t looks at tokens 0 … t and at no later one.

    queries, keys, values [B,H,T,D] -> [B,H,T,D]. The weight of key s for query t is the softmax over s of q_t·k_s/√D,
    over the visible keys only; the output is the mean of their values with these weights.
    """
    # SOLUTION
    T, D = queries.shape[-2:]
    scores = torch.einsum("bhtd,bhsd->bhts", queries, keys) / math.sqrt(D)  # [B,H,T,T]
    later = torch.ones(T, T, dtype=torch.bool, device=scores.device).triu(diagonal=1)  # [T,T]
    return torch.softmax(scores.masked_fill(later, -math.inf), dim=-1) @ values  # [B,H,T,D]
    # END SOLUTION


# ---- 4.2 Sliding-window attention --------------------------------------------------------------------------------


def sliding_window_attention(queries: Tensor, keys: Tensor, values: Tensor, window: int) -> Tensor:
    """Attention in which a token looks at the last `window` tokens, itself among them, and at no later one.

    queries, keys, values [B,H,T,D], window at least 1 -> [B,H,T,D]. With window = 1 a token sees itself only; with a
    window of T or more this is causal attention. Mistral 7B uses it: the cost of a token no longer grows with the text.
    """
    # SOLUTION
    T, D = queries.shape[-2:]
    scores = torch.einsum("bhtd,bhsd->bhts", queries, keys) / math.sqrt(D)  # [B,H,T,T]
    place = torch.arange(T, device=scores.device)  # [T]
    distance = place[:, None] - place[None, :]  # [T,T], how far back key s lies from query t
    outside = (distance < 0) | (distance >= window)  # [T,T]
    return torch.softmax(scores.masked_fill(outside, -math.inf), dim=-1) @ values  # [B,H,T,D]
    # END SOLUTION


# ---- 4.4 Write the test ------------------------------------------------------------------------------------------


def test_attention(attention: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
    """Passes if `attention` is causal attention as in 4.1, and raises AssertionError if it is not.

    `attention(queries, keys, values)` takes and returns [B,H,T,D]. Your test is run on attentions that are right and on
    attentions with one mistake each: it must let all of the right ones through and catch as many wrong ones as you can.
    Right ones differ in the last digits, so compare with a tolerance. Keep the tensors small, up to 5,000 numbers each.
    """
    # SOLUTION
    generator = torch.Generator().manual_seed(4)
    B, H, T, D = 2, 3, 5, 4
    queries, keys, values = (torch.randn(B, H, T, D, generator=generator) for _ in range(3))  # [B,H,T,D] each
    output = attention(queries, keys, values)
    assert output.shape == values.shape, "the output has the shape of the values"
    assert output.dtype == values.dtype, "the output has the type of the values"

    one = attention(queries[:, :, :1], keys[:, :, :1], values[:, :, :1])
    torch.testing.assert_close(one, values[:, :, :1], rtol=1e-4, atol=1e-5)  # one token can only return its value
    equal = torch.full_like(values, 3.0)
    torch.testing.assert_close(attention(queries, keys, equal), equal, rtol=1e-4, atol=1e-5)  # the weights add up to 1

    past = values.cumsum(dim=2) / torch.arange(1, T + 1)[:, None]  # [B,H,T,D]
    zeros = torch.zeros_like(queries)
    torch.testing.assert_close(
        attention(zeros, keys, values), past, rtol=1e-4, atol=1e-5
    )  # equal scores, equal weights

    scale = math.sqrt(16)
    q = torch.zeros(1, 1, 2, 16).index_fill(3, torch.tensor(0), 2.0)  # [1,1,2,16]
    k = torch.tensor([0.0, 2.0]).view(1, 1, 2, 1) * (torch.arange(16) == 0)  # [1,1,2,16], scores 0 and 4 before scaling
    v = torch.tensor([0.0, 1.0]).view(1, 1, 2, 1).expand(1, 1, 2, 16)  # [1,1,2,16]
    weight = 1 / (1 + math.exp(-4.0 / scale))
    assert abs(attention(q, k, v)[0, 0, 1, 0].item() - weight) < 1e-4, "scores are divided by the root of the head size"

    for part in range(3):
        changed = [tensor.clone() for tensor in (queries, keys, values)]
        changed[part][:, :, -1] += 1.0
        moved = attention(*changed)
        torch.testing.assert_close(moved[:, :, :-1], output[:, :, :-1], rtol=1e-4, atol=1e-5)  # no look into the future
        changed = [tensor.clone() for tensor in (queries, keys, values)]
        changed[part][0, 0] += torch.linspace(0, 1, T)[:, None]
        moved = attention(*changed)
        torch.testing.assert_close(moved[1:], output[1:], rtol=1e-4, atol=1e-5)  # rows of the batch stay apart
        torch.testing.assert_close(moved[0, 1:], output[0, 1:], rtol=1e-4, atol=1e-5)  # and so do heads
    # END SOLUTION


# ---- 4.5 Does the softmax saturate? ------------------------------------------------------------------------------


def entropy_of_weights(queries: Tensor, keys: Tensor, scaled: bool) -> float:
    """The entropy of the attention weights in nats, a mean over the queries; every query sees every key.

    queries [T,D], keys [S,D]. The weights of a query are the softmax over the keys of q·k/√D, or of q·k alone where
    `scaled` is False. The entropy of a row of weights p is −Σ p log p: ln S if all are equal, 0 if one of them is 1.

    FIRST write your prediction into answers.toml; then this function; then let
    `python -m tutorials.exercises plug 4.5` measure, and write down what it printed.
    """
    # SOLUTION
    scores = queries @ keys.T  # [T,S]
    if scaled:
        scores = scores / math.sqrt(queries.shape[-1])
    logprobs = scores.log_softmax(dim=-1)  # [T,S]
    return -(logprobs.exp() * logprobs).sum(dim=-1).mean().item()
    # END SOLUTION
