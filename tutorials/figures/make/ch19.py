"""The figures of chapter 19: win rates with their intervals, and what each family gained."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from rlhf.evaluation.results import STAGES
from tutorials.tools.figures import Drawing
from tutorials.tools.numbers import field

# ---- Win rates -------------------------------------------------------------------------------------------------------


def wins() -> Drawing:
    """A point and an interval for each pair of stages, and for SFT against itself."""
    rates = field("who-wins:wins")
    rows = {f"{STAGES[a]} against {STAGES[b]}": rates[f"{a}_{b}"] for a, b in pairs(rates)}
    for number, rate in enumerate(field("who-wins:same_policy.rates"), start=2):
        rows[f"SFT against SFT, answer {number}"] = rate
    arrays = {key: [row[key] for row in rows.values()] for key in ("rate", "low", "high")}
    said = "; ".join(f"{name} {row['rate']:.2f}, {row['low']:.2f} to {row['high']:.2f}" for name, row in rows.items())
    alt = f"Win rates as points with their intervals as bars, beside a line at one half. {said}."
    labels = {"x": "rate", **{f"row_{n}": name for n, name in enumerate(rows)}}
    return Drawing(arrays, labels, alt, draw_wins, size=(7.0, 3.6))


def pairs(rates: Mapping[str, object]) -> list[tuple[str, str]]:
    """The two stages of each name, as in "ppo_best_of_8"."""
    return [(a, b) for name in rates for a in STAGES for b in STAGES if name == f"{a}_{b}"]


def draw_wins(figure: Figure, arrays: dict[str, np.ndarray], labels: Mapping[str, str]) -> None:
    axes, places = figure.add_subplot(), np.arange(len(arrays["rate"]))[::-1]
    axes.hlines(places, arrays["low"], arrays["high"], linewidth=3, alpha=0.5)
    axes.plot(arrays["rate"], places, "o")
    axes.axvline(0.5, color="0.4", linestyle=":")
    axes.set_yticks(places, [labels[f"row_{n}"] for n in range(len(places))])
    axes.set_xlim(0, 1)
    axes.set_xlabel(labels["x"])
    axes.grid(alpha=0.3, axis="x")


# ---- Families --------------------------------------------------------------------------------------------------------


def families() -> Drawing:
    """The mean gold total of three stages in each family."""
    found = field("who-wins:families")
    arrays = {stage: [row[stage] for row in found.values()] for stage in ("base", "sft", "ppo")}
    said = "; ".join(f"{name} {row['base']:.2f}, {row['sft']:.2f}, {row['ppo']:.2f}" for name, row in found.items())
    alt = f"A row of three points for each family: the mean gold total of base, SFT and PPO. {said}."
    labels = {"x": "gold", **{stage: STAGES[stage] for stage in arrays}, **{f"row_{n}": f for n, f in enumerate(found)}}
    return Drawing(arrays, labels, alt, draw_families, size=(7.0, 3.6))


def draw_families(figure: Figure, arrays: dict[str, np.ndarray], labels: Mapping[str, str]) -> None:
    axes, places = figure.add_subplot(), np.arange(len(arrays["base"]))[::-1]
    ends = np.stack([arrays[stage] for stage in ("base", "sft", "ppo")])
    axes.hlines(places, ends.min(axis=0), ends.max(axis=0), color="0.8", zorder=0)
    for stage, mark in (("base", "s"), ("sft", "^"), ("ppo", "o")):
        axes.plot(arrays[stage], places, mark, label=labels[stage], clip_on=False)  # a mean may be 1
    axes.set_yticks(places, [labels[f"row_{n}"] for n in range(len(places))])
    axes.set_xlim(0, 1)
    axes.set_xlabel(labels["x"])
    axes.grid(alpha=0.3, axis="x")
    axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)


FIGURES = {"ch19_wins": wins, "ch19_families": families}
