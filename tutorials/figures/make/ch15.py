"""The figures of chapter 15: how many judges, how the reward model of preset small learned, what it can see."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from statistics import fmean

import numpy as np
from matplotlib.figure import Figure

from rlhf.people.annotators import make_annotators
from tutorials.numbers.make.judge import NAMES
from tutorials.tools.figures import Drawing
from tutorials.tools.numbers import field

# ---- Learning --------------------------------------------------------------------------------------------------------


def learning() -> Drawing:
    """The loss in nats a pair over the steps of one pass: of training (means of 10 steps), and on held-out pairs."""
    curve = field("judge-small:curve")
    loss, held_out = curve["loss"], curve["held_out_loss"]
    alt = (
        f"Over {curve['held_out_step'][-1]} steps the training loss goes from {loss[0]:.2f} to {loss[-1]:.2f}, and the "
        f"held-out loss from {held_out[0]:.2f} to {held_out[-1]:.2f}. A dotted line at ln 2."
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


# ---- How many judges -------------------------------------------------------------------------------------------------

JUDGES, TRIES, WORTH, NOISE = (1, 2, 4, 8, 16), 1000, (1.0, 0.6, 0.5, 0.3, 0.0), 0.2
ASKED = {"dealt": "marks, dealt", "marks": "marks", "ranks": "ranks"}


def share_in_order(worth: Sequence[float]) -> float:
    """The share of WORTH's pairs that `worth` has in the right order; equal is half right."""
    pairs = [(w, l) for w in range(len(WORTH)) for l in range(len(WORTH)) if WORTH[w] > WORTH[l]]
    return sum((worth[w] > worth[l]) + 0.5 * (worth[w] == worth[l]) for w, l in pairs) / len(pairs)


def judges() -> Drawing:
    """Pairs in the right order over the number of people whose marks or ranks are averaged."""
    people, rng = make_annotators(200, NOISE, seed=0), random.Random(0)
    shares: dict[str, list[float]] = {way: [] for way in ASKED}
    for n in JUDGES:
        found = dict.fromkeys(ASKED, 0.0)
        for _ in range(TRIES):
            same = rng.sample(people, n)
            dealt = [fmean(p.score([gold], rng)[0] for p in rng.sample(people, n)) for gold in WORTH]
            marks = [fmean(column) for column in zip(*(p.score(WORTH, rng) for p in same), strict=True)]
            ranks = [-fmean(column) for column in zip(*(p.rank(WORTH, rng) for p in same), strict=True)]
            for way, worth in (("dealt", dealt), ("marks", marks), ("ranks", ranks)):
                found[way] += share_in_order(worth) / TRIES
        for way in ASKED:
            shares[way].append(found[way])
    first, last = ([shares[way][at] for way in ASKED] for at in (0, -1))
    alt = (
        "Pairs in the right order over the number of people. With one: dealt marks {:.2f}, marks {:.2f}, ranks {:.2f}. "
        "With 16: {:.2f}, {:.2f}, {:.2f}."
    ).format(*first, *last)
    labels = {"x": "people", "y": "in order", **ASKED}
    return Drawing({"people": list(JUDGES), **shares}, labels, alt, draw_judges, size=(5.0, 3.0))


def draw_judges(figure: Figure, arrays: dict[str, np.ndarray], labels: Mapping[str, str]) -> None:
    axes = figure.add_subplot()
    for way, style in (("ranks", "o-"), ("marks", "s--"), ("dealt", "^:")):
        axes.plot(arrays["people"], arrays[way], style, label=labels[way])
    axes.set_xscale("log", base=2)
    axes.set_xticks(arrays["people"], [str(n) for n in arrays["people"]])
    axes.set_xlabel(labels["x"])
    axes.set_ylabel(labels["y"])
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)


# ---- What it sees ----------------------------------------------------------------------------------------------------


def sees() -> Drawing:
    """The share of pairs in order, for each kind of pair; half of the pairs is chance."""
    share = field("judge-small:sees.share")
    kinds = [kind for kind in NAMES if kind in share]
    alt = (
        f"A bar for each line of the table, from {max(share.values()):.2f} to {min(share.values()):.2f}, and a "
        "dotted line at chance."
    )
    arrays = {"share": [share[kind] for kind in kinds]}
    labels = {"x": "in order", **{f"kind{number}": NAMES[kind] for number, kind in enumerate(kinds)}}
    return Drawing(arrays, labels, alt, draw_sees, size=(7.6, 3.0))


def draw_sees(figure: Figure, arrays: dict[str, np.ndarray], labels: Mapping[str, str]) -> None:
    axes = figure.add_subplot()
    places = np.arange(len(arrays["share"]))[::-1]
    axes.barh(places, arrays["share"], 0.65)
    axes.axvline(0.5, color="black", linestyle=":")
    axes.set_yticks(places, [labels[f"kind{number}"] for number in range(len(places))], fontsize=9)
    axes.set_xlim(0, 1)
    axes.set_xlabel(labels["x"])


FIGURES = {
    "ch15_judges": judges,
    "ch15_learning": learning,
    "ch15_sees": sees,
}
