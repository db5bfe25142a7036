"""Small trained models for chapters and exercises, each made by the real stages in seconds and kept for the next time.

    base = load_or_train("base")                  # .model is a GPT, .tokenizer, .stage_dir has metrics.jsonl and more
    reward = load_or_train("reward_model")        # .model is a RewardModel; what it needs is trained first

What is made lies in runs/tutorials/models/, in a folder named after everything that decides it: the settings below and
the code of both packages. So a change of the code is never answered with a model of the old one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from minigpt import pretrain
from minigpt.model import GPT
from minigpt.runs.config import with_overrides
from minigpt.runs.errors import did_you_mean
from minigpt.tokenizer import Tokenizer
from rlhf.stage1_sft import stage as sft
from rlhf.stage2_reward import stage as reward_model
from rlhf.stage2_reward.network import RewardModel, load_reward_model
from rlhf.stage_io import load_policy, load_tokenizer

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / "runs" / "tutorials" / "models"
PRESET = "tiny"

# Less than preset tiny where tiny takes more than a chapter may: all three together about 15 s on one core. Many small
# steps with high learning rates, as in preset small: 0.57 bits per byte in 8 s, where tiny reaches 0.70 in 13 s.
SETTINGS: dict[str, dict[str, Any]] = {
    "base": {
        "documents": 3000,
        "steps": 500,
        "batch_size": 4,
        "learning_rate": 0.018,
        "matrix_learning_rate": 0.03,
        "final_lr_fraction": 0.05,
        "evaluate_every": 0,
        "checkpoint_every": 0,
    },
    "sft": {},
    "reward_model": {"prompts": 160, "steps": 40, "batch_size": 8, "evaluate_every": 0, "checkpoint_every": 0},
}


@dataclass(frozen=True)
class Trained:
    """A finished stage: its model on the CPU in evaluation mode, its tokenizer, and the folder with what it left."""

    model: GPT | RewardModel
    tokenizer: Tokenizer
    stage_dir: Path


@dataclass(frozen=True)
class Stage:
    """A stage that makes a model: the command's module, its folder, its work, and the reader of its checkpoint."""

    folder: str
    config: type
    presets: Mapping[str, Mapping[str, Any]]
    run: Callable[[Any], None]
    load: Callable[[Path, Tokenizer], GPT | RewardModel]


# in the order in which each builds on the one before
STAGES = {
    "base": Stage("pretrain", pretrain.PretrainConfig, pretrain.PRESETS, pretrain.run, load_policy),
    "sft": Stage("sft", sft.SFTConfig, sft.PRESETS, sft.run, load_policy),
    "reward_model": Stage(
        "reward_model",
        reward_model.RewardModelConfig,
        reward_model.PRESETS,
        reward_model.run,
        load_reward_model,
    ),
}


def load_or_train(name: str, cache: Path = CACHE, settings: Mapping[str, Mapping[str, Any]] = SETTINGS) -> Trained:
    """The model `name` ("base", "sft" or "reward_model"), trained now unless it is there already.

    Prints progress to stderr and nothing to stdout, and leaves torch's global random state as it was. `settings` are
    laid over preset tiny. Raises ValueError for another name.
    """
    if name not in STAGES:
        raise ValueError(f"there is no model {name!r}{did_you_mean(name, STAGES)}; choose from {', '.join(STAGES)}")
    run_dir = cache / _fingerprint(settings) / PRESET
    names = list(STAGES)
    for needed in names[: names.index(name) + 1]:
        if not (run_dir / STAGES[needed].folder).is_dir():
            _train(needed, run_dir, settings[needed])
    tokenizer = load_tokenizer(run_dir)
    stage_dir = run_dir / STAGES[name].folder
    return Trained(STAGES[name].load(stage_dir, tokenizer), tokenizer, stage_dir)


def _fingerprint(settings: Mapping[str, Mapping[str, Any]]) -> str:
    """A short name for all that decides the weights: settings, the code of both packages, and torch's version."""
    decides = [settings, torch.__version__, code_digest()]
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode("utf-8")).hexdigest()[:12]


def code_digest() -> str:
    """SHA-256 of the code of both packages."""
    digest = hashlib.sha256()
    for package in ("minigpt", "rlhf"):
        for path in sorted((ROOT / package).rglob("*.py")):
            digest.update(path.relative_to(ROOT).as_posix().encode("utf-8") + b"\n" + path.read_bytes())
    return digest.hexdigest()


def _train(name: str, run_dir: Path, settings: Mapping[str, Any]) -> None:
    """Runs one stage in a folder of its own and moves the result to `run_dir` whole.

    Two chapters may train the same model at the same time: both get the same weights, and the second one's are thrown
    away. A stage that is stopped half-way leaves nothing.
    """
    stage, cache = STAGES[name], run_dir.parents[1]
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix="training-") as scratch:
        if run_dir.is_dir():
            shutil.copytree(run_dir, Path(scratch) / PRESET)
        config = with_overrides(
            stage.config(), {**stage.presets[PRESET], **settings, "preset": PRESET, "runs": scratch, "device": "cpu"}
        )
        with quiet_and_alone():
            stage.run(config)
        run_dir.mkdir(parents=True, exist_ok=True)
        for made in ("tokenizer.json", stage.folder):
            if not (run_dir / made).exists():
                # Windows and Unix refuse to rename onto a folder that another process has just filled
                with contextlib.suppress(FileExistsError, OSError):
                    (Path(scratch) / PRESET / made).rename(run_dir / made)


@contextlib.contextmanager
def quiet_and_alone() -> Iterator[None]:
    """One thread, so that a laptop and the check compute the same sums; what stages print goes to stderr."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]), contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        torch.set_num_threads(threads)
