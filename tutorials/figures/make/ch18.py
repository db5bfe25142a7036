"""The figures of chapter 18: one answer, token by token; a healthy run; six runs to be diagnosed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tutorials.tools.figures import Drawing
from tutorials.tools.numbers import field, load_numbers

# ---- One answer ------------------------------------------------------------------------------------------------------


def answer() -> Drawing:
    """Values, returns and advantages of each token of the answer that the chapter follows."""
    found = load_numbers("one-iteration")
    arrays = {name: found[name] for name in ("values", "returns", "rewards", "whitened")}
    tokens = [piece.strip() for piece in found["pieces"][found["prompt_length"] :]]
    labels = {
        **{f"token_{n}": token for n, token in enumerate(tokens)},
        "values": "V",
        "returns": "return",
        "rewards": "reward",
        "whitened": "A, whitened",
    }
    return Drawing(arrays, labels, alt_answer(found, tokens), draw_answer, size=(7.6, 3.0))


def alt_answer(found: dict[str, Any], tokens: list[str]) -> str:
    """The figure in words, with its numbers: another run follows another answer."""
    values, white = (
        ", ".join(f"{number:.2f}".replace("-", "−") for number in found[name]) for name in ("values", "whitened")
    )
    first, last, paid = found["returns"][0], found["returns"][-1], found["rewards"][-1]
    return (
        f"Two panels over the {len(tokens)} tokens {' · '.join(tokens)}. Left: the return goes from {first:.2f} to "
        f"{last:.2f}; V is {values}. Right: the reward is {paid:.2f} at the end token and near 0 elsewhere; the "
        f"whitened advantage is {white}."
    )


def draw_answer(figure: Figure, arrays: dict[str, np.ndarray], labels: Mapping[str, str]) -> None:
    left, right = figure.subplots(1, 2)
    places = np.arange(len(arrays["values"]))
    left.step(places, arrays["returns"], where="mid", label=labels["returns"], linestyle="--")
    left.step(places, arrays["values"], where="mid", label=labels["values"])
    right.bar(places - 0.2, arrays["rewards"], 0.4, label=labels["rewards"])
    right.bar(places + 0.2, arrays["whitened"], 0.4, label=labels["whitened"])
    right.axhline(0, color="0.5", linewidth=0.8)
    for axes in (left, right):
        axes.set_xticks(places, [labels[f"token_{n}"] for n in places], rotation=30)
        axes.grid(alpha=0.3, axis="y")
        axes.legend(frameon=False, fontsize=9)


# ---- A healthy run, and broken ones ----------------------------------------------------------------------------------

SHOWN = {"score": "score", "kl": "KL, nats", "entropy": "entropy, nats", "explained": "explained var."}
PATIENTS = {"A": "rate_x10", "B": "paid_at_the_pad", "C": "not_whitened", "D": "critic_cold", "E": "beta_0"}
PATIENTS |= {"F": "no_end_penalty"}


def band(logs: list[dict[str, Any]], name: str) -> dict[str, list[float]]:
    """The smallest and the largest of the healthy runs in each iteration."""
    rows = list(zip(*(log[name] for log in logs), strict=True))
    return {f"{name}_low": [min(row) for row in rows], f"{name}_high": [max(row) for row in rows]}


def patients(names: str) -> Drawing:
    """Some runs, a column each, over the band of the healthy ones."""
    curves = field("broken-runs:curves")
    arrays: dict[str, Any] = {"iteration": list(range(1, len(curves["healthy"][0]["score"]) + 1))}
    for name in SHOWN:
        arrays |= band(curves["healthy"], name)
        arrays |= {f"{name}_{letter}": curves[PATIENTS[letter]][0][name] for letter in names}
    labels = {**SHOWN, "x": "iteration", "patients": names}
    return Drawing(arrays, labels, ALT[names], draw_patients, size=(8.0, 6.2))


ALT = {
    "ABC": (
        "Score, KL, entropy and explained variance of three runs over 40 iterations, over the grey range of healthy "
        "ones. Healthy: score to 0.55, KL to 1.3, entropy from 14 to 9.5, explained variance to 0.64. A: score 0.6, KL "
        "3 to 4 from iteration 10 on, entropy 4, explained variance first above the range. B: score and KL near 0, "
        "entropy 14, explained variance below the picture. C: as healthy."
    ),
    "DEF": (
        "The same for three more runs. D: as healthy, but KL and score rise a few iterations earlier. E: as healthy "
        "for 15 iterations; then KL to 4, score to 0.7, entropy at the lower edge. F: as healthy."
    ),
}


def draw_patients(figure: Figure, arrays: dict[str, np.ndarray], labels: Mapping[str, str]) -> None:
    letters = labels["patients"]
    grid = figure.subplots(len(SHOWN), len(letters), sharex=True, sharey="row")
    for row, name in enumerate(SHOWN):
        for column, letter in enumerate(letters):
            axes, iteration = grid[row, column], arrays["iteration"]
            axes.fill_between(iteration, arrays[f"{name}_low"], arrays[f"{name}_high"], color="0.8")
            axes.plot(iteration, arrays[f"{name}_{letter}"], linewidth=1.6)
            axes.grid(alpha=0.3)
            if row == 0:
                axes.set_title(letter)
            if column == 0:
                axes.set_ylabel(labels[name])
            if name == "explained":
                axes.set_ylim(-1.0, 1.05)
    for axes in grid[-1]:
        axes.set_xlabel(labels["x"])


FIGURES = {
    "ch18_answer": answer,
    "ch18_patients_1": lambda: patients("ABC"),
    "ch18_patients_2": lambda: patients("DEF"),
}
