"""`plug` for chapter 15: stage 2 on the student's loss."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import rlhf.stage2_reward.objective
from minigpt.runs.config import with_overrides
from minigpt.runs.errors import UserError
from rlhf.bad_records import BadRecords
from rlhf.data_formats.formats import read_rankings
from rlhf.records import write_rankings
from rlhf.stage2_reward import stage as reward_model
from rlhf.stage2_reward.network import RewardModel
from tutorials.exercises import shuffled_pairs
from tutorials.exercises.plugs.common import (
    Function,
    installed,
    losses,
    print_curves,
    scratch_run,
    student_function,
    student_module,
)
from tutorials.exercises.progress import load_work, save_measured
from tutorials.exercises.registry import Exercise
from tutorials.models import load_or_train

LEVELS = 3  # of annotators who give ties


def reward_model_losses(sft: Path, rankings: Path) -> tuple[list[float], dict[str, float]]:
    """The losses of stage 2 on some rankings with whatever is installed, and its summary."""
    with scratch_run() as folder:
        run = folder / "tiny"
        shutil.copytree(sft, run / "sft")
        shutil.copy(sft.parent / "tokenizer.json", run / "tokenizer.json")
        settings = {
            **reward_model.PRESETS["tiny"],
            "steps": 40,
            "batch_size": 8,
            "evaluate_every": 0,
            "checkpoint_every": 0,
            "rankings": str(rankings),
            "preset": "tiny",
            "runs": str(folder),
            "device": "cpu",
        }
        reward_model.run(with_overrides(reward_model.RewardModelConfig(), settings))
        summary = json.loads((run / "reward_model" / "summary.json").read_text(encoding="utf-8"))
        return losses(run / "reward_model"), summary


def train_reward_model_on(place: Any, name: str, replacement: Function, ties: bool = False) -> None:
    """Stage 2 twice, and both curves. `ties`: on annotators who see three levels only."""
    print("training a reward model twice, as the package does it and with yours …", file=sys.stderr)
    sft, rankings = load_or_train("sft").stage_dir, load_or_train("reward_model").stage_dir / "rankings.jsonl"
    with tempfile.TemporaryDirectory() as folder:
        if ties:
            rankings = with_ties(rankings, Path(folder) / "rankings.jsonl")
        ours, our_summary = reward_model_losses(sft, rankings)
        with installed(place, name, replacement):
            yours, your_summary = reward_model_losses(sft, rankings)
    print_curves(yours, ours, "nats; equal scores cost ln 2 = 0.693")
    share = "held_out_gold_accuracy"
    print(f"held-out pairs in their true order: the package {our_summary[share]:.3f}, yours {your_summary[share]:.3f}")


def with_ties(rankings: Path, path: Path) -> Path:
    """The same rankings by somebody who tells good, middling and bad answers apart, and no more."""
    coarse = []
    for ranking in read_rankings(rankings, BadRecords()):
        levels = tuple(rank * LEVELS // len(ranking.ranks) for rank in ranking.ranks)
        coarse.append(dataclasses.replace(ranking, ranks=levels))
    write_rankings(path, coarse)
    return path


def train_reward_model_on_loss(exercise: Exercise) -> None:
    """The student's loss in stage 2."""
    train_reward_model_on(rlhf.stage2_reward.objective, "kwise_loss", student_function(exercise))


def train_reward_model_on_ties(exercise: Exercise) -> None:
    """The student's loss in stage 2, on rankings with many ties: the package drops them, the student's counts them."""
    train_reward_model_on(rlhf.stage2_reward.objective, "kwise_loss", student_function(exercise), ties=True)
    print("the two losses are not comparable, a tie costs at least ln 2 and only yours has them; the true order is")


def train_reward_model_on_reading(exercise: Exercise) -> None:
    """The student's way of reading the score in stage 2."""
    read = student_function(exercise)

    def forward(self: RewardModel, ids: Tensor, lengths: Tensor) -> Tensor:
        return read(self.trunk.hidden(ids), lengths, self.head.weight, self.head.bias) - self.shift

    train_reward_model_on(RewardModel, "forward", forward)


def train_on_answers(exercise: Exercise) -> None:
    """The repaired program's own training."""
    module = student_module(exercise)
    model, accuracies = module.train()
    print(f"pairs in order in the last 30 steps: {sum(accuracies[-30:]) / 30:.2f}")
    short, long = [3, 8, 5], [2, 9, 4, 4, 7, 1, 6]
    with torch.no_grad():
        alone, beside = (model(*module.collate(answers))[0].item() for answers in ([short], [short, long]))
    print(f"the score of {short}: {alone:.3f} alone, {beside:.3f} beside {long}")


def measure_pairs(exercise: Exercise) -> None:
    """Two reward models, grouped and shuffled. Raises UserError before there is a prediction."""
    answers, _ = load_work().answers()
    if not answers.get(exercise.id, {}).get("prediction"):
        raise UserError(f"write your prediction for {exercise.id} into answers.toml first; then it is a measurement")
    measured = shuffled_pairs.measure()
    save_measured(exercise, measured)
    read = student_function(exercise)
    print(f"{'':12}{'training loss':>15}{'held-out loss':>15}{'answers read':>14}      nats a pair")
    for kind in ("grouped", "shuffled"):
        count = read(measured["answer_counts"], kind == "grouped")
        print(f"{kind:12}{measured[f'{kind}_training_loss']:15.3f}{measured[f'{kind}_loss']:15.3f}{count:14d}")
    print("write the last two columns into answers.toml, and why it came out like that")


PLUGS = {
    "15.1": train_reward_model_on_loss,
    "15.2": train_reward_model_on_reading,
    "15.3": measure_pairs,
    "15.4": train_reward_model_on_ties,
    "15.5": train_on_answers,
}
