"""Ways that lead away from the SFT policy, as points: gold total, KL, and what they cost in drawn answers.

A point is plain JSON: `gold` of each prompt, `score` (mean), `kl` in nats a sequence from the SFT policy, and how many
answers were `drawn` to come there and are drawn for `each` prompt that is answered from there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from minigpt.runs.log.metrics import Row
from rlhf.people.prompts import Prompt
from tutorials.experiments.lab.measures import spread
from tutorials.experiments.lab.models import Trained
from tutorials.experiments.lab.pool import best_of_n, sample_pool

Point = dict[str, Any]


def best_of_k_points(sft: Trained, reward_model: Trained, prompts: Sequence[Prompt], pool: int) -> list[Point]:
    """The best of K = 1, 2, 4, ... answers, all from one pool of answers to each prompt. No sequence has a probability
    here whose logarithm one could take, so the KL is counted in the pool; it is too low where K comes near it."""
    found = best_of_n(sample_pool(sft, [reward_model.model], prompts, pool, sft.seed))
    return [
        {
            "gold": [totals[i] for totals in found["gold"][0]],
            "score": found["scores"][0][i],
            "kl": found["kl"][0][i],
            "drawn": 0,
            "each": k,
        }
        for i, k in enumerate(found["n"])
    ]


def way_of_ppo(rows: Sequence[Row], parts: int = 10) -> list[Point]:
    """What PPO's own rollouts measured while it learned, on its own prompts: means over some iterations in a row each,
    as a single rollout is noisy. Their `gold` is a mean over rollouts and no list of prompts."""
    named = {
        "gold": "objective/gold",
        "score": "objective/scores",
        "kl": "objective/kl_nats_per_sequence",
        "drawn": "episode",
    }
    chunks = np.array_split(np.arange(len(rows)), min(parts, len(rows)))
    means = [{key: fmean(rows[i][name] for i in chunk) for key, name in named.items()} for chunk in chunks]
    return [{**mean, "each": 1} for mean in means]


def over_seeds(name: str, ways: Sequence[Sequence[Point]], served: int) -> dict[str, list[float]]:
    """Arrays of a figure from the same way in several seeds, point by point: means and standard deviations over seeds
    of gold total and KL, and all answers drawn by when `served` prompts are answered from there."""
    arrays: dict[str, list[float]] = {}
    for same in zip(*ways, strict=True):
        values = {what: spread([float(np.mean(point[what])) for point in same]) for what in ("gold", "kl")}
        values["drawn"] = (fmean(point["drawn"] + point["each"] * served for point in same), 0.0)
        for what, (mean, deviation) in values.items():
            arrays.setdefault(f"{name}_{what}", []).append(mean)
            if what != "drawn":
                arrays.setdefault(f"{name}_{what}_sd", []).append(deviation)
    return arrays


def draw_ways(
    figure: Figure,
    arrays: Mapping[str, np.ndarray],
    labels: Mapping[str, str],
    styles: Mapping[str, Mapping[str, Any]],
    most: Mapping[str, int],
) -> None:
    """The ways of `styles`, made by `over_seeds`: gold total over KL on the left, over drawn answers on the right, with
    bars over seeds. most: of some ways, how many points the left panel shows."""
    for axes, x in zip(figure.subplots(1, 2, sharey=True), ("kl", "drawn"), strict=True):
        for name, style in styles.items():
            points = slice(most.get(name) if x == "kl" else None)
            axes.errorbar(
                arrays[f"{name}_{x}"][points],
                arrays[f"{name}_gold"][points],
                arrays[f"{name}_gold_sd"][points],
                arrays[f"{name}_kl_sd"][points] if x == "kl" else None,
                label=labels[name],
                linewidth=1,
                **style,
            )
        axes.set_xlabel(labels[x])
    figure.axes[0].set_ylabel(labels["gold"])
    figure.axes[1].set_xscale("log")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
