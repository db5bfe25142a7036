"""Trained models that all experiments share, each made once by the real stage.

    base = lab.base(seed)                              # the settings of the lab's preset
    sft = lab.sft(base, epochs=1.0)                    # with a setting of its own: another model, kept beside the first
    policy = lab.ppo(lab.reward_model(sft), beta=0.0)

A model lies in runs/experiments/<preset>/models/<key>/, a whole run folder with all that it was made from. The key is
made of configuration alone: all settings of the model and of its ancestors. The code is not part of it, or every
changed comment would cost an hour of training; made.json notes the code instead, and another code is warned about.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from minigpt.model import GPT
from minigpt.runs.config import to_dict, with_overrides
from minigpt.runs.errors import UserError
from minigpt.runs.files import TEMPORARY, write_json
from minigpt.tokenizer import Tokenizer
from rlhf.alternatives import dpo
from rlhf.stage2_reward.network import RewardModel
from rlhf.stage3_ppo import configuration as ppo_config
from rlhf.stage3_ppo import stage as ppo
from rlhf.stage_io import load_policy, load_tokenizer
from tutorials import models
from tutorials.models import Stage, code_digest, quiet_and_alone

STAGES: dict[str, Stage] = {
    **models.STAGES,
    "ppo": Stage("ppo", ppo_config.PPOConfig, ppo_config.PRESETS, ppo.run, load_policy),
    "dpo": Stage("dpo", dpo.DPOConfig, dpo.PRESETS, dpo.run, load_policy),
}
# What the experiments were predicted and measured with. The stages' own settings have changed since: the temperature of
# all answers, and how preset small's base models are made.
TEMPERATURE = 1.0
BASE = {"steps": 2400, "row_start": "anywhere"}
AS_MEASURED: dict[str, Mapping[str, Any]] = {
    "reward_model": {"temperature": TEMPERATURE},
    "ppo": {"temperature": TEMPERATURE},
}
# what a preset of the lab lays over the preset of the stage; tiny: that of the chapters, quicker than the stages' own
OVER_PRESET: dict[str, Mapping[str, Mapping[str, Any]]] = {
    "tiny": {name: {**models.SETTINGS.get(name, {}), **AS_MEASURED.get(name, {})} for name in STAGES},
    "small": {"base": BASE, **AS_MEASURED},
}
FILES = ("corpus", "demonstrations", "rankings")  # settings that name a file: what is in it counts, not where it lies
DECIDE_NOTHING = ("runs", "device", "preset")  # a preset decides by what it sets, which is all there
MADE = "made.json"


@dataclass(frozen=True)
class Trained:
    """A finished stage: its model on the CPU in evaluation mode, its tokenizer, and the folders with what it left.

    `run_dir` has all stages that it was made from. `recipe`: the settings of each of them, in order. The model is read
    anew each time: whoever trains it spoils nobody else's.
    """

    model: GPT | RewardModel
    tokenizer: Tokenizer
    stage_dir: Path
    run_dir: Path
    seed: int
    recipe: tuple[Mapping[str, Any], ...]


class Lab:
    """What a cell works with: shared models, and `folder` for work of its own.

    `folder` outlives an interruption, so that a stage that is run in it goes on where it stopped; it is removed once
    the cell's result is written. `used` collects what made.json says of every model that was asked for.
    """

    def __init__(self, preset: str, root: Path, folder: Path, fresh: bool = False) -> None:
        """`root` is runs/experiments/<preset>. `fresh`: models that other code has made are made anew."""
        self.preset, self.root, self.folder, self.fresh = preset, root, folder, fresh
        self.used: dict[str, dict[str, Any]] = {}
        self.making = 0.0  # seconds of the processor that went into models made here, and not into this cell

    def base(self, seed: int, **settings: Any) -> Trained:
        """A base model."""
        return self._get("base", None, seed, settings)

    def sft(self, base: Trained, **settings: Any) -> Trained:
        """Stage 1. The seed is that of what it starts from unless `seed` is among the settings; so below."""
        return self._get("sft", base, settings.pop("seed", base.seed), settings)

    def reward_model(self, sft: Trained, **settings: Any) -> Trained:
        """Stage 2."""
        return self._get("reward_model", sft, settings.pop("seed", sft.seed), settings)

    def ppo(self, reward_model: Trained, **settings: Any) -> Trained:
        """Stage 3. `.model` is the policy."""
        return self._get("ppo", reward_model, settings.pop("seed", reward_model.seed), settings)

    def dpo(self, reward_model: Trained, **settings: Any) -> Trained:
        """DPO on the rankings of stage 2. `.model` is the policy."""
        return self._get("dpo", reward_model, settings.pop("seed", reward_model.seed), settings)

    def config(self, name: str, seed: int, runs: Path, settings: Mapping[str, Any]) -> Any:
        """The config of a stage at the lab's preset, for an experiment that runs it itself below lab.folder."""
        stage = STAGES[name]
        over = {**stage.presets[self.preset], **OVER_PRESET[self.preset].get(name, {}), **settings}
        fixed = {"preset": self.preset, "seed": seed, "runs": str(runs), "device": "cpu"}
        return with_overrides(stage.config(), over | fixed)

    # ---- The cache ----

    def _get(self, name: str, origin: Trained | None, seed: int, settings: Mapping[str, Any]) -> Trained:
        """Reads a model, or makes it: only one process at a time, while the others wait for its result."""
        config = self.config(name, seed, Path(), settings)
        recipe = (*(origin.recipe if origin else ()), {"stage": name, "settings": deciding(config)})
        key = short_digest(recipe)
        place = self.root / "models" / key
        with locked(place.with_suffix(".lock")):
            if not self._usable(place / MADE, name):
                self._make(name, origin, seed, settings, place, recipe)
        self.used[key] = json.loads((place / MADE).read_text(encoding="utf-8"))
        run_dir, stage = place / self.preset, STAGES[name]
        tokenizer, stage_dir = load_tokenizer(run_dir), run_dir / stage.folder
        return Trained(stage.load(stage_dir, tokenizer), tokenizer, stage_dir, run_dir, seed, recipe)

    def _usable(self, made: Path, name: str) -> bool:
        """Whether a model is there; one of other code is, with a warning, unless the lab is to make things afresh."""
        if not made.is_file():
            return False
        same = json.loads(made.read_text(encoding="utf-8"))["code"] == code_digest()
        if not same and not self.fresh:
            print(f"warning: {made.parent} ({name}) was made by other code; --fresh makes it anew", file=sys.stderr)
        return same or not self.fresh

    def _make(
        self, name: str, origin: Trained | None, seed: int, settings: Mapping[str, Any], place: Path, recipe: Any
    ) -> None:
        """Runs the stage beside `place`, where an interrupted one goes on, and moves the folder there when whole."""
        growing = place.with_name(f"{place.name}-{code_digest()[:8]}.growing")  # never half of it by other code
        if origin is not None:
            link_missing(origin.run_dir, growing / self.preset)
        started, spent = time.monotonic(), time.process_time()
        with quiet_and_alone():
            STAGES[name].run(self.config(name, seed, growing, settings))
        cpu_seconds = time.process_time() - spent
        self.making += cpu_seconds
        made = {
            "stage": name,
            "seed": seed,
            "recipe": recipe,
            "code": code_digest(),
            "torch": torch.__version__,
            "seconds": round(time.monotonic() - started, 1),
            "cpu_seconds": round(cpu_seconds, 1),
        }
        write_json(growing / MADE, made)
        shutil.rmtree(place, ignore_errors=True)  # of other code
        try:
            growing.rename(place)
        except PermissionError as error:  # Windows moves no folder of which a file is open
            raise UserError(f"{growing} cannot be moved ({error}): close what reads it and run again") from None
        for abandoned in place.parent.glob(f"{place.name}-*.growing"):
            shutil.rmtree(abandoned)


