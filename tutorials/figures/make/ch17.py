"""The figures of chapter 17: the clip, the estimates of the KL, the optimum, and a word that is paid for."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from rlhf.stage3_ppo.losses import gae, kl_k1, kl_k2, kl_k3, policy_loss, shape_rewards
from tutorials.exercises.measure import ANSWERS, KL_WORLDS
from tutorials.tools.figures import Drawing
from tutorials.tools.numbers import field

CLIP = 0.2
REFERENCE, SCORES = (torch.tensor(row, dtype=torch.float64) for row in ANSWERS)
BETAS = (1.0, 0.5, 0.2)

# ---- The clip --------------------------------------------------------------------------------------------------------


def clip() -> Drawing:
    """What one token may gain, over its ratio, for advantages 1 and −1: the package's loss, one ratio at a time."""
    ratios = [round(0.02 * n, 2) for n in range(10, 91)]
    mask = torch.ones(1, 1, dtype=torch.bool)
    arrays = {"ratio": ratios}
    for name, advantage in (("good", 1.0), ("bad", -1.0)):
        a = torch.full((1, 1), advantage, dtype=torch.float64)
        new = [torch.full((1, 1), r, dtype=torch.float64).log() for r in ratios]
        arrays[name] = [-float(policy_loss(log, torch.zeros_like(log), a, mask, CLIP)[0]) for log in new]
    alt = (
        "Two panels: the gain of a token over its ratio, with a dot at 1. Advantage 1: the gain rises with the ratio, "
        "and is flat at 1.2 from a ratio of 1.2 on. Advantage −1: it is flat at −0.8 below a ratio of 0.8, and falls "
        "from there on without end. Dashed lines show both without the clip."
    )
    labels = {"x": "ρ", "good": "A = 1", "bad": "A = −1", "y": "min(ρA, clip(ρ)A)"}
    return Drawing(arrays, labels, alt, draw_clip, size=(7.2, 3.0))


def draw_clip(figure: Figure, arrays: dict[str, np.ndarray], labels: Mapping[str, str]) -> None:
    for number, (name, sign) in enumerate((("good", 1), ("bad", -1)), start=1):
        axes = figure.add_subplot(1, 2, number)
        axes.plot(arrays["ratio"], sign * arrays["ratio"], linestyle="--", color="0.6")
        axes.plot(arrays["ratio"], arrays[name], linewidth=2.2)
        axes.plot(1, sign, "o", color="black")
        axes.axvline(1 + sign * CLIP, color="0.6", linestyle=":")
        axes.set_title(labels[name], fontsize=10)
        axes.set_xlabel(labels["x"])
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel(labels["y"])


# ---- Three estimates of the KL ---------------------------------------------------------------------------------------

ESTIMATES = {"k1": kl_k1, "k2": kl_k2, "k3": kl_k3}


def estimates() -> Drawing:
    """Mean and spread of k1, k2, k3 for policies that drop the reference's favourite more and more."""
    reference = torch.tensor(KL_WORLDS["near"][1], dtype=torch.float64).log()  # [V]
    pushed = [0.25 * n for n in range(1, 27)]
    arrays: dict[str, list[float]] = {"kl": []}
    for push in pushed:
        logits = reference.clone()
        logits[0] -= push
        policy = logits.log_softmax(0)  # [V]
        p = policy.exp()
        arrays["kl"].append(float((p * (policy - reference)).sum()))
        for name, estimate in ESTIMATES.items():
            k = estimate(policy, reference)  # [V]
            mean = float(p @ k)
            arrays.setdefault(f"{name}_mean", []).append(mean)
            arrays.setdefault(f"{name}_spread", []).append(float((p @ (k - mean) ** 2).sqrt()))
    alt = (
        "Two panels over the true KL, 0 to 0.5 nats. Left, means: k1 and k3 lie on the diagonal; k2 stays below it, "
        "rises to 0.21 and falls to 0.15. Right, standard deviations on a logarithmic scale: at first k3 is far below "
        "k1, 0.004 against 0.12; from 0.25 nats on it is above, and ends at 12, with k1 at 0.2."
    )
    labels = {"x": "KL", "mean": "mean", "spread": "std"}
    return Drawing(arrays, labels, alt, draw_estimates, size=(7.6, 3.0))


def draw_estimates(figure: Figure, arrays: dict[str, np.ndarray], labels: Mapping[str, str]) -> None:
    for number, part in enumerate(("mean", "spread"), start=1):
        axes = figure.add_subplot(1, 2, number)
        for name, style in (("k1", "-"), ("k2", "-."), ("k3", "--")):
            axes.plot(arrays["kl"], arrays[f"{name}_{part}"], style, label=name, linewidth=1.8)
        axes.set_title(labels[part], fontsize=10)
        axes.set_xlabel(labels["x"])
        axes.grid(alpha=0.3)
        if part == "spread":
            axes.set_yscale("log")
        else:
            axes.legend(frameon=False)


