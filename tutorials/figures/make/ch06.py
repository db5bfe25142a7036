"""The figures of chapter 06: what stays in the stream, where a fact is kept, and where the parameters are."""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor

from minigpt.model import GPT, Block, GPTConfig
from tutorials.exercises.facts import ANSWERS, TEXTS, fit, right, small_gpt
from tutorials.tools.figures import Drawing

LAYERS = 8


@functools.cache
def trained(layers: int) -> GPT:
    """The chapter's model with that many blocks, after it has learned the facts.

    In float64: in float32 which of the facts are known without a block depends on how the processor rounds.
    """
    model = small_gpt(layers).double()
    fit(model)
    return model


class Pipeline(Block):
    """A block without a residual stream."""

    def forward(self, x: Tensor, rotary: None, mask: None, cache: None, at: Tensor | None = None) -> Tensor:
        return self.mlp(self.mlp_norm(self.attention(self.attention_norm(x))))  # [B,T,C]


# ---- What is left of the token, and what a block is worth ------------------------------------------------------------


@torch.no_grad()
def similarity(model: GPT) -> list[float]:
    """The cosine between a token's embedding and the stream after 0, 1, 2, … blocks, a mean over the tokens."""
    x, rotary = model.embed(TEXTS, torch.arange(2))  # [B,T,C]
    start, values = x, [1.0]
    for block in model.blocks:
        x = block(x, rotary, None, None)  # [B,T,C]
        values.append(float(F.cosine_similarity(x, start, dim=-1).mean()))
    return values


def stream() -> Drawing:
    """Of eight blocks: what is left of the embedding, at the start; and the share of facts known without one block."""
    pipeline = small_gpt(LAYERS)
    for block in pipeline.blocks:
        block.__class__ = Pipeline
    known = []
    for layer in range(LAYERS):
        model = copy.deepcopy(trained(LAYERS))
        del model.blocks[layer]
        known.append(right(model))
    arrays = {"stream": similarity(small_gpt(LAYERS)), "pipeline": similarity(pipeline), "known": known}
    labels = {
        "x": "blocks",
        "y": "cosine with the embedding",
        "stream": "with a stream",
        "pipeline": "without",
        "x2": "block that is taken out",
        "y2": "share of facts known",
    }
    alt = (
        "Left: over 0 to 8 blocks before training, the cosine with the embedding stays above 0.9 with a stream, and is "
        "near 0 from the first block on without. Right: a trained model knows few facts without block 0, most "
        "without block 1, nearly all without any other."
    )
    return Drawing(arrays, labels, alt, draw_stream, size=(8.0, 3.0), tolerance=0.03)


def draw_stream(figure: Figure, arrays: dict[str, np.ndarray], labels: Mapping[str, str]) -> None:
    left, side = figure.subplots(1, 2)
    for name, marker in (("stream", "o"), ("pipeline", "s")):
        left.plot(arrays[name], marker=marker, label=labels[name])
    left.set_ylim(-0.2, 1.05)
    left.set_xlabel(labels["x"])
    left.set_ylabel(labels["y"])
    left.legend(frameon=False, loc="center right")
    side.bar(range(len(arrays["known"])), arrays["known"], color="0.6")
    side.set_ylim(0, 1.05)
    side.set_xticks(range(len(arrays["known"])))
    side.set_xlabel(labels["x2"])
    side.set_ylabel(labels["y2"])


# ---- Where a fact is kept --------------------------------------------------------------------------------------------


@torch.no_grad()
def costs(model: GPT) -> Tensor:
    """What it costs each fact when one neuron of the last block is silent, in nats: [48, neurons]."""

    def logprobs() -> Tensor:
        return model(TEXTS)[:, -1].log_softmax(-1).gather(1, ANSWERS[:, None])[:, 0]  # [48]

    weight, whole, lost = model.blocks[-1].mlp.projection.weight, logprobs(), []
    for neuron in range(weight.shape[1]):
        kept = weight[:, neuron].clone()
        weight[:, neuron] = 0.0
        lost.append(whole - logprobs())
        weight[:, neuron] = kept
    return torch.stack(lost, dim=1)


