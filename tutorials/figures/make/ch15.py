"""The figures of chapter 15: how the reward model of preset small learned, and whether its probabilities hold."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from tutorials.tools.figures import Drawing
from tutorials.tools.numbers import field

# ---- Learning --------------------------------------------------------------------------------------------------------


def learning() -> Drawing:
    """The loss in nats a pair over the steps of one pass: of training (means of 10 steps), and on held-out pairs."""
    curve = field("small-run:reward_model.curve")
    alt = (
        "Over the 445 steps of one pass, the training loss starts near the dotted line at ln 2 = 0.69 and falls, "
        "noisily, to about 0.55. The held-out loss goes from 0.72 to 0.56 and stays close to it."
    )
    labels = {"x": "step", "y": "L", "ln2": "ln 2"}
    return Drawing({**curve, "ln2": math.log(2)}, labels, alt, draw_learning, size=(5.6, 3.0))


def draw_learning(figure: Figure, arrays: dict[str, np.ndarray], labels: Mapping[str, str]) -> None:
    axes = figure.add_subplot()
    axes.plot(arrays["step"], arrays["loss"], linewidth=1.2)
    axes.plot(arrays["held_out_step"], arrays["held_out_loss"], marker="s", markersize=7, linestyle="--", color="black")
    axes.axhline(arrays["ln2"], color="0.5", linestyle=":")
    axes.text(arrays["step"][-1], arrays["ln2"] + 0.004, labels["ln2"], ha="right", color="0.3")
    axes.set_xlabel(labels["x"])
    axes.set_ylabel(labels["y"], rotation=0, labelpad=10)
    axes.grid(alpha=0.3)


# ---- Calibration -----------------------------------------------------------------------------------------------------


def calibration() -> Drawing:
    """What the reward model says about a pair, and how often the annotator agreed, with two standard errors."""
    bins = field("small-run:reward_model.calibration")
    chosen, pairs = np.array(bins["chosen"]), np.array(bins["pairs"])
    error = 2 * np.sqrt(chosen * (1 - chosen) / pairs)  # as if pairs were independent, which those of a prompt are not
    alt = (
        "Ten points with error bars, near the diagonal: where the reward model gives its favourite a probability of "
        "0.52, annotators chose it in 0.50 of the pairs, and where it says 0.96, in 0.96. Between 0.6 and 0.85 the "
        "points lie a little above the diagonal."
    )
    arrays = {"said": bins["said"], "chosen": bins["chosen"], "error": error}
    labels = {"x": "σ(r₁ − r₂)", "y": "P(1 ≻ 2)"}
    return Drawing(arrays, labels, alt, draw_calibration, size=(3.8, 3.6))


def draw_calibration(figure: Figure, arrays: dict[str, np.ndarray], labels: Mapping[str, str]) -> None:
    axes = figure.add_subplot()
    axes.plot([0.5, 1], [0.5, 1], color="0.5", linestyle=":")
    axes.errorbar(arrays["said"], arrays["chosen"], yerr=arrays["error"], marker="o", linestyle="none", capsize=2)
    axes.set_xlabel(labels["x"])
    axes.set_ylabel(labels["y"])
    axes.set_aspect("equal")
    axes.grid(alpha=0.3)


FIGURES = {"ch15_learning": learning, "ch15_calibration": calibration}
