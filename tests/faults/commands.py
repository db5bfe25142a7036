"""The training commands that are killed: real ones, over models so small that a step takes milliseconds.

They save after every few steps, so that many kills fall into a save; the models are as large as it takes to make a save
last some milliseconds as well.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

from minigpt.model import GPT, GPTConfig
from minigpt.runs.checkpoint import load_checkpoint, save_checkpoint
from minigpt.runs.config import from_dict
from minigpt.runs.errors import UserError
from rlhf.stage2_reward.network import RewardModel

ROOT = Path(__file__).resolve().parents[2]
PRESET = "tiny"
CORPUS = "\n<|endoftext|>\n".join(f"The cow number {n} eats grass. What does cow {n} eat? Grass." for n in range(300))


SIZE = ("--layers=2", "--channels=64", "--heads=2", "--vocab-size=400")


@dataclass(frozen=True)
class TrainingCommand:
    """A training command, the folder of its runs, and after how many steps it saves."""

    module: str
    runs: Path
    flags: tuple[str, ...]
    every: int

    @property
    def stage(self) -> str:
        """The name of the stage's folder."""
        return "ppo" if self.module == "rlhf.stage3_ppo" else self.module.split(".")[1]

    @property
    def stage_dir(self) -> Path:
        return self.runs / PRESET / self.stage

    @property
    def arguments(self) -> list[str]:
        where = ["--preset", PRESET, "--runs", str(self.runs), "--device", "cpu"]
        return [*where, *self.flags, f"--checkpoint-every={self.every}"]

    def start(self, output: Path) -> subprocess.Popen[bytes]:
        """Start it, or start it again. What it says goes to `output` at once (-u): a killed process flushes nothing."""
        arguments = [sys.executable, "-u", "-m", self.module, *self.arguments]
        with output.open("wb") as file:
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            return subprocess.Popen(arguments, cwd=ROOT, env=environment, stdout=file, stderr=subprocess.STDOUT)

    def clear(self) -> None:
        """Remove what the command has left, to begin again."""
        shutil.rmtree(self.stage_dir)

    def elsewhere(self, runs: Path) -> TrainingCommand:
        """The same command in another folder, with what it starts from."""
        shutil.copytree(self.runs, runs, ignore=shutil.ignore_patterns(self.stage), dirs_exist_ok=True)
        return TrainingCommand(self.module, runs, self.flags, self.every)


def pretraining(runs: Path, steps: int = 300) -> TrainingCommand:
    """Pretraining with dropout and samples, which draw random numbers, on a corpus that is tokenized in no time."""
    runs.mkdir(parents=True)
    corpus = runs / "corpus.txt"
    corpus.write_text(CORPUS, encoding="utf-8")
    length = ("--context=64", f"--steps={steps}", "--batch-size=4", "--evaluate-every=25")
    flags = ("--corpus", str(corpus), *SIZE, "--dropout=0.1", *length)
    return TrainingCommand("minigpt.pretrain", runs, flags, every=4)


def ppo(runs: Path) -> TrainingCommand:
    """PPO with all that has a state: an adaptive KL controller, and pretraining text of which it reads on."""
    runs.mkdir(parents=True)
    base = TrainingCommand("minigpt.pretrain", runs, ("--documents=200", *SIZE, "--context=128", "--steps=2"), every=4)
    output = runs / "base.txt"
    if base.start(output).wait() != 0:
        raise UserError(f"pretraining failed: {output.read_text(encoding='utf-8')}")
    pretrained = load_checkpoint(base.stage_dir / "checkpoint.pt", kind="gpt")
    save_checkpoint(runs / PRESET / "sft" / "checkpoint.pt", pretrained)
    model = GPT(from_dict(GPTConfig, pretrained["config"], "checkpoint.pt"))
    model.load_state_dict(pretrained["model"])
    scorer = RewardModel(model, torch.Generator().manual_seed(0))
    payload = {**pretrained, "kind": "reward_model", "model": scorer.state_dict()}
    save_checkpoint(runs / PRESET / "reward_model" / "checkpoint.pt", payload)
    rollouts = ("--iterations=50", "--prompts=64", "--batch-size=16", "--minibatch-size=8", "--max-new-tokens=8")
    states = ("--critic-warmup=2", "--kl-controller=adaptive", "--kl-horizon=500", "--ptx-coefficient=0.1")
    flags = (*rollouts, *states, "--ptx-batch-size=2", "--samples-every=7")
    return TrainingCommand("rlhf.stage3_ppo", runs, flags, every=2)
