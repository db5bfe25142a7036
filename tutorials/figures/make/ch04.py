"""The figures of chapter 04: where heads look, which of them matter, and how a softmax saturates."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from matplotlib.figure import Figure

from tutorials.tools.figures import Drawing
from tutorials.tools.numbers import field

SHADES = "Greys"  # darker is more: the same on paper, on a screen and for every eye
KEYS = 16  # of each softmax in the saturation figure
ROWS = 2000
SPREADS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)

# ---- Who is "it"? Where five heads of the small model look -----------------------------------------------------------


def who_is_it() -> Drawing:
    """The weights [5,S] of the last token, by head, for a sentence in which "it" is the eater and one in which not."""
    looks = field("small-run:looks")
    heads = [f"{layer}.{head}" for layer, head in looks["heads"]]
    arrays = {"heads": heads}
    for name in ("hungry", "ripe"):
        arrays |= {f"{name}_tokens": looks[name]["tokens"], f"{name}_weights": looks[name]["weights"]}
    alt = (
        "Two tables of weights, one a sentence; a row is a head, a column a token, darker is more weight. Head 0.1: "
        "on ripe below, less clearly on monkey above. Heads 0.2 and 0.3: on hungry above, less clearly on ate below. "
        "Heads 2.1 and 3.0: on monkey above, on banana below."
    )
    return Drawing(arrays, {}, alt, draw_who_is_it, size=(8.6, 4.8))


def draw_who_is_it(figure: Figure, arrays: dict[str, np.ndarray], labels: Mapping[str, str]) -> None:
    for number, name in enumerate(("hungry", "ripe"), start=1):
        weights, axes = arrays[f"{name}_weights"], figure.add_subplot(2, 1, number)
        axes.imshow(weights, cmap=SHADES, vmin=0, vmax=1, aspect="auto")
        slanted = {"rotation": 55, "ha": "right", "rotation_mode": "anchor"}
        axes.set_xticks(range(weights.shape[1]), arrays[f"{name}_tokens"], **slanted)
        axes.set_yticks(range(weights.shape[0]), arrays["heads"])
        axes.set_xticks(np.arange(-0.5, weights.shape[1]), minor=True)
        axes.set_yticks(np.arange(-0.5, weights.shape[0]), minor=True)
        axes.grid(which="minor", color="0.8", linewidth=0.6)
        axes.tick_params(which="both", length=0)
        axes.spines[:].set_visible(False)
        for (row, column), weight in np.ndenumerate(weights):
            if weight >= 0.1:
                color = "white" if weight > 0.5 else "black"
                axes.text(column, row, f"{weight:.2f}", ha="center", va="center", color=color, fontsize=8)


# ---- Which heads matter ----------------------------------------------------------------------------------------------


def silenced() -> Drawing:
    """The probability of the right noun [L,H] when that one head gives nothing."""
    without = field("small-run:heads.without")
    alt = (
        "A table of 4 layers by 4 heads: the probability of the right noun when that head is silent, darker is "
        "less. 0.95 to 0.98 everywhere, but 0.68 without head 3.0."
    )
    return Drawing({"probability": without}, {"x": "H", "y": "L"}, alt, draw_silenced, size=(4.0, 3.0))


def draw_silenced(figure: Figure, arrays: dict[str, np.ndarray], labels: Mapping[str, str]) -> None:
    table, axes = arrays["probability"], figure.add_subplot()
    axes.imshow(1 - table, cmap=SHADES, vmin=0, vmax=1, aspect="auto")  # darker is more lost
    for (layer, head), left in np.ndenumerate(table):
        axes.text(head, layer, f"{left:.2f}", ha="center", va="center", color="white" if left < 0.5 else "black")
    axes.set_xticks(range(table.shape[1]))
    axes.set_yticks(range(table.shape[0]))
    axes.set_xlabel(labels["x"])
    axes.set_ylabel(labels["y"], rotation=0, labelpad=10)
    axes.set_xticks(np.arange(-0.5, table.shape[1]), minor=True)
    axes.set_yticks(np.arange(-0.5, table.shape[0]), minor=True)
    axes.grid(which="minor", color="0.8", linewidth=0.6)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)


# ---- Saturation ------------------------------------------------------------------------------------------------------


def saturation() -> Drawing:
    """Softmax rows of random scores of growing spread: the largest weight, and the size of the derivatives."""
    scores = torch.randn(ROWS, KEYS, generator=torch.Generator().manual_seed(0), dtype=torch.float64)  # [N,S]
    largest, size = [], []
    for spread in SPREADS:
        a = (spread * scores).softmax(dim=-1)  # [N,S]
        derivatives = torch.diag_embed(a) - a[:, :, None] * a[:, None, :]  # [N,S,S]
        largest.append(float(a.max(dim=-1).values.mean()))
        size.append(float(torch.linalg.matrix_norm(derivatives).mean()))
    alt = (
        "Over the spread of the scores, from 0.25 to 32: the largest of 16 weights rises from 0.1 towards 1. The size "
        "of the derivatives rises to a peak near a spread of 2 and then falls towards 0."
    )
    arrays = {"spread": SPREADS, "largest": largest, "derivatives": size}
    labels = {"x": "std(s)", "largest": "max a", "derivatives": "‖∂a/∂s‖"}
    return Drawing(arrays, labels, alt, draw_saturation, size=(5.2, 3.0))


def draw_saturation(figure: Figure, arrays: dict[str, np.ndarray], labels: Mapping[str, str]) -> None:
    axes = figure.add_subplot()
    axes.plot(arrays["spread"], arrays["largest"], marker="o", label=labels["largest"])
    axes.plot(arrays["spread"], arrays["derivatives"], marker="s", linestyle="--", label=labels["derivatives"])
    axes.set_xscale("log", base=2)
    axes.set_xticks(arrays["spread"], [f"{spread:g}" for spread in arrays["spread"]])
    axes.set_ylim(0, 1.05)
    axes.set_xlabel(labels["x"])
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)


FIGURES = {"ch04_who_is_it": who_is_it, "ch04_silenced": silenced, "ch04_saturation": saturation}