# ---- The optimum -----------------------------------------------------------------------------------------------------


def reached(beta: float, steps: int = 600) -> Tensor:
    """Where PPO ends in the world of eight answers [V]: expectations are sums over all answers, as in the chapter."""
    reference, mask = REFERENCE.log()[:, None], torch.ones(8, 1, dtype=torch.bool)  # [B,N] each
    logits = REFERENCE.log().requires_grad_()
    optimizer = torch.optim.Adam([logits], lr=0.1)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, steps)
    for _ in range(steps):
        now = logits.log_softmax(0)[:, None]  # [B,N]
        old = now.detach()
        rewards = shape_rewards(SCORES, old, reference, mask, beta)  # [B,N]
        values = (old.exp() * rewards).sum().expand(8, 1)  # [B,N]
        advantages, _ = gae(rewards, values, mask, 1.0, 1.0)
        loss, _ = policy_loss(now, old, old.exp() * advantages, mask, CLIP, denominator=1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return logits.detach().softmax(0)


def optimum() -> Drawing:
    """The best policy for three β beside the reference, and what PPO reached."""
    alt = (
        "Bars for eight answers a to h: the reference and the best policy for β = 1, 0.5 and 0.2; a dot on each bar of "
        "a β marks where PPO ended, and all dots are at the bars' ends. Answer h has next to nothing in the reference "
        "and for β = 1, 0.15 for β = 0.5, and 0.99 for β = 0.2, where all others vanish."
    )
    arrays = {"reference": REFERENCE}
    for beta in BETAS:
        arrays[f"best_{beta}"] = (REFERENCE.log() + SCORES / beta).softmax(0)
        arrays[f"reached_{beta}"] = reached(beta)
    return Drawing(arrays, {"reference": "π_ref", "beta": "β"}, alt, draw_optimum, size=(7.6, 3.2), tolerance=5e-3)


def draw_optimum(figure: Figure, arrays: dict[str, np.ndarray], labels: Mapping[str, str]) -> None:
    axes, places = figure.add_subplot(), np.arange(8)
    axes.bar(places - 0.3, arrays["reference"], 0.2, color="0.6", label=labels["reference"])
    for number, beta in enumerate(BETAS):
        where = places - 0.1 + 0.2 * number
        axes.bar(where, arrays[f"best_{beta}"], 0.2, label=f"{labels['beta']} = {beta:g}")
        axes.plot(where, arrays[f"reached_{beta}"], ".", color="black", markersize=6)
    axes.set_xticks(places, list("abcdefgh"))
    axes.grid(alpha=0.3, axis="y")
    axes.legend(frameon=False, loc="upper center")


# ---- A word that is paid for -----------------------------------------------------------------------------------------

PARTS = {"score": "score", "ended": "ended", "kl": "nats"}


def banana() -> Drawing:
    """Score, share of answers that end, and nats from the start over 60 steps, for four β."""
    curves = field("near-the-start:curves")
    arrays = {"step": list(range(1, 61)), "betas": list(curves)}
    for beta, curve in curves.items():
        arrays |= {f"{part}_{beta}": curve[part] for part in PARTS}
    alt = ALT_BANANA
    labels = {"x": "step", "beta": "β", **PARTS}
    return Drawing(arrays, labels, alt, draw_banana, size=(8.2, 2.8))


ALT_BANANA = (
    "Three panels over 60 steps, a line for each β. The score rises from 0.17: to 1 with β = 0, 0.96 with 0.03, 0.85 "
    "with 0.1 and 0.59 with 0.3. The share of answers that end falls to 0.33 with β = 0 and stays near 1 with the "
    "others. The distance from the start grows to 26 nats with β = 0 and stays below 3.4 with the others."
)


def draw_banana(figure: Figure, arrays: dict[str, np.ndarray], labels: Mapping[str, str]) -> None:
    for number, part in enumerate(PARTS, start=1):
        axes = figure.add_subplot(1, 3, number)
        for beta, style in zip(arrays["betas"], ("-", "--", "-.", ":"), strict=True):
            axes.plot(arrays["step"], arrays[f"{part}_{beta}"], style, label=f"{labels['beta']} = {beta}")
        axes.set_title(labels[part], fontsize=10)
        axes.set_xlabel(labels["x"])
        axes.grid(alpha=0.3)
        if part == "score":
            axes.legend(frameon=False, fontsize=8)


FIGURES = {"ch17_clip": clip, "ch17_estimates": estimates, "ch17_optimum": optimum, "ch17_banana": banana}