def neurons() -> Drawing:
    """The costs of silencing one neuron of the model of one block: for each fact the eight that cost most, in order."""
    most = costs(trained(1)).sort(dim=1, descending=True).values[:, :8]  # [48,8]
    most = most[most[:, 0].argsort(descending=True)]
    alt = (
        "48 lines, one a fact: the cost in nats of silencing one neuron, from the neuron that costs it most to the "
        "eighth. The highest line begins at 0.08, more than half of them below 0.02, and all fall quickly towards 0."
    )
    return Drawing({"cost": most}, {"x": "neuron, by cost", "y": "nats"}, alt, draw_neurons, (5.2, 3.0), 0.05)


def draw_neurons(figure: Figure, arrays: dict[str, np.ndarray], labels: Mapping[str, str]) -> None:
    axes = figure.add_subplot()
    axes.plot(range(1, 9), arrays["cost"].T, color="0.5", linewidth=0.8, marker=".")
    axes.axhline(0.0, color="black", linewidth=0.6)
    axes.set_xlabel(labels["x"])
    axes.set_ylabel(labels["y"])


# ---- Where the parameters are ----------------------------------------------------------------------------------------

GPT2 = {"vocab_size": 50257, "context": 1024, "position": "learned", "norm": "layernorm", "bias": True}
SHAPES = {
    "preset tiny": GPTConfig(vocab_size=1024, layers=2, channels=64),
    "GPT-2, small": GPTConfig(layers=12, heads=12, channels=768, **GPT2),
    "GPT-2, XL": GPTConfig(layers=48, heads=25, channels=1600, **GPT2),
    "LLaMA 7B": GPTConfig(
        vocab_size=32000, layers=32, heads=32, channels=4096, hidden=11008, mlp="swiglu", tied_embeddings=False
    ),
}


def shares() -> Drawing:
    """The share of embedding, attention and MLP in four models; what is left, norms and biases, is under 1 %."""
    rows = []
    for shape in SHAPES.values():
        C, V = shape.channels, shape.vocab_size
        embedding = V * C * (1 if shape.tied_embeddings else 2) + shape.context * C * (shape.position == "learned")
        mlp = shape.layers * (3 if shape.mlp == "swiglu" else 2) * C * shape.mlp_width
        rows.append([part / shape.parameter_count() for part in (embedding, 4 * shape.layers * C * C, mlp)])
    alt = (
        "Bars of four models in three parts, embedding, attention, MLP. Tiny: 40, 20, 40 %. "
        "GPT-2 small: 32, 23, 46 %. GPT-2 XL: 5, 32, 63 %. LLaMA 7B: 4, 32, 64 %."
    )
    labels = {"embedding": "embedding", "attention": "attention", "mlp": "MLP", "x": "share of the parameters"}
    return Drawing({"models": list(SHAPES), "shares": rows}, labels, alt, draw_shares, size=(6.4, 2.3))


def draw_shares(figure: Figure, arrays: dict[str, np.ndarray], labels: Mapping[str, str]) -> None:
    axes, start = figure.add_subplot(), 0.0
    for column, part in enumerate(("embedding", "attention", "mlp")):
        share = arrays["shares"][:, column]
        axes.barh(arrays["models"], share, left=start, label=labels[part], color=("0.8", "#56B4E9", "#E69F00")[column])
        for row, value in enumerate(share):
            middle = (start if np.isscalar(start) else start[row]) + value / 2
            axes.text(middle, row, f"{value:.0%}", ha="center", va="center", fontsize=8)
        start = start + share
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel(labels["x"])
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))


FIGURES = {"ch06_stream": stream, "ch06_neurons": neurons, "ch06_shares": shares}
