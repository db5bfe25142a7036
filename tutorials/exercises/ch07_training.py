"""Chapter 07: training. Exercises 7.1 to 7.3 are written into this file; 7.4 is in bugs/ch07_another_split.py.

    python -m tutorials.exercises check 7.1      # run the checks of one exercise
    python -m tutorials.exercises hint 7.1       # one hint; ask again for the next one
    python -m tutorials.exercises plug 7.1       # once it is green: pretrain a model with your optimiser

Replace `raise NotImplementedError(...)` by your own lines. torch is enough. What each function must do is also written
as plain loops in specs/ch07.py: slow, and right.
"""

import torch
from torch import Tensor

# ---- 7.1 AdamW ---------------------------------------------------------------------------------------------------


def adamw_step(
    state: Tensor,
    gradient: Tensor,
    step: int,
    rate: float,
    beta1: float,
    beta2: float,
    epsilon: float,
    decay: float,
) -> Tensor:
    """One step of AdamW for N weights: the new state [3,N] from the old one [3,N] and the gradient [N].

    The rows of a state are the weights, their first moments m and their second moments v; both are kept uncorrected.
    `step` counts from 1. With the new moments, m̂ = m / (1 − β1^step) and v̂ = v / (1 − β2^step), and
    w ← w − rate · (m̂ / (√v̂ + ε) + decay · w).
    """
    raise NotImplementedError("7.1")


# ---- 7.2 Up, along, down -----------------------------------------------------------------------------------------


def warmup_stable_decay(step: int, steps: int, warmup: int, decay: int, final: float) -> float:
    """The factor of the peak learning rate at `step`, 0 ≤ step < steps (Hu et al. 2024, MiniCPM, section 4.2).

    Up: in the first `warmup` steps (step + 1) / warmup. Along: 1. Down: in the last `decay` steps it falls by equal
    amounts, from 1, which the step before them still has, to `final`, which the last step of the run has. Where a
    short run goes up and down at the same time, the smaller of the two counts. `warmup` and `decay` may be 0.
    """
    raise NotImplementedError("7.2")


# ---- 7.3 How does it end? ----------------------------------------------------------------------------------------


def smoothed(losses: Tensor, beta: float) -> Tensor:
    """A loss curve [N] without most of its noise [N]: at each step the mean of all losses so far, where a loss that is
    k steps old weighs β^k, and the weights are divided by their sum.

    FIRST write your predictions into answers.toml; then this function; then let
    `python -m tutorials.exercises plug 7.3` read the recorded curves, and write down what it printed.
    """
    raise NotImplementedError("7.3")
