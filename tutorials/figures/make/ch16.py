"""The figures of chapter 16: ways to learn from a sample, the variance over the baseline, a word that is paid for."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from tutorials.exercises.measure import BANDIT
from tutorials.tools.figures import Drawing
from tutorials.tools.numbers import field

RUNS, STEPS, RATE = 200, 300, 0.3
PROBABILITIES, REWARDS = (torch.tensor(row, dtype=torch.float64) for row in BANDIT)

# ---- Four ways to learn ----------------------------------------------------------------------------------------------


def learned(scores: Tensor, baseline: bool = False) -> list[float]:
    """The mean true reward of 200 runs after every tenth step: what each is pushed with are the scores."""
    generator = torch.Generator().manual_seed(0)
    logits, means = PROBABILITIES.log().repeat(RUNS, 1), []  # [B,V]
    for step in range(STEPS + 1):
        policy = logits.softmax(dim=-1)  # [B,V]
        if step % 10 == 0:
            means.append(float((policy @ REWARDS).mean()))
        token = torch.multinomial(policy, 1, generator=generator)  # [B,1]
        weight = scores[token] - ((policy @ scores)[:, None] if baseline else 0.0)  # [B,1]
        logits = logits + RATE * weight * (torch.eye(len(scores), dtype=torch.float64)[token[:, 0]] - policy)
    return means


def bandit() -> Drawing:
    """The mean reward over 300 steps: imitating oneself, REINFORCE, all rewards 10 higher, and that with a baseline."""
    alt = (
        "Mean reward of 200 runs over 300 steps. Imitating their own samples, they stay near 0.18. With the rewards "
        "as they are, and with rewards of 10 more and a baseline, they rise to 0.98 and 0.99. With rewards of 10 more "
        "and no baseline they end at 0.28."
    )
    arrays = {
        "step": list(range(0, STEPS + 1, 10)),
        "imitate": learned(torch.ones(5, dtype=torch.float64)),
        "plain": learned(REWARDS),
        "shifted": learned(REWARDS + 10),
        "baseline": learned(REWARDS + 10, baseline=True),
    }
    labels = {
        "x": "step",
        "y": "E[r]",
        "imitate": "1",
        "plain": "r",
        "shifted": "r + 10",
        "baseline": "(r + 10) − baseline",
    }
    return Drawing(arrays, labels, alt, draw_bandit, size=(5.8, 3.3), tolerance=0.02)


def draw_bandit(figure: Figure, arrays: dict[str, np.ndarray], labels: Mapping[str, str]) -> None:
    axes = figure.add_subplot()
    for name, style in (("baseline", "-"), ("plain", "--"), ("shifted", "-."), ("imitate", ":")):
        axes.plot(arrays["step"], arrays[name], style, label=labels[name], linewidth=1.8)
    axes.set_xlabel(labels["x"])
    axes.set_ylabel(labels["y"], rotation=0, labelpad=12)
    axes.set_ylim(0, 1.05)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="center right")


# ---- The variance over the baseline ----------------------------------------------------------------------------------


def variance() -> Drawing:
    """The exact variance of the gradient that one sample gives, for baselines from −1 to 1.5."""
    directions = torch.eye(5, dtype=torch.float64) - PROBABILITIES  # [V,V], the gradient of log π(y), a row each
    gradient = (PROBABILITIES * REWARDS) @ directions  # [V], the exact one
    mean = float(PROBABILITIES @ REWARDS)

    def at(baseline: float) -> float:
        length = ((REWARDS - baseline)[:, None] * directions).square().sum(dim=1)  # [V]
        return float(PROBABILITIES @ length - gradient @ gradient)

    alt = (
        "The variance over the baseline is a parabola: 1.28 at a baseline of −1, least, 0.23, near the mean reward of "
        "0.175, which is marked, and 1.61 at 1.5."
    )
    baselines = [round(-1 + 0.1 * n, 1) for n in range(26)]
    arrays = {
        "baseline": baselines,
        "variance": [at(b) for b in baselines],
        "mean": mean,
        "least": at(mean),
    }
    return Drawing(arrays, {"x": "b", "y": "Var g", "mean": "b = E[r]"}, alt, draw_variance, size=(4.6, 3.0))


def draw_variance(figure: Figure, arrays: dict[str, np.ndarray], labels: Mapping[str, str]) -> None:
    axes = figure.add_subplot()
    axes.plot(arrays["baseline"], arrays["variance"])
    axes.plot(arrays["mean"], arrays["least"], "o", color="black")
    axes.annotate(labels["mean"], (arrays["mean"], arrays["least"]), xytext=(4, -18), textcoords="offset points")
    axes.set_ylim(0)
    axes.set_xlabel(labels["x"])
    axes.set_ylabel(labels["y"], rotation=0, labelpad=14)
    axes.grid(alpha=0.3)


# ---- A word that is paid for -----------------------------------------------------------------------------------------

CURVES = (("score", "score"), ("ended", "ended"), ("kl", "kl"))


def banana() -> Drawing:
    """Score, share of answers that end, and nats from the start over 60 steps, of three rules."""
    curves = field("say-a-word:curves")
    arrays = {"step": list(range(1, 61))}
    for run, name in (("no baseline", "plain"), ("baseline", "baseline")):
        arrays |= {f"{name}_{part}": curves[run][part] for part, _ in CURVES}
    alt = (
        "Three panels over 60 steps, each with two lines, with a baseline and without. The score rises from 0.17 to 1, "
        "first with the baseline. The share of answers that end falls from 1: to 0 with the baseline, to 0.65 without. "
        "The distance from the start keeps growing, to 50 and 12 nats, after the score is at its top."
    )
    labels = {"x": "step", "score": "score", "ended": "ended", "kl": "nats", "plain": "r", "baseline": "r − baseline"}
    return Drawing(arrays, labels, alt, draw_banana, size=(8.0, 2.7))


def draw_banana(figure: Figure, arrays: dict[str, np.ndarray], labels: Mapping[str, str]) -> None:
    for number, (part, label) in enumerate(CURVES, start=1):
        axes = figure.add_subplot(1, 3, number)
        for name, style in (("baseline", "-"), ("plain", "--")):
            axes.plot(arrays["step"], arrays[f"{name}_{part}"], style, label=labels[name])
        axes.set_title(labels[label], fontsize=10)
        axes.set_xlabel(labels["x"])
        axes.grid(alpha=0.3)
        if number == 1:
            axes.legend(frameon=False, loc="lower right")


FIGURES = {"ch16_bandit": bandit, "ch16_variance": variance, "ch16_banana": banana}
