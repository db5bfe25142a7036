"""The figures of chapter 02: a sentence in pieces, and how much text a token holds."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from minigpt.tokenizer import Tokenizer, printable
from tutorials.exercises.stories import STORY
from tutorials.tools.figures import COLORS, Drawing
from tutorials.tools.numbers import field

SENTENCE = "The owl was looking at the ghost."
COUNTS = (0, 20, 60, 240)

# ---- A sentence in pieces --------------------------------------------------------------------------------------------


def pieces() -> Drawing:
    """The tokens of one sentence with 0, 20, 60 and 240 merges of the story: their lengths in bytes, row by row."""
    merges = Tokenizer.train([STORY], 256 + max(COUNTS) + 5).merges
    tokens = {}
    for count in COUNTS:
        tokenizer = Tokenizer(merges[:count])
        tokens[f"{count}"] = [printable(tokenizer.token_bytes(token)) for token in tokenizer.encode(SENTENCE)]
    numbers = ", ".join(f"{len(row)} with {count}" for count, row in tokens.items())
    alt = (
        f"The sentence {SENTENCE!r} four times, each time cut into its tokens: {numbers} merges. In the last row "
        "was, looking, at and the are one token each, space included; owl and ghost, which the story has not, stay in "
        "pieces."
    )
    return Drawing(tokens, {"rows": "merges"}, alt, draw_pieces, size=(8.2, 2.6))


def draw_pieces(figure: Figure, arrays: dict[str, np.ndarray], labels: Mapping[str, str]) -> None:
    axes = figure.add_subplot()
    for row, tokens in enumerate(arrays.values()):
        start = 0
        for number, token in enumerate(tokens):
            color = COLORS[number % 2 * 4]
            axes.barh(
                -row, len(token), left=start, height=0.72, color=color, alpha=0.3, edgecolor="black", linewidth=0.7
            )
            for place, character in enumerate(token):
                shown = "␣" if character == "Ġ" else character
                axes.text(
                    start + place + 0.5, -row, shown, ha="center", va="center", fontsize=10, family="DejaVu Sans Mono"
                )
            start += len(token)
        axes.text(start + 0.6, -row, f"{len(tokens)}", ha="left", va="center", fontsize=10)
    axes.set_yticks([-row for row in range(len(arrays))], list(arrays))
    axes.set_ylabel(labels["rows"])
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


# ---- How much text a token holds -------------------------------------------------------------------------------------


def rates() -> Drawing:
    """Bytes a token over the number of merges of preset tiny, for four kinds of text."""
    curve = field("tokenizer:curve")
    last = {name: curve[name][-1] for name in ("documents", "story", "code", "chinese")}
    alt = (
        f"Bytes a token over the number of merges, from none to {curve['merges'][-1]}, for four kinds of text. All "
        f"begin at 1. Unseen documents of the toy world rise to {last['documents']:.1f}, an unseen story to "
        f"{last['story']:.1f}, a few lines of Python to {last['code']:.1f}; Chinese stays at {last['chinese']:.1f}."
    )
    labels = {
        "x": "merges",
        "y": "bytes / token",
        "documents": "toy world",
        "story": "story",
        "code": "Python",
        "chinese": "Chinese",
    }
    return Drawing(curve, labels, alt, draw_rates, size=(5.8, 3.3))


def draw_rates(figure: Figure, arrays: dict[str, np.ndarray], labels: Mapping[str, str]) -> None:
    axes = figure.add_subplot()
    for name, style, marker in (
        ("documents", "-", "o"),
        ("story", "--", "s"),
        ("code", "-.", "^"),
        ("chinese", ":", "D"),
    ):
        axes.plot(arrays["merges"], arrays[name], style, marker=marker, markersize=4, label=labels[name])
    axes.set_xscale("symlog", base=2, linthresh=16)
    axes.set_xticks(arrays["merges"], [str(int(count)) for count in arrays["merges"]])
    axes.minorticks_off()
    axes.set_ylim(0, None)
    axes.set_xlabel(labels["x"])
    axes.set_ylabel(labels["y"])
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)


FIGURES = {"ch02_pieces": pieces, "ch02_rates": rates}
