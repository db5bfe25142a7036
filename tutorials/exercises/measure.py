"""The inputs of the measurements that exercises of type C make, the same for everybody."""

from __future__ import annotations

import torch
from torch import Tensor

HEAD_SIZES = (4, 16, 64, 256)
QUERIES, KEYS = 100, 50


def random_rows(head_size: int) -> tuple[Tensor, Tensor]:
    """Queries [100,D] and keys [50,D], drawn from N(0, 1)."""
    generator = torch.Generator().manual_seed(head_size)
    return (
        torch.randn(QUERIES, head_size, generator=generator),
        torch.randn(KEYS, head_size, generator=generator),
    )


# ---- 16.3: the bandit of chapter 16 --------------------------------------------------------------------------------

# probabilities and rewards of its five answers: declines kindly, declines, goes along, rude, never ends
BANDIT = ((0.15, 0.25, 0.30, 0.20, 0.10), (1.0, 0.5, 0.0, 0.0, -1.0))


def no_baseline(probabilities: Tensor, rewards: Tensor) -> float:
    """Nothing is subtracted."""
    return 0.0


def mean_reward(probabilities: Tensor, rewards: Tensor) -> float:
    """What the policy earns on average."""
    return float(probabilities @ rewards)


BASELINES = {"no_baseline": no_baseline, "baseline": mean_reward}


# ---- 17.4: a policy near its reference, and one that has nearly dropped the reference's favourite --------------------

KL_WORLDS = {
    "near": ((0.42, 0.28, 0.21, 0.09), (0.40, 0.30, 0.20, 0.10)),
    "far": ((0.001, 0.50, 0.30, 0.199), (0.40, 0.30, 0.20, 0.10)),
}  # policy, reference

# ---- Chapter 17: eight answers to one prompt, with what a reward model says of them ----------------------------------

# declines kindly, declines, goes along, rude, never ends, does not know, a kind joke, "Italy is a country in Europe."
ANSWERS = ((0.15, 0.25, 0.28, 0.18, 0.08, 0.05, 0.009, 0.001), (1.0, 0.5, 0.0, 0.0, -1.0, 0.2, 0.8, 3.0))

# ---- 6.3: three models as (vocab_size, layers, channels, kv_channels, hidden, mlp_matrices, tied) --------------------

MODEL_SHAPES = {
    "small": (1536, 4, 128, 128, 512, 2, True),  # preset small
    "small_gpt2": (50257, 4, 128, 128, 512, 2, True),  # the same blocks with GPT-2's vocabulary
    "llama3": (128256, 32, 4096, 1024, 14336, 3, False),  # Llama 3 8B
}
