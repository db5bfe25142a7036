"""The figures of chapter 01: the loss of an answer by its place, of counts and of networks, and longer histories."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from minigpt.relatives.ngram import NGramModel
from tutorials.exercises.first_word import PLACES, WORDS, answers, texts
from tutorials.exercises.stories import OTHER, STORY
from tutorials.tools.figures import Drawing
from tutorials.tools.numbers import field

REACH = {"bigram": 2, "trigram": 3, "5-gram": 5}
MARKS = {"bigram": ("s", "-."), "trigram": ("^", "--"), "5-gram": ("o", "-")}
ORDERS = (1, 2, 3, 4, 5, 6)

# ---- The loss by position --------------------------------------------------------------------------------------------


def positions() -> Drawing:
    """The mean loss of the answer for each place of the question, for n-grams of two, three and five words."""
    learned, unseen = texts(2000, 2).flatten(), texts(400, 1)  # [N], [B,T+1]
    asked = answers(unseen)  # [B,T]
    arrays: dict[str, list[float]] = {"place": list(PLACES)}
    for name, order in REACH.items():
        logprobs = NGramModel(order, len(WORDS)).fit(learned)(unseen[:, :-1])  # [B,T,V]
        losses = -logprobs.gather(2, unseen[:, 1:, None]).squeeze(2)  # [B,T]
        arrays[name] = [float(losses[:, place][asked[:, place]].mean()) for place in PLACES]
    alt = (
        f"Mean loss in nats of the answer, for questions at place {PLACES.start} to {PLACES.stop - 1}. The bigram is "
        "near ln 6 everywhere. The trigram is near 0 at place 2 and near ln 6 after that. The 5-gram is near 0 at "
        "place 2, a little above at 3, at about 1 at 4, and beyond that mostly above ln 6."
    )
    labels = {"x": "t", "y": "nats", "guess": "ln 6"} | {name: name for name in REACH}
    return Drawing(arrays, labels, alt, draw_positions, size=(5.8, 3.2))


def draw_positions(figure: Figure, arrays: dict[str, np.ndarray], labels: Mapping[str, str]) -> None:
    axes = figure.add_subplot()
    for name, (marker, style) in MARKS.items():
        axes.plot(arrays["place"], arrays[name], style, marker=marker, markersize=4, label=labels[name])
    axes.axhline(math.log(6), color="black", linewidth=1, linestyle=":", label=labels["guess"])
    axes.set_xticks(arrays["place"])
    axes.set_ylim(0, None)
    axes.set_xlabel(labels["x"])
    axes.set_ylabel(labels["y"])
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))


# ---- Counts, a state, attention -------------------------------------------------------------------------------------

MODELS = {  # marker, style, colour of each line
    "trigram": ("^", "--", "0.45"),
    "GRU": ("s", "-.", "C1"),
    "GRU, attention": ("D", ":", "C2"),
    "GPT": ("o", "-", "C0"),
}


def networks() -> Drawing:
    """The mean loss of the answer for each place of the question: four models, two budgets, three seeds."""
    by_seed, budgets = field("first-word:by_seed"), field("first-word:budgets")
    arrays: dict[str, Any] = {"place": field("first-word:places"), "budgets": budgets}
    said = []
    for budget in budgets:
        for name in MODELS:
            arrays[f"{name} {budget}"] = by_seed[name][str(budget)]  # [S,P]
        ends = (f"{name} {np.mean(by_seed[name][str(budget)]):.2f}" for name in MODELS)
        said.append(f"after {budget} steps {', '.join(ends)}")
    alt = (
        f"Two panels: the loss of the answer for questions at place {PLACES.start} to {PLACES.stop - 1}, a line for "
        f"the mean of {len(by_seed['GPT'][str(budgets[0])])} seeds and a faint one for each. Means over all places: "
        f"{'; '.join(said)}."
    )
    labels = {"x": "place of the question", "y": "nats", "steps": "{} steps"} | {name: name for name in MODELS}
    return Drawing(arrays, labels, alt, draw_networks, size=(8.0, 3.2))


def draw_networks(figure: Figure, arrays: dict[str, np.ndarray], labels: Mapping[str, str]) -> None:
    panels = figure.subplots(1, len(arrays["budgets"]), sharey=True)
    for axes, budget in zip(panels, arrays["budgets"], strict=True):
        for name, (marker, style, colour) in MODELS.items():
            values = arrays[f"{name} {budget}"]  # [S,P]
            axes.plot(arrays["place"], values.T, style, color=colour, linewidth=0.7, alpha=0.4)
            mean = values.mean(axis=0)
            axes.plot(arrays["place"], mean, style, color=colour, marker=marker, markersize=4, label=labels[name])
        axes.axhline(math.log(6), color="black", linewidth=0.8, linestyle=(0, (1, 3)))
        axes.set_xticks(arrays["place"][::2])
        axes.set_ylim(-0.05, 2.15)
        axes.set_title(labels["steps"].format(budget), fontsize=10)
        axes.set_xlabel(labels["x"])
        axes.grid(alpha=0.3)
    panels[0].set_ylabel(labels["y"])
    panels[-1].legend(frameon=False, loc="center right")


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


FIGURES = {"ch01_positions": positions, "ch01_networks": networks, "ch01_orders": orders}
