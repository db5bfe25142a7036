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
    raise NotImplementedError("4.1")


# ---- 4.2 Sliding-window attention --------------------------------------------------------------------------------


def sliding_window_attention(queries: Tensor, keys: Tensor, values: Tensor, window: int) -> Tensor:
    """Attention in which a token looks at the last `window` tokens, itself among them, and at no later one.

    queries, keys, values [B,H,T,D], window at least 1 -> [B,H,T,D]. With window = 1 a token sees itself only; with a
    window of T or more this is causal attention. Mistral 7B uses it: the cost of a token no longer grows with the text.
    """
    raise NotImplementedError("4.2")


# ---- 4.4 Write the test ------------------------------------------------------------------------------------------


def test_attention(attention: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
    """Passes if `attention` is causal attention as in 4.1, and raises AssertionError if it is not.

    `attention(queries, keys, values)` takes and returns [B,H,T,D]. Your test is run on attentions that are right and on
    attentions with one mistake each: it must let all of the right ones through and catch as many wrong ones as you can.
    Right ones differ in the last digits, so compare with a tolerance. Keep the tensors small, up to 5,000 numbers each.
    """
    raise NotImplementedError("4.4")


# ---- 4.5 Does the softmax saturate? ------------------------------------------------------------------------------


def entropy_of_weights(queries: Tensor, keys: Tensor, scaled: bool) -> float:
    """The entropy of the attention weights in nats, a mean over the queries; every query sees every key.

    queries [T,D], keys [S,D]. The weights of a query are the softmax over the keys of q·k/√D, or of q·k alone where
    `scaled` is False. The entropy of a row of weights p is −Σ p log p: ln S if all are equal, 0 if one of them is 1.

    FIRST write your prediction into answers.toml; then this function; then let
    `python -m tutorials.exercises plug 4.5` measure, and write down what it printed.
    """
    raise NotImplementedError("4.5")
