"""The figures of chapter 07: what an optimiser makes of a gradient, a healthy run, and runs that break."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure

from minigpt.optim import newton_schulz
from tutorials.exercises.facts import ANSWERS, TEXTS, small_gpt
from tutorials.tools.figures import Drawing
from tutorials.tools.numbers import field

# ---- What becomes of a gradient --------------------------------------------------------------------------------------

STEPS = 30  # of training before the gradient is taken


def muon() -> Drawing:
    """The singular values of a gradient, of Adam's step and of Muon's, each divided by its largest."""
    model = small_gpt(layers=1)
    weight = model.blocks[0].mlp.up.weight  # [4C,C]
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.003, betas=(0.9, 0.95), weight_decay=0.0)
    before = weight.detach().clone()
    for _ in range(STEPS):
        loss = F.cross_entropy(model(TEXTS)[:, -1], ANSWERS)
        optimizer.zero_grad()
        loss.backward()
        before = weight.detach().clone()
        optimizer.step()
    changes = {
        "gradient": weight.grad,
        "adamw": before - weight.detach(),
        "muon": newton_schulz(weight.grad[None])[0],
    }
    values = {name: torch.linalg.svdvals(change) for name, change in changes.items()}
    arrays = {name: value / value[0] for name, value in values.items()}
    share = {name: float((value > 0.1).float().mean()) for name, value in arrays.items()}
    labels = {
        "x": "direction",
        "y": "size, largest = 1",
        "gradient": "gradient",
        "adamw": "step of AdamW",
        "muon": "step of Muon",
    }
    alt = (
        "The 32 singular values of one gradient, in order, on a logarithmic scale: they fall over several decades. "
        f"{share['gradient']:.0%} of the gradient's are above a tenth of the largest, {share['adamw']:.0%} of those of "
        f"AdamW's step, {share['muon']:.0%} of Muon's."
    )
    return Drawing(arrays, labels, alt, draw_muon, size=(5.2, 3.0), tolerance=0.03)


def draw_muon(figure: Figure, arrays: dict[str, np.ndarray], labels: Mapping[str, str]) -> None:
    axes = figure.add_subplot()
    for name, marker in (("gradient", "s"), ("adamw", "o"), ("muon", "^")):
        axes.plot(range(1, len(arrays[name]) + 1), arrays[name], marker=marker, markersize=3, label=labels[name])
    axes.set_yscale("log")
    axes.set_ylim(1e-5, 2)
    axes.set_xlabel(labels["x"])
    axes.set_ylabel(labels["y"])
    axes.legend(frameon=False, loc="lower left")


# ---- A healthy run, and broken ones ----------------------------------------------------------------------------------


def log() -> Drawing:
    """Loss, length of the gradient and rate of the healthy run, step by step."""
    fields = ("loss", "grad_norm", "learning_rate")
    run = field("broken-training:curves")["healthy"][0]
    arrays = {name: run[name] for name in fields}
    labels = {"x": "step", "loss": "loss, nats/token", "grad_norm": "grad_norm", "learning_rate": "learning_rate"}
    alt = (
        f"Three curves over {len(run['loss'])} steps. The loss falls from {run['loss'][0]:.1f} to "
        f"{np.mean(run['loss'][-20:]):.1f}, fast at first, with a noise of some tenths from step to step. The length "
        f"of the gradient stays between {min(run['grad_norm']):.1f} and {max(run['grad_norm']):.1f}. The rate rises "
        "for 20 steps to 0.003 and falls along half a cosine."
    )
    return Drawing(arrays, labels, alt, draw_log, size=(8.0, 2.5))


def draw_log(figure: Figure, arrays: dict[str, np.ndarray], labels: Mapping[str, str]) -> None:
    for axes, name in zip(figure.subplots(1, 3), ("loss", "grad_norm", "learning_rate"), strict=True):
        axes.plot(range(1, len(arrays[name]) + 1), arrays[name], linewidth=1.0)
        axes.set_ylim(bottom=0)
        axes.set_title(labels[name], fontsize=10)
        axes.set_xlabel(labels["x"])


BROKEN = {
    "healthy": "healthy",
    "no_warmup": "no warm-up",
    "rate_tenth": "rate / 10",
    "rate_x10": "rate × 10",
    "x10_no_warmup": "rate × 10, no warm-up",
    "rate_x100": "rate × 100",
    "bad_init": "start × 10",
}
WINDOW = 9  # steps whose mean is drawn


def broken() -> Drawing:
    """The losses of the healthy run and of the broken ones: means of nine steps, of all seeds."""
    curves = field("broken-training:curves")
    arrays = {}
    for name in BROKEN:
        mean = np.mean([run["loss"] for run in curves[name]], axis=0)
        arrays[name] = np.convolve(mean, np.ones(WINDOW) / WINDOW, mode="valid")
    ends, large = field("broken-training:ends"), np.mean([run["loss"][0] for run in curves["bad_init"]])
    alt = (
        f"Losses over 150 steps, means of {len(curves['healthy'])} seeds. At the end: "
        + ", ".join(f"{label} {ends[name]:.1f}" for name, label in BROKEN.items())
        + f". The start times 10 begins at {large:.1f}, all others at ln 1024, a broken line."
    )
    labels = {"x": "step", "y": "nats/token", **BROKEN}
    return Drawing(arrays, labels, alt, draw_broken, size=(6.6, 3.4))


def draw_broken(figure: Figure, arrays: dict[str, np.ndarray], labels: Mapping[str, str]) -> None:
    axes = figure.add_subplot()
    for number, name in enumerate(BROKEN):
        steps = np.arange(len(arrays[name])) + WINDOW // 2 + 1
        axes.plot(steps, arrays[name], label=labels[name], color="black" if number == 0 else f"C{number - 1}")
    axes.axhline(np.log(1024), color="0.6", linewidth=0.8, linestyle="--")
    axes.set_ylim(2, 9)
    axes.set_xlabel(labels["x"])
    axes.set_ylabel(labels["y"])
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))


FIGURES = {"ch07_muon": muon, "ch07_log": log, "ch07_broken": broken}
