"""The drawings of results.json: growth.svg, and ppo-shares.svg."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from minigpt.runs.files import write_text

SHARES = ("generate", "score", "train", "other")


def draw_all(sections: dict[str, Any], folder: Path) -> None:
    """Draws everything that there are figures for."""
    if "growth" in sections:
        save(draw_growth(sections["growth"]["data"]), folder / "growth.svg")
    if "ppo" in sections:
        save(draw_shares(sections["ppo"]["data"]), folder / "ppo-shares.svg")


def draw_growth(curves: dict[str, list[dict[str, float]]]) -> Figure:
    """A column for each thing that grows: tokens/s above, memory below."""
    figure = Figure(figsize=(3.2 * len(curves), 5.2), layout="constrained")
    axes = figure.subplots(2, len(curves), squeeze=False)
    for column, (name, points) in enumerate(curves.items()):
        x = [point["x"] for point in points]
        for row, (key, label) in enumerate([("tokens_per_second", "tokens/s"), ("megabytes", "MB")]):
            axis = axes[row][column]
            y = [point[key] for point in points]
            axis.plot(x, y, marker="o", markersize=3)
            axis.set_xscale("log", base=2)
            axis.set_xticks(x, [f"{value / 1e6:.1f} M" if value >= 1e5 else f"{value:g}" for value in x])
            axis.minorticks_off()
            axis.set_ylim(0, 1.1 * max(y))
            axis.set_xlabel(name, fontsize=9)
            axis.set_ylabel(label, fontsize=9)
            axis.tick_params(labelsize=8)
            axis.grid(alpha=0.3)
    return figure


def draw_shares(data: dict[str, dict[str, float]]) -> Figure:
    """One bar before, one after."""
    bars = [name for name in ("before", "after") if name in data]
    figure = Figure(figsize=(6.4, 1.1 + 0.5 * len(bars)), layout="constrained")
    axis = figure.subplots()
    for row, name in enumerate(bars):
        left = 0.0
        for number, share in enumerate(SHARES):
            width = data[name][share]
            axis.barh(row, width, left=left, color=f"C{number}", label=share if row == 0 else None)
            if width > 0.04:
                axis.text(left + width / 2, row, f"{width:.0%}", ha="center", va="center", fontsize=9, color="white")
            left += width
    axis.set_yticks(range(len(bars)), bars)
    axis.invert_yaxis()
    axis.set_xlim(0, 1)
    axis.set_xlabel("share of an iteration's time")
    figure.legend(loc="outside upper center", ncols=len(SHARES), frameon=False, fontsize=9)
    return figure


def save(figure: Figure, path: Path) -> None:
    """The same figures give the same bytes."""
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "minigpt"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    write_text(path, buffer.getvalue())
