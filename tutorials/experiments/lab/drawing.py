"""How figures show the two kinds of luck apart: each seed with its interval over prompts, and the mean over seeds.

Bars are drawn as one path for all of a line: a path for each, with caps, makes a file of an SVG that loads slowly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

# readable without colours: every line has a marker and a style of its own
LINES = (
    {"marker": "o", "linestyle": "-"},
    {"marker": "s", "linestyle": "--"},
    {"marker": "v", "linestyle": ":"},
    {"marker": "D", "linestyle": "-."},
    {"marker": "^", "linestyle": "-"},
)


def bars(axes: Axes, x: np.ndarray, low: np.ndarray, high: np.ndarray, **style: Any) -> None:
    """Upright bars at x from low to high, [N] each."""
    between = np.full(len(x), np.nan)  # [N], where the pen is lifted
    axes.plot(np.repeat(x, 3), np.stack([low, high, between], axis=1).ravel(), linestyle="-", linewidth=1.2, **style)


def line_with_bars(axes: Axes, x: np.ndarray, mean: np.ndarray, deviation: np.ndarray | None, **style: Any) -> None:
    """A line over x with a bar of one deviation to both sides, [N] each; None draws no bars."""
    (line,) = axes.plot(x, mean, markersize=4, **style)
    if deviation is not None:
        bars(axes, x, mean - deviation, mean + deviation, color=line.get_color())


def seed_bars(
    axes: Axes, mean: np.ndarray, low: np.ndarray, high: np.ndarray, line: int, lines: int, label: str
) -> None:
    """mean, low, high [S,N]: at each of N places S points side by side, one a seed, each with its interval over
    prompts. `line` of `lines` that share the places says where they stand."""
    S, N = mean.shape
    shift = 0.8 / lines * ((line - (lines - 1) / 2) + 0.6 * (np.arange(S)[:, None] / max(S - 1, 1) - 0.5))  # [S,1]
    x = (np.arange(N) + shift).ravel()  # [S·N]
    (points,) = axes.plot(x, mean.ravel(), LINES[line]["marker"], markersize=4, label=label)
    bars(axes, x, low.ravel(), high.ravel(), color=points.get_color())


def seed_lines(axes: Axes, x: np.ndarray, values: np.ndarray, label: str, **style: Any) -> None:
    """x [N,S] and values [N,S,3], (mean, low, high) of each of S seeds at N places -> one strong line of their means.

    `style` of the line must tell it apart without its colour. How far the faint bars of a place lie apart in height is
    luck of the seed; how long they are, luck of the prompts.
    """
    (line,) = axes.plot(x.mean(axis=1), values[..., 0].mean(axis=1), label=label, **style)
    bars(axes, x.ravel(), *values[..., 1:].reshape(-1, 2).T, color=line.get_color(), alpha=0.4)


def lines_over_seeds(axes: Axes, values: np.ndarray, names: Sequence[str], labels: Sequence[str]) -> None:
    """values [S,lines,N]: each line the mean over seeds, its bars the standard deviation; none for one seed."""
    for line, label in enumerate(labels):
        found = values[:, line]  # [S,N]
        deviation = found.std(0, ddof=1) if len(found) > 1 else None  # [N]
        line_with_bars(axes, np.arange(len(names)), found.mean(0), deviation, label=label, **LINES[line])
    axes.set_xticks(range(len(names)), names)
