"""Chapter 16: policy gradient. Exercises 16.1 to 16.3 are written into this file; 16.4: bugs/ch16_wrong_credit.py.

    python -m tutorials.exercises check 16.1      # run the checks of one exercise
    python -m tutorials.exercises hint 16.1       # one hint; ask again for the next one
    python -m tutorials.exercises plug 16.1       # once it is green: a small language model learns from your function

Replace `raise NotImplementedError(...)` by your own lines. torch and math are enough. What each function must do is
also written as plain loops in specs/ch16.py: slow, and right.

Shapes: B answers · N tokens of an answer · V tokens to choose from.
"""

import torch
from torch import Tensor

# ---- 16.1 The loss of REINFORCE ----------------------------------------------------------------------------------


def reinforce_loss(logprobs: Tensor, scores: Tensor, baseline: float, mask: Tensor) -> Tensor:
    """A number whose gradient is MINUS the estimate of the policy gradient, so that an optimiser may minimise it:

        −1/B · Σ over answers of (score − baseline) · Σ over the answer's tokens of log π(token)

    logprobs [B,N], log π of each sampled token; scores [B], one for each answer; baseline, one number for all;
    mask [B,N], True at the tokens of the answer -> scalar. Where the mask is False there is padding: whatever stands
    there in logprobs (it may be −inf or NaN) changes neither the loss nor its gradient.
    """
    raise NotImplementedError("16.1")


# ---- 16.2 The others are the baseline ----------------------------------------------------------------------------


def leave_one_out(scores: Tensor, group: Tensor) -> Tensor:
    """Advantages: each answer's score minus the mean score of the OTHER answers to the same prompt.

    scores [B] float; group [B], the number of the prompt that each answer belongs to, in any order and any number of
    answers a prompt -> [B]. An answer that is the only one to its prompt has nothing to be compared with: 0.
    The package compares only groups of one size that stand side by side.
    """
    raise NotImplementedError("16.2")


# ---- 16.3 What does a baseline do to the variance? ---------------------------------------------------------------


def variance_of_estimate(probabilities: Tensor, rewards: Tensor, baseline: float) -> float:
    """The variance of the gradient that ONE sampled token gives, exactly: no sampling.

    A policy with logits z chooses one of V tokens, with probabilities [V] = softmax(z) and rewards [V]. Whoever draws
    token y estimates the policy gradient by the vector

        g(y) = (reward of y − baseline) · (onehot(y) − probabilities)        [V]

    Return Σ_y probability(y) · |g(y) − E[g]|², a number: the variances of all V components, added up.

    FIRST write your prediction into answers.toml; then this function; then let
    `python -m tutorials.exercises plug 16.3` measure, and write down what it printed.
    """
    raise NotImplementedError("16.3")
