"""The figures of chapter 14: which tokens are learned, what comes of it, who is imitated, how many demonstrations."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from minigpt.data import IGNORE
from rlhf.stage1_sft.examples import Example
from tutorials.numbers.make.fine_tuning import COUNTS, LOSSES, SHARES, kind_share, targets_of
from tutorials.numbers.make.stage1 import KINDS
from tutorials.tools.figures import COLORS, Drawing
from tutorials.tools.numbers import field

# ---- Which tokens are learned ----------------------------------------------------------------------------------------

PAD = "<|pad|>"
DEMONSTRATIONS = (
    (("<|user|>", "Hungry?", "<|assistant|>"), ("The", "monkey", "<|end|>")),
    (("<|user|>", "Trick", "him?", "<|assistant|>"), ("I", "will", "not", "help.", "<|end|>")),
)


def targets() -> Drawing:
    """The targets of two demonstrations in a batch, by the code of the four runs: 1 where a token is learned."""
    words = sorted({word for pair in DEMONSTRATIONS for part in pair for word in part} | {PAD})
    number = {word: index for index, word in enumerate(words)}
    examples = [Example(*(tuple(number[word] for word in part) for part in pair)) for pair in DEMONSTRATIONS]
    learned = {
        kind: (targets_of(kind, examples, number[PAD]).targets != IGNORE).int().tolist()  # [B,T]
        for kind in LOSSES
    }
    rows = [[*prompt, *response] for prompt, response in DEMONSTRATIONS]
    width = max(map(len, rows))
    alt = (
        "Two rows of tokens, a short demonstration with three tokens of padding and a long one, drawn four times. "
        "Filled are, with responses: the responses with their ends; with prompts too: also the prompts, but for the "
        "first token; with no end token: the responses without their ends; with padding too: the responses and the "
        "padding."
    )
    arrays = {
        "word": [row + [PAD] * (width - len(row)) for row in rows],
        **{k.replace(" ", "_"): v for k, v in learned.items()},
    }
    return Drawing(arrays, {kind.replace(" ", "_"): kind for kind in LOSSES}, alt, draw_targets, size=(8.4, 4.2))


def draw_targets(figure: Figure, arrays: dict[str, np.ndarray], labels: Mapping[str, str]) -> None:
    words = arrays["word"]
    for number, (name, label) in enumerate(labels.items(), start=1):
        axes = figure.add_subplot(len(labels), 1, number)
        axes.set_title(label, fontsize=10, loc="left")
        axes.set_xlim(-0.02, words.shape[1] + 0.02)
        axes.set_ylim(len(words), 0)
        axes.axis("off")
        for b, row in enumerate(words):
            for t, word in enumerate(row):
                on = t > 0 and bool(arrays[name][b, t - 1])  # a target stands in the column before
                axes.add_patch(
                    Rectangle((t + 0.03, b + 0.08), 0.94, 0.84, facecolor="#56B4E9" if on else "0.94", edgecolor="0.6")
                )
                color = "0.45" if word == "<|pad|>" and not on else "black"
                axes.text(t + 0.5, b + 0.52, word, ha="center", va="center", fontsize=8, color=color)


# ---- What comes of it ------------------------------------------------------------------------------------------------


def losses() -> Drawing:
    """The four runs: the loss by their own log and on held-out responses, answers that end, words of an answer."""
    found = field("fine-tuning:losses")
    arrays = {name: [found[kind][name] for kind in LOSSES] for name in ("own_loss", "loss", "ended", "words")}
    arrays["kind"] = list(LOSSES)
    own, held, ended, words = (
        dict(zip(LOSSES, arrays[n], strict=True)) for n in ("own_loss", "loss", "ended", "words")
    )
    alt = "Three panels of bars for the four runs. " + " ".join(
        f"{kind.capitalize()}: own loss {own[kind]:.2f}, held-out loss {held[kind]:.2f}, {ended[kind]:.2f} of the "
        f"answers end, {words[kind]:.0f} words."
        for kind in LOSSES
    )
    labels = {"own_loss": "own loss", "loss": "held out", "nats": "nats/token", "ended": "ended", "words": "words"}
    return Drawing(arrays, labels, alt, draw_losses, size=(8.4, 2.6))


def draw_losses(figure: Figure, arrays: dict[str, np.ndarray], labels: Mapping[str, str]) -> None:
    places = np.arange(len(arrays["kind"]))[::-1]
    panels = [figure.add_subplot(1, 3, number) for number in (1, 2, 3)]
    panels[0].barh(places + 0.2, arrays["own_loss"], 0.38, label=labels["own_loss"])
    panels[0].barh(places - 0.2, arrays["loss"], 0.38, label=labels["loss"])
    panels[0].set_xlabel(labels["nats"])
    panels[0].set_yticks(places, arrays["kind"])
    panels[0].legend(frameon=False, fontsize=8, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    for axes, name in zip(panels[1:], ("ended", "words"), strict=True):
        axes.barh(places, arrays[name], 0.6, color=COLORS[2])
        axes.set_xlabel(labels[name])
        axes.set_yticks(places, [""] * len(places))


# ---- Who is imitated -------------------------------------------------------------------------------------------------

WHO = {"base": "base model", "written": "demonstrators", "policy": "policy"}


def refusals() -> Drawing:
    """Preset small: kinds of answers to hurtful requests, of the base model, the demonstrators and the policy."""
    found = field("stage1-small:refusals")
    arrays = {who: [found[who][kind] for kind in KINDS] for who in WHO}
    alt = "Three bars, each divided into kinds of answers. " + " ".join(
        f"{name.capitalize()}: " + ", ".join(f"{kind} {found[who][kind]:.2f}" for kind in KINDS) + "."
        for who, name in WHO.items()
    )
    labels = {**WHO, **{f"kind{number}": kind for number, kind in enumerate(KINDS)}}
    return Drawing(arrays, labels, alt, draw_refusals, size=(7.2, 2.2))


def draw_refusals(figure: Figure, arrays: dict[str, np.ndarray], labels: Mapping[str, str]) -> None:
    axes = figure.add_subplot()
    for row, who in enumerate(reversed(list(arrays))):
        start = 0.0
        for number, share in enumerate(arrays[who]):
            label = labels[f"kind{number}"] if row == 0 else None
            axes.barh(row, share, 0.6, left=start, color=(*COLORS[:3], "0.8")[number], label=label)
            start += share
    axes.set_yticks(range(len(arrays)), [labels[who] for who in reversed(list(arrays))])
    axes.set_xlim(0, 1)
    axes.legend(frameon=False, ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.0))


# ---- How many, and by whom -------------------------------------------------------------------------------------------


def demonstrations() -> Drawing:
    """The loss over the number of demonstrations, and bare refusals over the share of careless ones."""
    counts, shares = field("fine-tuning:counts"), field("fine-tuning:shares")
    written = field("fine-tuning:demonstrations")
    arrays = {
        "count": list(COUNTS),
        "learned": [counts[str(n)]["own_loss"] for n in COUNTS],
        "held_out": [counts[str(n)]["loss"] for n in COUNTS],
        "share": list(SHARES),
        "written": [kind_share(written[str(s)]["refusals"]) for s in SHARES],
        "policy": [kind_share(shares[str(s)]["refusals"]) for s in SHARES],
    }
    alt = (
        f"Left, nats a token over the number of demonstrations, {COUNTS[0]} to {COUNTS[-1]}: on those that were "
        f"learned from {arrays['learned'][0]:.2f} to {arrays['learned'][-1]:.2f}, on others from "
        f"{arrays['held_out'][0]:.2f} to {arrays['held_out'][-1]:.2f}. Right, the share of refusals that is "
        f"kind over the share of careless demonstrations, 0 to 1: of the "
        f"demonstrators from {arrays['written'][0]:.2f} to {arrays['written'][-1]:.2f}, of the policy from "
        f"{arrays['policy'][0]:.2f} to {arrays['policy'][-1]:.2f}."
    )
    labels = {
        "count": "demonstrations",
        "nats": "nats/token",
        "learned": "learned from",
        "held_out": "held out",
        "share": "careless share",
        "kind": "kind / refusals",
        "written": "demonstrators",
        "policy": "policy",
    }
    return Drawing(arrays, labels, alt, draw_demonstrations, size=(8.0, 2.8))


def draw_demonstrations(figure: Figure, arrays: dict[str, np.ndarray], labels: Mapping[str, str]) -> None:
    left, right = figure.subplots(1, 2)
    for name, style in (("learned", "o-"), ("held_out", "s--")):
        left.plot(arrays["count"], arrays[name], style, label=labels[name])
    left.set_xscale("log")
    left.set_xticks(arrays["count"], [str(n) for n in arrays["count"]])
    left.minorticks_off()
    left.set_ylim(0)
    left.set_xlabel(labels["count"])
    left.set_ylabel(labels["nats"])
    for name, style in (("written", "o-"), ("policy", "s--")):
        right.plot(arrays["share"], arrays[name], style, label=labels[name])
    right.set_ylim(0, 1.02)
    right.set_xlabel(labels["share"])
    right.set_ylabel(labels["kind"])
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)


FIGURES = {
    "ch14_targets": targets,
    "ch14_losses": losses,
    "ch14_refusals": refusals,
    "ch14_demonstrations": demonstrations,
}
