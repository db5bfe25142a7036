"""The figures of chapter 09: three masks, an alignment, an encoder-decoder beside GPTs, and one side or both."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from minigpt.relatives.encoder_decoder import EncoderDecoder
from tutorials.exercises.translation import SHAPE, START, alignment, fit, translate
from tutorials.tools.figures import Drawing
from tutorials.tools.numbers import field

SHORT = ["the", "old", "cow", "finds", "the", "fox", "."]
ENGLISH = ["the", "small", "cow", "chases", "the", "owl", "near", "the", "old", "goat", "."]

# ---- Three masks -----------------------------------------------------------------------------------------------------


def masks() -> Drawing:
    """Which tokens each of the three attentions may see, with one source token of padding."""
    sentence = translate(SHORT)
    source, target = [*SHORT, "–"], [START, *sentence.backwards]
    real = torch.arange(len(source)) < len(SHORT)  # [S]
    arrays = {
        "source": source,
        "target": target,
        "encoder": real.expand(len(source), -1).long(),
        "decoder": torch.ones(len(target), len(target)).tril().long(),
        "cross": real.expand(len(target), -1).long(),
    }
    alt = (
        "Three tables of what may be seen. Encoder: every source token sees every source token, but nobody the padding "
        "in the last column. Decoder: a triangle, each target token sees itself and those before it. Cross-attention: "
        "a table with a row for each target token and a column for each source token, all open but the padding."
    )
    labels = {"encoder": "encoder", "decoder": "decoder, of itself", "cross": "decoder, of the source"}
    return Drawing(arrays, labels, alt, draw_masks, size=(9.0, 3.4))


def draw_masks(figure: Figure, arrays: dict[str, np.ndarray], labels: Mapping[str, str]) -> None:
    sides = {"encoder": ("source", "source"), "decoder": ("target", "target"), "cross": ("target", "source")}
    for axes, (name, (queries, keys)) in zip(figure.subplots(1, 3), sides.items(), strict=True):
        for (row, column), seen in np.ndenumerate(arrays[name]):
            color = "#56B4E9" if seen else "white"
            axes.add_patch(Rectangle((column, row), 1, 1, facecolor=color, edgecolor="0.7", linewidth=0.6))
        rows, columns = arrays[name].shape
        axes.set(xlim=(0, columns), ylim=(rows, 0), aspect="equal")
        axes.set_title(labels[name], fontsize=10)
        words(axes, arrays[queries], arrays[keys])


def words(axes: Axes, rows: np.ndarray, columns: np.ndarray) -> None:
    """A word at each row and each column of a table of unit squares."""
    axes.set_yticks(np.arange(len(rows)) + 0.5, rows, fontsize=8)
    axes.set_xticks(np.arange(len(columns)) + 0.5, columns, rotation=90, fontsize=8)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


# ---- An alignment ----------------------------------------------------------------------------------------------------


def aligned() -> Drawing:
    """Where the translator looks in the English sentence while it writes each word."""
    model = EncoderDecoder(SHAPE, seed=1)
    fit(model, seed=1)
    sentence = translate(ENGLISH)
    weights = alignment(model, [sentence])[0, : len(sentence.backwards)]  # [T,S]
    arrays = {
        "weights": weights,
        "places": list(sentence.places),
        "english": ENGLISH,
        "backwards": list(sentence.backwards),
    }
    alt = (
        "A table with a row for each word of the translation and a column for each English word; dark where the "
        "translator looks, framed where the word stands that is translated. Nouns and adjectives are darkest in their "
        "frames. In the rows of el and la the frames, at the, are nearly white: el looks at cow and at owl, la at near "
        "and old. The rows of raen, sesahc and the full stop are spread over several words."
    )
    return Drawing(arrays, {}, alt, draw_aligned, size=(5.6, 4.6), tolerance=0.1)


def draw_aligned(figure: Figure, arrays: dict[str, np.ndarray], labels: Mapping[str, str]) -> None:
    axes, weights = figure.add_subplot(), arrays["weights"]
    for (row, column), weight in np.ndenumerate(weights):
        axes.add_patch(Rectangle((column, row), 1, 1, facecolor=str(1 - min(1, weight)), edgecolor="0.9"))
        if weight >= 0.2:
            color = "white" if weight > 0.5 else "black"
            axes.text(column + 0.5, row + 0.5, f"{weight:.1f}", ha="center", va="center", fontsize=7, color=color)
    for row, place in enumerate(arrays["places"]):
        axes.add_patch(
            Rectangle((place + 0.04, row + 0.04), 0.92, 0.92, fill=False, edgecolor="#D55E00", linewidth=1.6)
        )
    axes.set(xlim=(0, weights.shape[1]), ylim=(weights.shape[0], 0), aspect="equal")
    words(axes, arrays["backwards"], arrays["english"])


# ---- With an encoder and without -------------------------------------------------------------------------------------


def curves() -> Drawing:
    """The share of right translations over the steps, for three models with about as many parameters."""
    shares, steps = field("translation:shares"), field("translation:steps")
    alt = (
        "Over the steps of training, the share of right translations: the encoder-decoder is above nine of ten after "
        "100 steps. Two GPTs stay near 0 until step 400 and climb together until 700, the one with an open source to "
        "0.97, the other one to 0.83."
    )
    arrays = {"steps": steps, **{f"share_{number}": share for number, share in enumerate(shares.values())}}
    labels = {f"share_{number}": name for number, name in enumerate(shares)}
    labels |= {"x": "steps", "y": "right translations"}
    return Drawing(arrays, labels, alt, draw_curves, size=(6.0, 3.2))


def draw_curves(figure: Figure, arrays: dict[str, np.ndarray], labels: Mapping[str, str]) -> None:
    axes = figure.add_subplot()
    for number, (marker, line) in enumerate((("o", "-"), ("s", "--"), ("^", ":"))):
        name = f"share_{number}"
        axes.plot(arrays["steps"], arrays[name], line, marker=marker, markersize=4, label=labels[name])
    axes.set(xlabel=labels["x"], ylabel=labels["y"], ylim=(-0.02, 1.05))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)


# ---- One side or both ------------------------------------------------------------------------------------------------


def sides() -> Drawing:
    """What each kind of word costs, from the left alone and from both sides."""
    costs = field("translation:sides")["steps_600"]
    kinds = list(costs["GPT"])
    alt = (
        "Pairs of bars, nats a word, for a GPT and for BERT. The article costs 1.1 from the left and nearly 0 from "
        "both sides; the noun 1.8 by either; the adjective, near, and the verb cost less from both sides."
    )
    arrays = {"kind": kinds, **{name: [found[kind] for kind in kinds] for name, found in costs.items()}}
    labels = {"GPT": "GPT, from the left", "BERT": "BERT, from both sides", "y": "nats a word"}
    return Drawing(arrays, labels, alt, draw_sides, size=(6.0, 3.0))


def draw_sides(figure: Figure, arrays: dict[str, np.ndarray], labels: Mapping[str, str]) -> None:
    axes, places = figure.add_subplot(), np.arange(len(arrays["kind"]))
    for number, (name, hatch) in enumerate((("GPT", ""), ("BERT", "//"))):
        axes.bar(places + 0.38 * number - 0.19, arrays[name], 0.36, label=labels[name], hatch=hatch, edgecolor="white")
    axes.set_xticks(places, arrays["kind"])
    axes.set_ylabel(labels["y"])
    axes.legend(frameon=False)


FIGURES = {"ch09_masks": masks, "ch09_aligned": aligned, "ch09_curves": curves, "ch09_sides": sides}