def deciding(config: Any) -> dict[str, Any]:
    """The settings that decide what a stage makes, nested as they are; of a file its contents."""
    kept = {key: value for key, value in to_dict(config).items() if key not in DECIDE_NOTHING}
    for key in FILES:
        if kept.get(key) is not None:
            kept[key] = hashlib.sha256(Path(kept[key]).read_bytes()).hexdigest()
    return kept


def short_digest(value: Any) -> str:
    """Twelve digits that name a value of plain JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode("utf-8")).hexdigest()[:12]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """One process at a time. The lock is that of an SQLite file: the only one in the standard library that works on
    every system and goes away with its process, however that ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=1.0, isolation_level=None)
    try:
        while True:  # seconds at a time, because a wait inside SQLite does not hear Ctrl-C
            try:
                connection.execute("BEGIN EXCLUSIVE")
                break
            except sqlite3.OperationalError as error:
                if "locked" not in str(error):  # a full disk, or one that can only be read
                    raise UserError(f"{path} could not be written: {error}") from error
        yield
    finally:
        connection.close()


def link_missing(source: Path, target: Path) -> None:
    """The files of a finished run again under `target`, without using the disk twice where it can link.

    Safe, because stages replace files and never write into those of an earlier stage.
    """
    for path in sorted(source.rglob("*")):
        copy = target / path.relative_to(source)
        if path.is_dir() or copy.exists():
            continue
        copy.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(path, copy)
        except OSError:  # a disk without links, or another disk
            half = copy.with_name(copy.name + TEMPORARY)
            shutil.copyfile(path, half)
            half.replace(copy)
