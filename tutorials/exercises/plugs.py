"""`plug`: the real training, with the student's function in the place of the package's.

A function that passes its checks is still only a function. Here it pretrains a model, or trains a reward model, beside
the package's own: the same data, the same seeds, and so nearly the same numbers. At most a minute each.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import io
import json
import math
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

import minigpt.model
import rlhf.stage2_reward.ranking
from minigpt import attention as package
from minigpt import pretrain
from minigpt.model import GPT, GPTConfig
from minigpt.runs.config import with_overrides
from minigpt.runs.errors import UserError
from rlhf.data_formats.formats import read_rankings
from rlhf.data_formats.jsonl import BadLines
from rlhf.records import write_rankings
from rlhf.stage2_reward import stage as reward_model
from rlhf.stage2_reward.network import RewardModel
from tutorials.exercises import shuffled_pairs
from tutorials.exercises.measure import HEAD_SIZES, KEYS, random_rows
from tutorials.exercises.progress import load_work, save_measured
from tutorials.exercises.registry import ROOT, Exercise
from tutorials.models import load_or_train

Function = Callable[..., Any]
WINDOW = 16
LEVELS = 3  # of annotators who give ties
SHORT = {"documents": 1000, "steps": 150, "evaluate_every": 0, "checkpoint_every": 0}  # of preset tiny
# Checks of type C that can only pass after the measurement.
ABOUT_MEASUREMENTS = (
    "what_was_measured_is_written",
    "the_reason_is_a_sentence",
    "what_was_measured_is_in_answers",
    "the_reason_is_given",
)


def student_function(exercise: Exercise) -> Function:
    """The function itself, in this process: it is their machine, and it has passed its checks."""
    return getattr(student_module(exercise), exercise.function)


def student_module(exercise: Exercise) -> Any:
    """The student's file as a module."""
    spec = importlib.util.spec_from_file_location("student", ROOT / exercise.file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def installed(place: Any, name: str, replacement: Function) -> Iterator[None]:
    """`replacement` as `place.name` until the block ends."""
    before = getattr(place, name)
    setattr(place, name, replacement)
    try:
        yield
    finally:
        setattr(place, name, before)


@contextlib.contextmanager
def scratch_run() -> Iterator[Path]:
    """A folder for a run that nobody keeps; its messages are dropped. One thread, so that sums are the same."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            yield Path(folder)
    finally:
        torch.set_num_threads(threads)


def losses(stage_dir: Path) -> list[float]:
    """The training loss of every step."""
    lines = (stage_dir / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [row["loss"] for row in map(json.loads, lines) if "loss" in row]


def print_curves(yours: list[float], ours: list[float], unit: str, rows: int = 8) -> None:
    """Two losses side by side, each row the mean of a stretch of steps: one step alone is noise."""
    size = math.ceil(len(ours) / rows)
    print(f"{'steps':>12}{'the package':>14}{'yours':>10}      {unit}")
    for start in range(0, len(ours), size):
        theirs, mine = ours[start : start + size], yours[start : start + size]
        last = start + len(theirs)
        print(f"{start + 1:6d} –{last:4d}{sum(theirs) / len(theirs):14.3f}{sum(mine) / len(mine):10.3f}")


# ---- Chapter 00 ----------------------------------------------------------------------------------------------------


def compare_with_an_untrained_model(exercise: Exercise) -> None:
    """The guess, and what a GPT with fresh weights costs on random text."""
    guess = student_function(exercise)
    for vocab_size in (64, 1024):
        model = GPT(GPTConfig(vocab_size=vocab_size, context=64, layers=2, heads=2, channels=64), seed=0).eval()
        ids = torch.randint(0, vocab_size, (32, 64), generator=torch.Generator().manual_seed(0))  # [B,T]
        with torch.no_grad():
            loss = F.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten()).item()
        print(f"{vocab_size:5d} tokens: your guess {guess(vocab_size):.3f} nats, an untrained GPT {loss:.3f} nats")


# ---- Chapter 04 ----------------------------------------------------------------------------------------------------


def pretrain_losses() -> list[float]:
    """The losses of a short pretraining run with whatever is installed."""
    with scratch_run() as folder:
        settings = {**pretrain.PRESETS["tiny"], **SHORT, "preset": "tiny", "runs": str(folder), "device": "cpu"}
        pretrain.pretrain(with_overrides(pretrain.PretrainConfig(), settings))
        return losses(folder / "tiny" / "pretrain")


def pretrain_on(attention: Function) -> None:
    """Pretrain twice, and print both curves."""

    def fused(
        queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None, dropout: float = 0.0
    ) -> Tensor:
        # In training there is no mask but the causal one. Generation reads a cache, which has masks of its own.
        if mask is None and queries.shape == keys.shape:
            return attention(queries, keys, values)
        return package.attention_fused(queries, keys, values, mask, dropout)

    print("pretraining a small GPT twice, with the package's attention and with yours …", file=sys.stderr)
    ours = pretrain_losses()
    with installed(minigpt.model, "attention_fused", fused):
        yours = pretrain_losses()
    print_curves(yours, ours, "nats/token")


def pretrain_on_causal_attention(exercise: Exercise) -> None:
    """The student's attention, the same numbers."""
    pretrain_on(student_function(exercise))


def pretrain_on_sliding_window(exercise: Exercise) -> None:
    """The student's window: what is lost by looking back 16 tokens only."""
    window = student_function(exercise)
    pretrain_on(lambda queries, keys, values: window(queries, keys, values, WINDOW))
    print(f"with a window of {WINDOW} tokens in each of 2 layers, a token hears from at most {2 * WINDOW - 1} tokens")


def train_on_random_digits(exercise: Exercise) -> None:
    """The repaired program's own training."""
    values = student_module(exercise).train()
    print(f"the loss of the last 40 steps: {sum(values[-40:]) / 40:.3f}; a guess costs ln 10 = {math.log(10):.3f}")


class Here:
    """Stands in for a Subject: the student's test, called in this process."""

    def __init__(self, function: Function) -> None:
        self.function = function

    def __call__(self, attention: Function) -> None:
        self.function(attention)


def test_the_package(exercise: Exercise) -> None:
    """The student's test on the attentions that everything in this project runs on."""
    test = student_function(exercise)
    for attention in (package.attention_loops, package.attention_by_heads, package.attention_fused):
        test(attention)  # raises if it fails, and a failure here would be news
        print(f"your test passes minigpt.attention.{attention.__name__}")


def measure_entropy(exercise: Exercise) -> None:
    """Entropies of random weights for growing heads, with and without the division."""
    entropy = student_function(exercise)
    unit = f"nats; {KEYS} keys, so equal weights have ln {KEYS} = {math.log(KEYS):.3f}"
    print(f"{'head size D':>12}{'without':>10}{'with':>10}      {unit}")
    for size in HEAD_SIZES:
        rows = random_rows(size)
        print(f"{size:12d}{entropy(*rows, False):10.3f}{entropy(*rows, True):10.3f}")
    print("write the first and the last row into answers.toml, and why it came out like that")


# ---- Chapter 12 ----------------------------------------------------------------------------------------------------


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
        reward_model.learn_from_rankings(with_overrides(reward_model.RewardModelConfig(), settings))
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
    for ranking in read_rankings(rankings, BadLines()):
        levels = tuple(rank * LEVELS // len(ranking.ranks) for rank in ranking.ranks)
        coarse.append(dataclasses.replace(ranking, ranks=levels))
    write_rankings(path, coarse)
    return path


def train_reward_model_on_loss(exercise: Exercise) -> None:
    """The student's loss in stage 2."""
    train_reward_model_on(rlhf.stage2_reward.ranking, "kwise_loss", student_function(exercise))


def train_reward_model_on_ties(exercise: Exercise) -> None:
    """The student's loss in stage 2, on rankings with many ties: the package drops them, the student's counts them."""
    train_reward_model_on(rlhf.stage2_reward.ranking, "kwise_loss", student_function(exercise), ties=True)
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


PLUGS: dict[str, Callable[[Exercise], None]] = {
    "0.1": compare_with_an_untrained_model,
    "4.1": pretrain_on_causal_attention,
    "4.2": pretrain_on_sliding_window,
    "4.3": train_on_random_digits,
    "4.4": test_the_package,
    "4.5": measure_entropy,
    "12.1": train_reward_model_on_loss,
    "12.2": train_reward_model_on_reading,
    "12.3": measure_pairs,
    "12.4": train_reward_model_on_ties,
    "12.5": train_on_answers,
}
