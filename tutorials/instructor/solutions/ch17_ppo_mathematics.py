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
    # SOLUTION
    real_rewards, real_values = rewards.masked_fill(~mask, 0.0), values.masked_fill(~mask, 0.0)  # [B,N]
    ahead = torch.cat([real_values[:, 1:], torch.zeros_like(real_values[:, :1])], dim=1)  # [B,N], V of the next token
    errors = real_rewards + gamma * ahead - real_values  # [B,N], the δs; 0 in the padding
    columns, running = [], torch.zeros_like(errors[:, 0])  # [B]
    for error in reversed(errors.unbind(dim=1)):
        running = error + gamma * lam * running
        columns.append(running)
    return torch.stack(columns[::-1], dim=1)  # [B,N]
    # END SOLUTION


# ---- 17.2 The clipped loss ---------------------------------------------------------------------------------------


def clipped_loss(logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, mask: Tensor, clip: float) -> Tensor:
    """PPO's loss of the policy (Schulman et al. 2017, eq. 7), with the sign for an optimiser that makes it small:

        −mean over real tokens of min(ρ·A, clip(ρ, 1−ε, 1+ε)·A)        ρ = π/π_old of the token

    logprobs, old_logprobs, advantages, mask [B,N]; clip is ε -> scalar.
    """
    # SOLUTION
    difference = (logprobs - old_logprobs).masked_select(mask)  # one number for each real token
    advantage = advantages.masked_select(mask)
    ratio = torch.exp(difference)
    pessimistic = torch.minimum(ratio * advantage, ratio.clamp(1.0 - clip, 1.0 + clip) * advantage)
    return -pessimistic.mean()
    # END SOLUTION


# ---- 17.3 The KL of a token, exactly -----------------------------------------------------------------------------


def exact_kl(logits: Tensor, ref_logits: Tensor, mask: Tensor) -> Tensor:
    """KL(π ‖ π_ref) of the distribution that each token was drawn from, in nats: no estimate, the whole sum.

        KL_t = Σ over the vocabulary of π(v) · (log π(v) − log π_ref(v))

    logits and ref_logits [B,N,V], of the policy and of the reference; mask [B,N] -> [B,N], 0 in the padding. A token to
    which the policy gives probability 0 (a logit of −inf) adds 0, to the value and to the gradient, also where the
    reference forbids it too. The package has only estimates from the tokens that were drawn.
    """
    # SOLUTION
    policy, reference = logits.log_softmax(dim=-1), ref_logits.log_softmax(dim=-1)  # [B,N,V]
    weight = policy.exp()  # [B,N,V]
    possible = weight > 0  # [B,N,V]
    terms = weight * torch.where(possible, policy - reference, 0.0)  # [B,N,V]
    return terms.sum(dim=-1).masked_fill(~mask, 0.0)  # [B,N]
    # END SOLUTION


# ---- 17.4 Which estimate scatters less? --------------------------------------------------------------------------


def spread_of_estimate(policy: Tensor, reference: Tensor, kind: str) -> float:
    """The standard deviation of an estimate of KL(policy ‖ reference) from ONE answer drawn from the policy, exactly.

    policy and reference [V] are probabilities, all above 0; kind is "k1", "k2" or "k3", with Δ = log π − log π_ref:

        k1 = Δ            k2 = Δ²/2            k3 = exp(−Δ) − 1 + Δ

    FIRST write your predictions into answers.toml; then this function; then let
    `python -m tutorials.exercises plug 17.4` measure, and write down what it printed.
    """
    # SOLUTION
    delta = policy.double().log() - reference.double().log()  # [V]
    estimates = {"k1": delta, "k2": delta**2 / 2, "k3": torch.expm1(-delta) + delta}[kind]  # [V]
    weights = policy.double()  # [V]
    return float(torch.sqrt(weights @ (estimates - weights @ estimates) ** 2))
    # END SOLUTION
