"""Lines over seeds with both kinds of luck: each seed with its interval over prompts, faint; their mean, strong."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes


def seed_lines(axes: Axes, x: np.ndarray, values: np.ndarray, label: str, **style: Any) -> None:
    """x [N,S] and values [N,S,3], (mean, low, high) of each of S seeds at N places -> one line, 3·S·N numbers.

    `style` of the line must tell it apart without its colour. How far the faint points of a place lie apart is luck of
    the seed; how long their bars are, luck of the prompts.
    """
    (line,) = axes.plot(x.mean(axis=1), values[..., 0].mean(axis=1), label=label, **style)
    mean, low, high = values.reshape(-1, 3).T  # [N·S] each
    axes.errorbar(
        x.ravel(), mean, [mean - low, high - mean], linestyle="none", marker=line.get_marker(), markersize=3, alpha=0.3,
        color=line.get_color(),
    )  # fmt: skip
