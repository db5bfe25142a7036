"""The figures of chapter 01: the loss of four models by position, and perplexity over the length of the history."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from matplotlib.figure import Figure

from minigpt.relatives.ngram import NGramModel
from tutorials.exercises.stories import OTHER, STORY
from tutorials.tools.figures import Drawing
from tutorials.tools.numbers import field

LINES = {"trigram": ("s", "-."), "GRU": ("^", "--"), "GRU, attention": ("D", "-"), "GPT": ("o", "-")}
ORDERS = (1, 2, 3, 4, 5, 6)

# ---- The loss by position --------------------------------------------------------------------------------------------


def positions() -> Drawing:
    """The mean loss of the answer for each place of the question, for four models."""
    curves, places = field("first-word:curves"), field("first-word:places")
    said = [f"{name} from {curves[name][0]:.2f} to {curves[name][-1]:.2f}" for name in LINES]
    alt = (
        f"Mean loss in nats of the answer, for questions at place {places[0]} to {places[-1]}: {'; '.join(said)}. A "
        "dotted line marks a guess, ln 6."
    )
    labels = {"x": "t", "y": "nats", "guess": "ln 6"} | {name: name for name in LINES}
    return Drawing({"place": places, **curves}, labels, alt, draw_positions, size=(6.6, 3.6))


def draw_positions(figure: Figure, arrays: dict[str, np.ndarray], labels: Mapping[str, str]) -> None:
    axes = figure.add_subplot()
    for name, (marker, style) in LINES.items():
        axes.plot(arrays["place"], arrays[name], style, marker=marker, markersize=4, label=labels[name])
    axes.axhline(math.log(6), color="black", linewidth=1, linestyle=":", label=labels["guess"])
    axes.set_xticks(arrays["place"])
    axes.set_ylim(0, None)
    axes.set_xlabel(labels["x"])
    axes.set_ylabel(labels["y"])
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))


# ---- Longer histories ------------------------------------------------------------------------------------------------


def orders() -> Drawing:
    """The perplexity of a byte for n-gram models of one to six bytes, on the story they counted and on another."""
    learned = torch.tensor(list(STORY.encode("utf-8")))
    texts = {"learned": learned, "other": torch.tensor(list(OTHER.encode("utf-8")))}
    arrays: dict[str, list[float]] = {"order": list(ORDERS), "learned": [], "other": []}
    for order in ORDERS:
        model = NGramModel(order, 256).fit(learned)
        for name, ids in texts.items():
            logprobs = model(ids[None, :-1])[0].gather(1, ids[1:, None])  # [N,1]
            arrays[name].append(math.exp(-float(logprobs.mean())))
    alt = (
        f"Perplexity a byte over the number of bytes counted together, from 1 to 6. On the learned story it falls from "
        f"{arrays['learned'][0]:.0f} to {arrays['learned'][-1]:.1f}, on another story from {arrays['other'][0]:.0f} to "
        f"{min(arrays['other']):.1f} at 4, and then no further."
    )
    labels = {"x": "n", "y": "perplexity", "learned": "the learned story", "other": "another story"}
    return Drawing(arrays, labels, alt, draw_orders, size=(5.2, 3.0))


def draw_orders(figure: Figure, arrays: dict[str, np.ndarray], labels: Mapping[str, str]) -> None:
    axes = figure.add_subplot()
    for name, style, marker in (("other", "-", "o"), ("learned", "--", "s")):
        axes.plot(arrays["order"], arrays[name], style, marker=marker, label=labels[name])
    axes.set_ylim(0, None)
    axes.set_xlabel(labels["x"])
    axes.set_ylabel(labels["y"])
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)


FIGURES = {"ch01_positions": positions, "ch01_orders": orders}
