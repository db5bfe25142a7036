"""The figures of chapter 03: the neighbours of a word, the waves of places, and the loss past the trained length."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from minigpt.positions import sinusoidal_table
from tutorials.exercises.farm import learn_words, neighbours
from tutorials.tools.figures import Drawing
from tutorials.tools.numbers import field

PLACES, CHANNELS, STARTS = 64, 32, (0, 16, 32)

# ---- The neighbours of a word ----------------------------------------------------------------------------------------


def cow() -> Drawing:
    """The cosine of each noun's vector with that of cow, before training and after it."""
    before, after = learn_words()
    order = neighbours(after, "cow")
    untrained = dict(neighbours(before, "cow"))
    alt = (
        "A row for each noun, with its cosine to cow before and after training. Before, all lie between −0.2 and 0.4, "
        "in no order. After: goat and sheep near 1, horse 0.9, the other animals and the fruit about 0.8, and car, bus "
        "and train last, at 0.6 to 0.7."
    )
    arrays = {
        "noun": [noun for noun, _ in order],
        "before": [untrained[noun] for noun, _ in order],
        "after": [cosine for _, cosine in order],
    }
    labels = {"x": "cosine with cow", "before": "before", "after": "after"}
    return Drawing(arrays, labels, alt, draw_cow, size=(5.6, 3.6), tolerance=0.05)


def draw_cow(figure: Figure, arrays: dict[str, np.ndarray], labels: Mapping[str, str]) -> None:
    axes, rows = figure.add_subplot(), np.arange(len(arrays["noun"]))
    axes.plot(arrays["before"], rows, "o", markerfacecolor="white", label=labels["before"])
    axes.plot(arrays["after"], rows, "o", color="#0072B2", label=labels["after"])
    axes.hlines(rows, arrays["before"], arrays["after"], color="0.8", linewidth=0.8, zorder=0)
    axes.set_yticks(rows, arrays["noun"])
    axes.invert_yaxis()
    axes.set_xlim(-0.5, 1.05)
    axes.set_xlabel(labels["x"])
    axes.legend(frameon=False, loc="lower left")


# ---- Waves -----------------------------------------------------------------------------------------------------------


def waves() -> Drawing:
    """The sinusoidal table as a picture, and the product of the vectors of two places over their distance."""
    table = sinusoidal_table(PLACES, CHANNELS)  # [T,C]
    products = table @ table.T  # [T,T]
    reach = PLACES - max(STARTS)
    alt = (
        "Left, a table of 64 places by 32 channels: the channels on the left change from place to place, those on the "
        "right hardly at all. Right, the product of the vectors of two places over their distance: 16 at distance 0, "
        "falling in waves to 6 at distance 28, the same line for the places 0, 16 and 32."
    )
    arrays = {
        "table": table,
        "distance": list(range(reach)),
        **{f"from_{start}": products[start, start : start + reach] for start in STARTS},
    }
    labels = {"x": "channel", "y": "place", "distance": "distance", "product": "product", "from": "from place {}"}
    return Drawing(arrays, labels, alt, draw_waves, size=(7.6, 3.2))


def draw_waves(figure: Figure, arrays: dict[str, np.ndarray], labels: Mapping[str, str]) -> None:
    left, right = figure.subplots(1, 2, width_ratios=(1.2, 1))
    left.imshow(arrays["table"], cmap="Greys", vmin=-1, vmax=1, aspect="auto", interpolation="nearest")
    left.set_xlabel(labels["x"])
    left.set_ylabel(labels["y"])
    left.spines[:].set_visible(False)
    for start, style, width in zip(STARTS, ("-", "--", ":"), (3.5, 2.5, 1.5), strict=True):
        right.plot(
            arrays["distance"], arrays[f"from_{start}"], style, linewidth=width, label=labels["from"].format(start)
        )
    right.set_xlabel(labels["distance"])
    right.set_ylabel(labels["product"])
    right.set_ylim(0, None)
    right.grid(alpha=0.3)
    right.legend(frameon=False, loc="lower left")


# ---- Past the trained length -----------------------------------------------------------------------------------------


def longer() -> Drawing:
    """The loss of each kind of positions over the place in the row; trained on rows of 64 tokens."""
    losses, size = field("positions-tiny:losses"), field("positions-tiny:bin")
    seen, trained = 64 // size, field("positions-tiny:trained")
    before = [loss for bins in losses.values() for loss in bins[:seen]]
    past = {name: max(losses[name][seen:]) for name in ("sinusoidal", "none", "rotary")}
    alt = (
        "The loss over the place in a row, for four kinds of positions, with a line at 64, where the trained rows "
        f"ended. Before it all lie between {min(before):.1f} and {max(before):.1f}, "
        f"{min(trained, key=trained.get)} lowest; learned ends there. Past it sinusoidal climbs to "
        f"{past['sinusoidal']:.1f}; without positions the loss stays below {past['none'] + 0.05:.1f}, rotary below "
        f"{past['rotary'] + 0.05:.1f}."
    )
    arrays = {"place": [size * (i + 0.5) for i in range(len(losses["rotary"]))], **losses}
    labels = {"x": "place", "y": "nats/token"} | {name: name for name in losses}
    return Drawing(arrays, labels, alt, draw_longer, size=(6.0, 3.4))


def draw_longer(figure: Figure, arrays: dict[str, np.ndarray], labels: Mapping[str, str]) -> None:
    axes = figure.add_subplot()
    for name, style in (("sinusoidal", "-."), ("rotary", "-"), ("none", ":"), ("learned", "--")):
        places = arrays["place"][: len(arrays[name])]
        axes.plot(places, arrays[name], style, marker="o", markersize=4, label=labels[name], linewidth=1.8)
    axes.axvline(64, color="0.4", linewidth=0.8)
    axes.set_xlabel(labels["x"])
    axes.set_ylabel(labels["y"])
    axes.set_ylim(0, None)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="upper left")


FIGURES = {"ch03_cow": cow, "ch03_waves": waves, "ch03_longer": longer}
