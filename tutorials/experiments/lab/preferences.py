"""Whose answer is preferred: every model against every other on the same prompts, with intervals.

`rlhf.evaluation.win_rate` leaves ties out, as fits two policies that seldom tie. Here weak models are compared as well,
which are often both wrong, and a tie counts half, as if the labeler tossed a coin; so a model's preference over another
and the other's over it add up to 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from rlhf.evaluation.win_rate import BOOTSTRAP_SAMPLES, CONFIDENCE


def preferences(golds: Sequence[Sequence[float]], seed: int = 0) -> dict[str, np.ndarray]:
    """golds [M,P], the gold total of M models on each of P prompts -> mean, low and high [M,M].

    mean[i, j] is the share of prompts on which model i is preferred to model j; low and high are its 95 % bootstrap
    interval over prompts. All models share the draws of prompts: they answered the same ones.
    """
    table = np.asarray(golds, dtype=float)  # [M,P]
    first, second = table[:, None], table[None]  # [M,1,P], [1,M,P]
    preferred = (first > second) + 0.5 * (first == second)  # [M,M,P]
    count = table.shape[1]
    # how often each prompt is drawn when P of P are drawn with replacement
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=BOOTSTRAP_SAMPLES)  # [S,P]
    means = preferred @ drawn.T / count  # [M,M,S]
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], axis=-1)  # [M,M] each
    return {"mean": preferred.mean(axis=-1), "low": low, "high": high}


def draw_preferences(axes: Axes, mean: np.ndarray, groups: Sequence[str], labels: Mapping[str, str]) -> None:
    """mean [M,M] as a picture, the darker the more the model of the row is preferred to that of the column. The models
    come in equal groups, of which the axes carry the names; inside a group they keep their order."""
    M, size = len(mean), len(mean) // len(groups)
    image = axes.imshow(mean, cmap="Greys", vmin=0, vmax=1)
    middles = [size * number + (size - 1) / 2 for number in range(len(groups))]
    axes.set_xticks(middles, groups, rotation=40, ha="right")
    axes.set_yticks(middles, groups)
    for border in range(size, M, size):
        axes.axhline(border - 0.5, color="#0072B2", linewidth=0.8)
        axes.axvline(border - 0.5, color="#0072B2", linewidth=0.8)
    axes.set_xlabel(labels["matrix_x"])
    axes.set_ylabel(labels["matrix_y"])
    axes.figure.colorbar(image, ax=axes, shrink=0.8, ticks=(0, 0.5, 1)).set_label(labels["preference"])
