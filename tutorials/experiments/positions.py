"""No positions, learned, sinusoidal, rotary: on rows as long as those learned from, and on rows four times as long.

Claim. A model must be told where its tokens stand, and sinusoids let it read on past the length that it was trained on.
Source. Vaswani et al. 2017, section 3.5: "we must inject some information about the relative or absolute position", and
"it may allow the model to extrapolate to sequence lengths longer than the ones encountered during training".
Design. A GPT of two blocks learns from rows of 32 tokens, 400 steps of 32 rows, each text once; the documents of the
toy world are longer, 86 tokens on average. Four arms with the same weights to start from, the same batches and the same
rate, which was not tuned; they differ in the positions alone. "None" tells every token that it stands at place 0.
"Learned" has a table of 128 places, of which training has met 32. Then each model is tried on held-out rows of 128.
Measured, in nats a token: the loss on places 1 to 32; and on places 33 to 128 what it costs to read on: the loss with
the whole row before each token, minus the loss of the same model on the same tokens with only the last 17 to 32 tokens,
counted from place 0. Below 0 the longer text helps, above 0 its length hurts. A bar is the bootstrap interval over rows
of one of three seeds (of weights and text).
Prediction. On the trained places "none" is worse than rotary by 0.1 or more, and than sinusoidal by less than 0.06: a
causal model can find places by itself. To read on costs sinusoidal more than 0.5 and learned more than 0.2, as rows of
that table were never trained. It costs rotary and "none" less than 0.2, and neither gains. (Written before any run of
this page. Chapter 03 has one seed of such models, trained on rows of 64: on trained places 2.06 without positions, 2.05
sinusoidal, 2.01 learned, 1.85 rotary; 128 places further 2.34, 3.57 and 2.04, learned not tried.)
Refutation. The claim holds if in every seed, with the whole interval, "none" is worse than sinusoidal by more than 0.02
on the trained places, and to read on costs sinusoidal less than 0.05; it does not if one of the two is on the other
side, with the whole interval, in every seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from minigpt.data import TokenStream
from minigpt.model import GPT, GPTConfig
from tutorials.experiments.lab import Experiment, Lab, Summary, bootstrap_mean
from tutorials.experiments.lab.drawing import LINES, seed_lines
from tutorials.experiments.lab.language import BIN, by_bins, losses_of, toy_text, train_network
from tutorials.experiments.lab.measures import in_words
from tutorials.numbers.make.positions import model_of

ARMS = {"sinusoidal": "sinusoidal", "learned": "learned", "none": "none", "rotary": "rotary"}
TRAINED, TRIED = 32, 128  # tokens of a row in training, and of a row that is tried
BATCH = 32  # rows of a step
NEEDED, FREE = 0.02, 0.05  # nats a token: positions are needed above it; reading on costs nothing below it


@dataclass(frozen=True)
class Settings:
    """A step is a batch of 32 rows of 32 tokens; `tried` rows of 128 are measured."""

    seeds: tuple[int, ...] = (0, 1, 2)
    documents: int = 5500
    vocab_size: int = 512
    layers: int = 2
    channels: int = 64
    rate: float = 0.005
    steps: int = 400
    tried: int = 300


PRESETS = {
    "small": {},
    "tiny": {
        "seeds": (0, 1),
        "documents": 500,
        "vocab_size": 300,
        "layers": 1,
        "channels": 16,
        "steps": 4,
        "tried": 10,
    },
}


def cells(settings: Settings) -> list[dict[str, Any]]:
    return [{"seed": seed} for seed in settings.seeds]


def make_model(arm: str, settings: Settings, seed: int) -> GPT:
    """An untrained model, long enough for the rows that are tried. All arms start from the same weights."""
    shape = GPTConfig(vocab_size=settings.vocab_size, layers=settings.layers, channels=settings.channels, heads=4)
    return model_of(arm, shape, TRIED, seed)


def losses_of_cut(model: GPT, rows: Tensor) -> Tensor:
    """Nats of the targets of rows [W,T+1] from place TRAINED on [W,T-TRAINED], each with the last 17 to 32 tokens only:
    a row is cut into windows of TRAINED targets that overlap by half, and of each the second half counts."""
    half = TRAINED // 2
    windows = rows[:, half:].unfold(1, TRAINED + 1, half)  # [W,N,TRAINED+1]
    losses = losses_of(model, windows.flatten(0, 1))[:, half:]  # [W·N,half]
    return losses.reshape(len(rows), -1)


def measure(lab: Lab, settings: Settings, seed: int) -> dict[str, Any]:
    """For each arm and row the loss of each bin of places, read on and cut."""
    text = toy_text(settings.documents, settings.vocab_size, TRIED, settings.tried, seed)
    stream = TokenStream(text.learned, context=TRAINED, batch_size=BATCH, seed=seed)
    found = {}
    for arm in ARMS:
        model = make_model(arm, settings, seed)
        train_network(model, stream, settings.rate, settings.steps)
        whole, cut = losses_of(model, text.held_out), losses_of_cut(model, text.held_out)  # [W,T], [W,T-TRAINED]
        found[arm] = {"whole": by_bins(whole), "cut": by_bins(cut)}
    return found


def trained_loss(result: Mapping[str, Any], arm: str) -> np.ndarray:
    """The mean loss of each row on the trained places [W]."""
    return np.mean(result[arm]["whole"][: TRAINED // BIN], axis=0)


def cost_of_reading_on(result: Mapping[str, Any], arm: str) -> np.ndarray:
    """By how much each row is worse past the trained places if it is read as a whole than if it is cut [W]."""
    return np.mean(np.subtract(result[arm]["whole"][TRAINED // BIN :], result[arm]["cut"]), axis=0)


def verdict(needed: Sequence[Sequence[float]], cost: Sequence[Sequence[float]]) -> bool | None:
    """From an interval a seed of what "none" loses on trained places and of what sinusoids pay for reading on."""
    if all(low > NEEDED for _, low, _ in needed) and all(high < FREE for _, _, high in cost):
        return True
    if all(high < NEEDED for _, _, high in needed) or all(low > FREE for _, low, _ in cost):
        return False
    return None


def summarise(settings: Settings, cells: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> Summary:
    found = [result for _, result in cells]  # one a seed
    arrays: dict[str, Any] = {"places": [BIN * (bin + 0.5) + 0.5 for bin in range(TRIED // BIN)]}
    for arm in ARMS:  # [N,S,3]: mean, low, high
        arrays[arm] = [[bootstrap_mean(result[arm]["whole"][bin]) for result in found] for bin in range(TRIED // BIN)]
    worse = {
        arm: [bootstrap_mean(trained_loss(result, "none") - trained_loss(result, arm)) for result in found]
        for arm in ARMS
        if arm != "none"
    }
    costs = {arm: [bootstrap_mean(cost_of_reading_on(result, arm)) for result in found] for arm in ARMS}
    means = ", ".join(f"{arm} {np.mean([trained_loss(result, arm).mean() for result in found]):.3f}" for arm in ARMS)
    text = (
        f"Nats a token on places 1 to {TRAINED}, as trained: {means}; none minus "
        + ", ".join(f"{arm} {in_words(interval)}" for arm, interval in worse.items())
        + f". To read on to place {TRIED} costs "
        + ", ".join(f"{arm} {in_words(interval)}" for arm, interval in costs.items())
        + f" (mean of {len(found)} seeds [ends of their intervals])"
    )
    labels = {**ARMS, "x": "place in the row", "y": "nats a token"}
    alt = f"The loss over the place in the row, a line for each kind of positions, with a mark at {TRAINED}. {text}."
    return Summary(arrays, labels, alt, text, verdict(worse["sinusoidal"], costs["sinusoidal"]))


def draw(figure: Figure, arrays: dict[str, np.ndarray], labels: Mapping[str, str]) -> None:
    axes = figure.add_subplot()
    for number, (arm, style) in enumerate(zip(ARMS, LINES, strict=False)):
        seeds = np.arange(arrays[arm].shape[1])  # [S]
        beside = arrays["places"][:, None] + 0.6 * (seeds - 1) + 2.0 * (number - 1.5)  # [N,S]
        seed_lines(axes, beside, arrays[arm], labels[arm], **style)
    axes.axvline(TRAINED + 0.5, color="0.4", linewidth=0.8)
    axes.set(xlabel=labels["x"], ylabel=labels["y"])
    axes.legend(frameon=False)


EXPERIMENT = Experiment(
    claim="A model must be told where its tokens stand, and sinusoids let it read on past the trained length.",
    source="Vaswani et al. 2017, section 3.5",
    settings=Settings,
    presets=PRESETS,
    cells=cells,
    measure=measure,
    summarise=summarise,
    draw=draw,
)
