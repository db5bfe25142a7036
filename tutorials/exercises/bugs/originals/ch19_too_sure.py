"""Exercise 19.4, a bug hunt: the interval that is too sure.

    python -m tutorials.exercises.bugs.ch19_too_sure      # three seconds: how often two equal policies look different
    python -m tutorials.exercises check 19.4

Two policies answer each prompt four times. They are equally good: on a prompt that suits the first it wins most of its
four comparisons, on another prompt it loses most of them, and on average it wins half. So a 95 % interval of the win
rate should leave out ½ in about 5 of 100 experiments. This one leaves it out in more than 20. One idea in this file is
wrong. Find it, and change at most three lines.
"""

import torch
from torch import Tensor

PROMPTS, ANSWERS, RESAMPLES, EXPERIMENTS = 100, 4, 400, 200


def interval(won: Tensor, seed: int) -> Tensor:
    """The 95 % interval of the win rate by bootstrap: [2], low and high.

    won [P,K] is 1 where the first policy won, 0 where it lost: K comparisons for each of P prompts.
    """
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(won.numel(), (RESAMPLES, won.numel()), generator=generator)  # [R,P*K]
    rates = won.flatten()[drawn].mean(dim=1).sort().values  # [R]
    cut = round(RESAMPLES / 40)
    return torch.stack([rates[cut], rates[-1 - cut]])


def experiment(seed: int) -> Tensor:
    """Comparisons [P,K] of two policies that are equally good over all prompts, and not on each of them."""
    generator = torch.Generator().manual_seed(seed)
    chance = 0.1 + 0.8 * torch.randint(2, (PROMPTS, 1), generator=generator)  # [P,1], of winning on this prompt
    return (torch.rand(PROMPTS, ANSWERS, generator=generator) < chance).float()


def alarms() -> float:
    """In which share of the experiments the interval leaves out ½."""
    found = [interval(experiment(seed), seed) for seed in range(EXPERIMENTS)]
    return sum(bool(low > 0.5 or high < 0.5) for low, high in found) / EXPERIMENTS


if __name__ == "__main__":
    print(f"{EXPERIMENTS} experiments with two equal policies: the interval leaves out ½ in {alarms():.0%} of them")
