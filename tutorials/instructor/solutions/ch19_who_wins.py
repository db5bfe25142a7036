"""Chapter 19: Who wins? Exercises 19.1 to 19.3 are written into this file; 19.4: bugs/ch19_too_sure.py.

    python -m tutorials.exercises check 19.1      # run the checks of one exercise
    python -m tutorials.exercises hint 19.1       # one hint; ask again for the next one
    python -m tutorials.exercises plug 19.1       # once it is green: your function writes the table of win rates

Replace `raise NotImplementedError(...)` by your own lines. torch and math are enough. What each function must do is
also written as plain loops in specs/ch19.py: slow, and right.

Shapes: P prompts · R resamples of the bootstrap.
"""

import math

import torch
from torch import Tensor

# ---- 19.1 The win rate and its interval --------------------------------------------------------------------------


def win_rate(first: Tensor, second: Tensor, draws: Tensor) -> Tensor:
    """The share of decided prompts that `first` wins, and its 95 % interval: [3], rate, low, high.

    first and second [P] hold a grade for each prompt. A prompt is won, lost, or tied; the rate is won / (won + lost).
    draws [R,P] are the numbers of the prompts in each of R resamples: the rate of each is computed, the R rates are
    sorted, and low and high are those at the places c and R − 1 − c, counted from 0, with c = round(R / 40).
    Ties are drawn like all prompts. A resample in which nothing is decided has the rate ½. If no prompt at all is
    decided, nothing is known: (½, 0, 1).
    """
    # SOLUTION
    sign = torch.sign(first - second)  # [P], 1 won, 0 tied, -1 lost
    if bool((sign == 0).all()):
        return first.new_tensor((0.5, 0, 1))

    def share(outcome: Tensor) -> Tensor:
        decided = outcome.abs().sum(dim=-1)
        return torch.where(decided > 0, (outcome == 1).sum(dim=-1) / decided.clamp(min=1), 0.5)

    ordered = share(sign[draws]).sort().values  # [R]
    cut = round(len(draws) / 40)
    return torch.stack([share(sign), ordered[cut], ordered[len(draws) - 1 - cut]])
    # END SOLUTION


# ---- 19.2 Eleven of eleven ---------------------------------------------------------------------------------------


def wilson(won: int, lost: int, z: float) -> tuple[float, float]:
    """Wilson's interval of a win rate (1927): all rates p at which what was seen is not too surprising,

        |p̂ − p| ≤ z · √(p·(1 − p) / n)            p̂ = won / n,  n = won + lost

    low and high are the two p at which both sides are equal. They lie in [0, 1], and for n = 0 they are 0 and 1. With
    z = 1.96 it is a 95 % interval. The package has only the bootstrap.
    """
    # SOLUTION
    n = won + lost
    if n == 0:
        return 0.0, 1.0
    # n·(p̂ − p)² = z²·p·(1 − p), a quadratic equation for p
    a, half_b, c = n + z * z, won + z * z / 2, won * won / n
    root = math.sqrt(max(half_b * half_b - a * c, 0.0))
    return max((half_b - root) / a, 0.0), min((half_b + root) / a, 1.0)
    # END SOLUTION


# ---- 19.3 Two equal policies -------------------------------------------------------------------------------------


def one_looks_better(n: int, least: int) -> float:
    """The probability that one of two EQUAL policies wins at least `least` of n decided prompts, exactly.

    Each prompt is won by the one or the other with probability ½. Either of the two may be the lucky one; `least` is
    more than half of n, so they cannot both be.

    FIRST write your predictions into answers.toml; then this function; then let
    `python -m tutorials.exercises plug 19.3` measure, and write down what it printed.
    """
    # SOLUTION
    lucky = sum(math.comb(n, won) for won in range(least, n + 1))
    return 2 * lucky / 2**n
    # END SOLUTION
