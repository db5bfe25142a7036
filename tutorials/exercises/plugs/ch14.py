"""`plug` for chapter 14: stage 1 on the student's loss, and on every answer of a conversation."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

import rlhf.stage1_sft.objective
from minigpt.data import IGNORE, pad_sequences
from minigpt.model import GPT, GPTConfig
from minigpt.runs.config import with_overrides
from rlhf.stage1_sft import stage as sft
from rlhf.stage1_sft.examples import Batch, Example
from rlhf.stage1_sft.objective import DemonstrationObjective
from tutorials.exercises.measure import SHORT_AND_LONG
from tutorials.exercises.plugs.common import (
    Function,
    installed,
    losses,
    print_curves,
    scratch_run,
    student_function,
    student_module,
)
from tutorials.exercises.registry import Exercise
from tutorials.models import Trained, load_or_train, quiet_and_alone

SHORT = {"epochs": 3.0, "evaluate_every": 0, "checkpoint_every": 0}


def stage1_losses(base: Trained) -> list[float]:
    """The losses of stage 1 of preset tiny with whatever is installed."""
    with scratch_run() as folder:
        run = folder / "tiny"
        shutil.copytree(base.stage_dir, run / "pretrain")
        shutil.copy(base.stage_dir.parent / "tokenizer.json", run / "tokenizer.json")
        settings = {**sft.PRESETS["tiny"], **SHORT, "preset": "tiny", "runs": str(folder), "device": "cpu"}
        sft.run(with_overrides(sft.SFTConfig(), settings))
        return losses(run / "sft")


def train_stage1_with(place: Any, name: str, replacement: Function) -> None:
    """Stage 1 twice, and both curves."""
    print("stage 1 twice, as the package does it and with yours …", file=sys.stderr)
    base = load_or_train("base")
    ours = stage1_losses(base)
    with installed(place, name, replacement):
        yours = stage1_losses(base)
    print_curves(yours, ours, "nats/token")


# ---- 14.1 ----------------------------------------------------------------------------------------------------------


def as_loss_sum(loss: Function) -> Function:
    """`loss` in the form in which `DemonstrationObjective` computes it: a sum over response tokens, and metrics."""

    def loss_sum(self: DemonstrationObjective, model: nn.Module, micro: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        supervised = micro.targets != IGNORE  # [B,T]
        places = torch.arange(supervised.shape[1])  # [T]
        first = torch.where(supervised, places, len(places)).amin(dim=1)  # [B], predicts the first response token
        last = torch.where(supervised, places, -1).amax(dim=1)  # [B], predicts the end token
        final = torch.where(supervised[:, -1:], micro.targets[:, -1:], self.tokenizer.pad_id)  # [B,1]
        ids = torch.cat([micro.inputs, final], dim=1)  # [B,T+1]
        logits = model(micro.inputs)  # [B,T,V]
        right = (logits.argmax(-1) == micro.targets).sum()
        logits = torch.cat([logits, logits[:, -1:].detach()], dim=1)  # [B,T+1,V]; after the last token nothing follows
        return loss(logits, ids, first + 1, last + 2) * int(supervised.sum()), {"mean_token_accuracy": right}

    return loss_sum


def train_on_sft_loss(exercise: Exercise) -> None:
    """The student's loss in stage 1."""
    train_stage1_with(DemonstrationObjective, "loss_sum", as_loss_sum(student_function(exercise)))


# ---- 14.2 ----------------------------------------------------------------------------------------------------------


def as_collate(answers_as_targets: Function, assistant_id: int, end_id: int) -> Function:
    """`answers_as_targets` in the form of the package's `collate`."""

    def collate(examples: Sequence[Example], pad_id: int) -> Batch:
        ids, lengths = pad_sequences([example.prompt + example.response for example in examples], pad_id)
        return Batch(ids[:, :-1], answers_as_targets(ids, lengths, assistant_id, end_id))

    return collate


def train_on_every_answer(exercise: Exercise) -> None:
    """The student's targets in stage 1: of conversations with two answers, both are learned."""
    tokenizer = load_or_train("base").tokenizer
    collate = as_collate(student_function(exercise), tokenizer.assistant_id, tokenizer.end_id)
    train_stage1_with(rlhf.stage1_sft.objective, "collate", collate)
    print("one prompt in ten has an answer before its last question; yours learns that one as well")


# ---- 14.3 ----------------------------------------------------------------------------------------------------------

ASKED, ENDED = 0, 1  # token ids of the prompt and of the end; each answer has words of its own


def share_of_short_answer(kind: str, steps: int = 200) -> float:
    """A small GPT learns two answers to one prompt, a short one and a long one; how often it then gives the short one.

    kind: the loss is the mean over all "tokens", or over the "answers" of each one's mean.
    """
    lengths = [int(length) for length in SHORT_AND_LONG[0]]
    words, rows = 2, []
    for length in lengths:
        rows.append([ASKED, *range(words, words + length - 1), ENDED])
        words += length - 1
    ids, sizes = pad_sequences(rows, ENDED)  # [B,T], [B]
    learned = torch.arange(1, ids.shape[1]) < sizes[:, None]  # [B,T-1]
    each = learned / (learned.sum() if kind == "tokens" else len(rows) * learned.sum(dim=1, keepdim=True))  # [B,T-1]
    model = GPT(GPTConfig(vocab_size=words, context=32, layers=1, heads=2, channels=32), seed=0)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(steps):
        logprobs = model(ids[:, :-1]).log_softmax(-1).gather(2, ids[:, 1:, None]).squeeze(2)  # [B,T-1]
        optimizer.zero_grad()
        (-(each * logprobs).sum()).backward()
        optimizer.step()
    with torch.no_grad():
        return float(model(torch.tensor([[ASKED]]))[0, 0].softmax(0)[rows[0][1]])


def measure_imitation(exercise: Exercise) -> None:
    """The share of the short answer, by the student's function and of a model that has learned."""
    imitated = student_function(exercise)
    lengths, counts = (torch.tensor(row) for row in SHORT_AND_LONG)
    print(f"{'the mean over':16}{'your function':>14}{'a model':>10}      how often the short answer is given")
    with quiet_and_alone():
        shares = {kind: share_of_short_answer(kind) for kind in ("tokens", "answers")}
    for kind, share in shares.items():
        print(f"{kind:16}{float(imitated(lengths, counts, kind)[0]):14.3f}{share:10.3f}")
    print("write the column `your function` into answers.toml, and why it came out like that")


# ---- 14.4 ----------------------------------------------------------------------------------------------------------


def count_down(exercise: Exercise) -> None:
    """The repaired program's own training."""
    module = student_module(exercise)
    model, _ = module.train()
    for number in (3, 6):
        print(f"count down from {number}: {' '.join(map(str, module.answer(model, number)))}")


PLUGS = {
    "14.1": train_on_sft_loss,
    "14.2": train_on_every_answer,
    "14.3": measure_imitation,
    "14.4": count_down,
}
