"""How figures show the two kinds of luck apart: a bar for each seed side by side, or one bar over all seeds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

# readable without colours: every line has a marker and a style of its own
LINES = (
    {"marker": "o", "linestyle": "-"}, {"marker": "s", "linestyle": "--"}, {"marker": "v", "linestyle": ":"},
    {"marker": "D", "linestyle": "-."},
)  # fmt: skip


def seed_bars(
    axes: Axes, mean: np.ndarray, low: np.ndarray, high: np.ndarray, line: int, lines: int, label: str
) -> None:
    """mean, low, high [S,N]: at each of N places S points side by side, one a seed, each with its interval over
    prompts. `line` of `lines` that share the places says where they stand."""
    S, N = mean.shape
    shift = 0.8 / lines * ((line - (lines - 1) / 2) + 0.6 * (np.arange(S)[:, None] / max(S - 1, 1) - 0.5))  # [S,1]
    x = np.arange(N) + shift  # [S,N]
    bars = [(mean - low).ravel(), (high - mean).ravel()]
    axes.errorbar(
        x.ravel(), mean.ravel(), bars, linestyle="none", marker=LINES[line]["marker"], markersize=4, label=label
    )


def lines_over_seeds(axes: Axes, values: np.ndarray, names: Sequence[str], labels: Sequence[str]) -> None:
    """values [S,lines,N]: each line the mean over seeds, its bars the standard deviation over seeds; none for one seed.
    """
    for line, label in enumerate(labels):
        found = values[:, line]  # [S,N]
        bars = found.std(0, ddof=1) if len(found) > 1 else None  # [N]
        axes.errorbar(range(len(names)), found.mean(0), bars, **LINES[line], markersize=4, label=label)
    axes.set_xticks(range(len(names)), names)
