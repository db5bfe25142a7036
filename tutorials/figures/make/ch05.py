"""The figures of chapter 05: where numbers lie in memory, and where heads look beside what their silence costs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from tutorials.exercises.gifts import CLUES, PLACES, learn, looks, right
from tutorials.tools.figures import Drawing

T, H, D = 3, 2, 2
SHADES = ("0.95", "0.8", "0.6")  # of the tokens

# ---- Views and transposes --------------------------------------------------------------------------------------------


def views() -> Drawing:
    """Twelve numbers, three tokens of four channels, and what two heads get of them: rightly, and by a view alone."""
    x = torch.arange(T * H * D).view(T, H * D)  # [T,C]: number n lies in place n of the memory
    alt = (
        "Left, a table of three tokens by four channels, the numbers 0 to 11 row by row, each token in its own shade. "
        "Middle, two heads, each with two of every token: 0 1, 4 5, 8 9 and 2 3, 6 7, 10 11. Right, the same cut "
        "by a view alone: head 0 has 0 1, 2 3, 4 5, so two rows of the first token and one of the second."
    )
    arrays = {
        "x": x,
        "right": x.view(T, H, D).transpose(0, 1),  # [H,T,D]
        "wrong": x.view(H, T, D),
    }
    labels = {
        "x": "x [T,C]",
        "right": "x.view(T, H, D).transpose(0, 1)",
        "wrong": "x.view(H, T, D)",
        "head": "head {}",
    }
    return Drawing(arrays, labels, alt, draw_views, size=(7.6, 2.3))


def draw_views(figure: Figure, arrays: dict[str, np.ndarray], labels: Mapping[str, str]) -> None:
    axes = figure.subplots(1, 3)
    draw_cells(axes[0], arrays["x"], 0.0, 0.0)
    for place, name in zip(axes[1:], ("right", "wrong"), strict=True):
        for head in range(H):
            draw_cells(place, arrays[name][head], 2.4 * head, 0.0)
            place.text(2.4 * head + 1, 3.2, labels["head"].format(head), ha="center", va="top", fontsize=9)
    for place, name in zip(axes, ("x", "right", "wrong"), strict=True):
        place.set_title(labels[name], fontsize=9, family="monospace")
        place.set_xlim(-0.4, 5.0)
        place.set_ylim(3.6, -0.2)
        place.set_aspect("equal")
        place.axis("off")


def draw_cells(axes: Axes, table: np.ndarray, left: float, top: float) -> None:
    """A table of numbers, each cell in the shade of the token that the number belongs to."""
    for (row, column), number in np.ndenumerate(table):
        corner = (left + column, top + row)
        shade = SHADES[int(number) // (H * D)]
        axes.add_patch(Rectangle(corner, 1, 1, facecolor=shade, edgecolor="black", linewidth=0.8))
        axes.text(corner[0] + 0.5, corner[1] + 0.5, str(int(number)), ha="center", va="center", fontsize=10)


# ---- Looking and mattering -------------------------------------------------------------------------------------------


def silent() -> Drawing:
    """The weights of four heads on the four nouns, and the right answers that are lost when a head is silent, [H,4]."""
    reader = learn(heads=4)
    whole = right(reader)  # [4]
    lost = torch.stack([whole - right(reader, [head]) for head in range(4)])  # [H,4]
    alt = (
        "Two tables of four heads by four clues. Left, the weights: head 0 has 0.93 on the receiver; heads 1, 2 and 3 "
        "have 0.35 to 0.40 on the giver and the rest on the gift, the last noun, or both. Right, the share of answers "
        "lost without a head: 0.90 of the receivers without head 0; of the givers 0.27, 0.26 and 0.43 without head 1, "
        "2 or 3; 0.77 of the gifts without head 1, 0.68 of the last nouns without head 2."
    )
    arrays = {"weights": looks(reader)[:, PLACES], "lost": lost, "clue": list(CLUES)}
    labels = {"weights": "weight", "lost": "lost without it", "head": "head"}
    return Drawing(arrays, labels, alt, draw_silent, size=(7.0, 2.8), tolerance=0.05)


def draw_silent(figure: Figure, arrays: dict[str, np.ndarray], labels: Mapping[str, str]) -> None:
    for axes, name in zip(figure.subplots(1, 2), ("weights", "lost"), strict=True):
        table = arrays[name]
        axes.imshow(table, cmap="Greys", vmin=0, vmax=1, aspect="auto")
        for (head, clue), share in np.ndenumerate(table):
            shown = f"{max(share, 0):.2f}"
            axes.text(clue, head, shown, ha="center", va="center", color="white" if share > 0.5 else "black")
        axes.set_xticks(range(table.shape[1]), arrays["clue"])
        axes.set_yticks(range(table.shape[0]))
        axes.set_ylabel(labels["head"])
        axes.set_title(labels[name], fontsize=10)
        axes.set_xticks(np.arange(-0.5, table.shape[1]), minor=True)
        axes.set_yticks(np.arange(-0.5, table.shape[0]), minor=True)
        axes.grid(which="minor", color="0.8", linewidth=0.6)
        axes.tick_params(which="both", length=0)
        axes.spines[:].set_visible(False)


FIGURES = {"ch05_views": views, "ch05_silent": silent}
