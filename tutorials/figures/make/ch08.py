"""The figures of chapter 08: three temperatures and a limit, and what a token costs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from matplotlib.figure import Figure

from tutorials.tools.figures import Drawing
from tutorials.tools.numbers import field

LOGITS = (3.0, 2.4, 2.0, 1.2, 0.9, 0.5, 0.2, 0.0, -0.3, -0.6)
TEMPERATURES, TOP_P = (0.5, 1.0, 2.0), 0.9

# ---- Temperatures ----------------------------------------------------------------------------------------------------


def temperatures() -> Drawing:
    """One distribution over ten tokens at three temperatures, and how many of them top-p leaves."""
    rows = [(torch.tensor(LOGITS, dtype=torch.float64) / t).softmax(-1) for t in TEMPERATURES]
    kept = [int((row.cumsum(0) - row < TOP_P).sum()) for row in rows]
    alt = (
        "Bars of ten probabilities, falling, at three temperatures. At 0.5 the first is 0.67 and top-p 0.9 leaves 3 "
        "tokens; at 1 the first is 0.41 and 6 are left; at 2 the first is 0.24 and 8 are left."
    )
    labels = {"x": "token", "y": "probability"}
    arrays = {"temperatures": TEMPERATURES, "probabilities": torch.stack(rows), "kept": kept}
    return Drawing(arrays, labels, alt, draw_temperatures, size=(7.5, 2.6))


def draw_temperatures(figure: Figure, arrays: dict[str, np.ndarray], labels: Mapping[str, str]) -> None:
    for axes, temperature, row, kept in zip(
        figure.subplots(1, 3, sharey=True), arrays["temperatures"], arrays["probabilities"], arrays["kept"], strict=True
    ):
        axes.bar(range(len(row)), row, color=["#0072B2" if place < kept else "0.8" for place in range(len(row))])
        axes.set_title(f"T = {temperature:g}", fontsize=10)
        axes.set_xlabel(labels["x"])
        axes.set_xticks([])
    figure.axes[0].set_ylabel(labels["y"])


# ---- What a token costs ----------------------------------------------------------------------------------------------


def costs() -> Drawing:
    """Milliseconds of the processor for the next token of a text, by its length, with and without a cache."""
    measured = field("writing:costs")
    ratio = measured["whole"][-1] / measured["cached"][-1]
    alt = (
        "Over the tokens of the text, 16 to 512: without a cache the next token costs more and more, with one it costs "
        f"nearly the same at all lengths. At 512 tokens the two differ by a factor of {ratio:.0f}."
    )
    labels = {
        "x": "tokens of the text",
        "y": "ms for the next token",
        "whole": "without a cache",
        "cached": "with a cache",
    }
    return Drawing(measured, labels, alt, draw_costs, size=(5.2, 3.0))


def draw_costs(figure: Figure, arrays: dict[str, np.ndarray], labels: Mapping[str, str]) -> None:
    axes = figure.add_subplot()
    for name, marker in (("whole", "o"), ("cached", "s")):
        axes.plot(arrays["lengths"], arrays[name], marker=marker, label=labels[name])
    axes.set_ylim(bottom=0)
    axes.set_xlabel(labels["x"])
    axes.set_ylabel(labels["y"])
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)


FIGURES = {"ch08_temperatures": temperatures, "ch08_costs": costs}
