"""The 48 facts of chapter 06 as an objective of the package's training loop, for chapter 07."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minigpt.model import GPT
from minigpt.runs.seeds import seeded_generator
from minigpt.training import TrainingConfig, train
from tutorials.exercises.facts import ANSWERS, TEXTS, right, small_gpt

Part = tuple[Tensor, Tensor]  # texts [B,2], answers [B]


class Facts:
    """The Objective (minigpt.training) of answering: 12 facts a step, drawn by the number of the step.

    `sizes` says how many of them are computed at once. `stop_at` presses Ctrl-C at the beginning of that step.
    """

    def __init__(self, sizes: Sequence[int] = (12,), stop_at: int | None = None) -> None:
        self.sizes, self.stop_at = list(sizes), stop_at

    def micro_batches(self, step: int) -> list[Part]:
        if step == self.stop_at:
            raise KeyboardInterrupt
        drawn = torch.randperm(len(TEXTS), generator=seeded_generator(0, "facts", step))[: sum(self.sizes)]  # [B]
        return list(zip(TEXTS[drawn].split(self.sizes), ANSWERS[drawn].split(self.sizes), strict=True))

    def weight(self, part: Part) -> int:
        return len(part[1])

    def tokens(self, part: Part) -> int:
        return part[0].numel()

    def loss_sum(self, model: nn.Module, part: Part) -> tuple[Tensor, dict[str, Tensor | float]]:
        texts, answers = part
        return F.cross_entropy(model(texts)[:, -1], answers, reduction="sum"), {}

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        return {"right": right(model)}

    def samples(self, model: nn.Module) -> str:
        return ""


def learn(folder: Path, objective: Facts, config: TrainingConfig) -> tuple[GPT, list[dict[str, Any]]]:
    """The package's `train` on a model of one block: the model, and the rows of metrics.jsonl after the first.

    What it prints is dropped. Stopped by Ctrl-C, the next call for the same folder resumes.
    """
    model = small_gpt(1)
    payload = {"kind": "gpt", "config": {}, "tokenizer": ""}
    quiet = contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO())
    with quiet[0], quiet[1], contextlib.suppress(KeyboardInterrupt):
        train(model, objective, config, stage_dir=folder, describe={}, checkpoint_payload=payload, seed=0)
    log = folder / "metrics.jsonl"
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    return model, [row for row in map(json.loads, lines) if "loss" in row]
