"""Chapter 17: PPO as mathematics. Exercises 17.1 to 17.4 are written into this file; 17.5: bugs/ch17_no_effect.py.

    python -m tutorials.exercises check 17.1      # run the checks of one exercise
    python -m tutorials.exercises hint 17.1       # one hint; ask again for the next one
    python -m tutorials.exercises plug 17.1       # once it is green: PPO of preset tiny runs on your function

Replace `raise NotImplementedError(...)` by your own lines. torch and math are enough. What each function must do is
also written as plain loops in specs/ch17.py: slow, and right.

Shapes: B answers · N tokens of an answer · V tokens to choose from. mask [B,N] is True at the tokens of an answer, and
answers are padded on the right. Whatever stands in the padding (it may be NaN) changes nothing.
"""

import torch
from torch import Tensor

# ---- 17.1 Generalised advantage estimation -----------------------------------------------------------------------


def advantages_of(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float) -> Tensor:
    """The advantage of each token (Schulman et al. 2016, eq. 16):

        δ_t = r_t + γ·V_{t+1} − V_t            A_t = δ_t + γ·λ·A_{t+1}

    rewards, values, mask [B,N] -> [B,N], 0 in the padding. V_t is the value before token t. After an answer's last
    token nothing follows: there V_{t+1} = 0 and A_{t+1} = 0, whatever the padding holds.
    """
    raise NotImplementedError("17.1")


# ---- 17.2 The clipped loss ---------------------------------------------------------------------------------------


def clipped_loss(logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, mask: Tensor, clip: float) -> Tensor:
    """PPO's loss of the policy (Schulman et al. 2017, eq. 7), with the sign for an optimiser that makes it small:

        −mean over real tokens of min(ρ·A, clip(ρ, 1−ε, 1+ε)·A)        ρ = π/π_old of the token

    logprobs, old_logprobs, advantages, mask [B,N]; clip is ε -> scalar.
    """
    raise NotImplementedError("17.2")


# ---- 17.3 The KL of a token, exactly -----------------------------------------------------------------------------


def exact_kl(logits: Tensor, ref_logits: Tensor, mask: Tensor) -> Tensor:
    """KL(π ‖ π_ref) of the distribution that each token was drawn from, in nats: no estimate, the whole sum.

        KL_t = Σ over the vocabulary of π(v) · (log π(v) − log π_ref(v))

    logits and ref_logits [B,N,V], of the policy and of the reference; mask [B,N] -> [B,N], 0 in the padding. A token to
    which the policy gives probability 0 (a logit of −inf) adds 0, to the value and to the gradient, also where the
    reference forbids it too. The package has only estimates from the tokens that were drawn.
    """
    raise NotImplementedError("17.3")


# ---- 17.4 Which estimate scatters less? --------------------------------------------------------------------------


def spread_of_estimate(policy: Tensor, reference: Tensor, kind: str) -> float:
    """The standard deviation of an estimate of KL(policy ‖ reference) from ONE answer drawn from the policy, exactly.

    policy and reference [V] are probabilities, all above 0; kind is "k1", "k2" or "k3", with Δ = log π − log π_ref:

        k1 = Δ            k2 = Δ²/2            k3 = exp(−Δ) − 1 + Δ

    FIRST write your predictions into answers.toml; then this function; then let
    `python -m tutorials.exercises plug 17.4` measure, and write down what it printed.
    """
    raise NotImplementedError("17.4")
