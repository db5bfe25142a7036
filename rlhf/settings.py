"""The settings of a folder of runs, and which of its results are out of date; `make` calls this before a stage.

    python -m rlhf.settings --preset small --seed 1

Two seeds or two corpora are never mixed in one folder: a folder made with others is moved aside and a new one is begun.
In a folder made with the same, every stage whose result is out of date (see minigpt/runs/made_from.py) loses its
made_from.json, and so do the stages after it; the Makefile then makes what has none. Nothing else is touched: the
result of a stage stays until the new one is complete.

--demonstrations and --rankings are the files that stages 1 and 2 are about to read (`make stage2 RANKINGS=mine.jsonl`):
a result of others is out of date. Without them a result of somebody's own data stays; but if it is out of date for
another reason, the command refuses: the toy world's data would take the place of theirs, and nobody would notice.
"""

from __future__ import annotations

import importlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minigpt.pretraining_data import corpus_digest
from minigpt.runs.config import PRESET_NAMES, RunConfig, option, parse
from minigpt.runs.errors import UserError, run_main
from minigpt.runs.files import write_json
from minigpt.runs.folder import finish_replacing
from minigpt.runs.made_from import MADE_FROM, default_settings, file_digest, why_outdated

FILE = "settings.json"
OWN_DATA = {"sft": "demonstrations", "reward_model": "rankings", "dpo": "rankings"}  # part: its flag for a file


@dataclass(frozen=True)
class Part:
    """One result of the chain: where it lies in the folder of a run, the module and config that make it, and the parts
    that it is made from."""

    folder: str
    module: str
    config: str
    needs: tuple[str, ...]
    result: str


CHAIN = (
    Part("pretrain", "minigpt.pretrain", "PretrainConfig", (), "pretrain/checkpoint.pt"),
    Part("sft", "rlhf.stage1_sft.stage", "SFTConfig", ("pretrain",), "sft/checkpoint.pt"),
    Part("reward_model", "rlhf.stage2_reward.stage", "RewardModelConfig", ("sft",), "reward_model/checkpoint.pt"),
    Part("ppo", "rlhf.stage3_ppo.stage", "PPOConfig", ("pretrain", "sft", "reward_model"), "ppo/checkpoint.pt"),
    Part("dpo", "rlhf.alternatives.dpo", "DPOConfig", ("sft", "reward_model"), "dpo/checkpoint.pt"),
    Part("grpo", "rlhf.alternatives.grpo", "GRPOConfig", ("sft", "reward_model"), "grpo/checkpoint.pt"),
    Part(
        "evaluation",
        "rlhf.evaluation.evaluate",
        "EvaluateConfig",
        ("pretrain", "sft", "reward_model", "ppo"),
        "results.json",
    ),
)


@dataclass(frozen=True)
class SettingsConfig(RunConfig):
    """The run that is about to be made."""

    corpus: str | None = option(None, "what pretraining will read, see there; none is the toy world")
    demonstrations: str | None = option(None, "what stage 1 will read, see there; none is the toy world's")
    rankings: str | None = option(None, "what stage 2 and DPO will read, see there; none is simulated annotators'")

    def check_fields(self) -> None:
        for name in ("demonstrations", "rankings"):
            path = getattr(self, name)
            if path is not None and not Path(path).is_file():
                raise UserError(f"--{name}: {path} is no file; give the path of your {name}")


def wanted(config: SettingsConfig) -> dict[str, Any]:
    """All that decides a run besides its preset. Raises UserError for a corpus that pretraining would refuse, before an
    older run is moved out of its way."""
    if config.corpus is None:
        return {"seed": config.seed, "corpus": None}
    # the contents and not the path: an edited file is another corpus, a renamed one is not
    return {"seed": config.seed, "corpus": corpus_digest(config.corpus)}


def found(run_dir: Path) -> dict[str, Any] | None:
    """The settings that a folder was made with; None if it does not say."""
    try:
        settings = json.loads((run_dir / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return settings if isinstance(settings, dict) else None


def move_aside(run_dir: Path, settings: dict[str, Any] | None) -> Path:
    """Rename the folder to small.seed-0, or small.seed-0.2 if that is taken, ..."""
    name = f"{run_dir.name}.seed-{'unknown' if settings is None else settings.get('seed')}"
    target, number = run_dir.with_name(name), 1
    while target.exists():
        number += 1
        target = run_dir.with_name(f"{name}.{number}")
    try:
        run_dir.rename(target)
    except OSError as error:
        raise UserError(f"{run_dir} could not be moved aside to {target}: {error.strerror}; move it yourself") from None
    return target


def replace_folder(run_dir: Path, settings: dict[str, Any] | None, asked: dict[str, Any]) -> Path:
    """Moves a folder aside, and puts one with the new settings in its place; where the old one is now. The new one is
    written first: on a full disk the old one stays where it is."""
    begun = run_dir.with_name(f".{run_dir.name}.begun")
    try:
        write_json(begun / FILE, asked)
        target = move_aside(run_dir, settings)
        begun.rename(run_dir)
    finally:
        shutil.rmtree(begun, ignore_errors=True)
    return target


def mark_outdated(config: SettingsConfig) -> list[str]:
    """Remove made_from.json of every part that is out of date. Returns a sentence for each that had a result."""
    outdated: set[str] = set()
    sentences = []
    for part in CHAIN:
        folder = config.run_dir / part.folder
        if folder.exists():
            finish_replacing(folder)
        needed = [name for name in part.needs if name in outdated]
        why = f"{needed[0]} is made again" if needed else _why(part, folder, config)
        name = OWN_DATA.get(part.folder, "")
        given, recorded = getattr(config, name, None), own_data(folder, name)
        if given and not why and not is_made_from(folder, given):
            why = f"{name} was {recorded} and is {given}"
        if not why:
            continue
        if recorded and not given:
            raise UserError(
                f"{folder} was made from your own {name}, {recorded}, and is out of date ({why}): give "
                f"{name.upper()}={recorded} again, or delete the folder to go back to the toy world's"
            )
        outdated.add(part.folder)
        if (folder / MADE_FROM).exists():
            (folder / MADE_FROM).unlink()
            sentences.append(f"{folder} is out of date: {why}")
    return sentences


def _why(part: Part, folder: Path, config: SettingsConfig) -> str:
    module = importlib.import_module(part.module)
    config_class = getattr(module, part.config)
    asked = config_class(preset=config.preset, seed=config.seed, runs=config.runs)
    return why_outdated(folder, config.run_dir / part.result, default_settings(asked, module.PRESETS), part.module)


def own_data(folder: Path, name: str) -> str | None:
    """The file of demonstrations or rankings that a part was given; None for the toy world's, or if it has no result.
    From config.json if made_from.json is gone: a run that was to replace the result has been killed."""
    for path, key in ((folder / MADE_FROM, "settings"), (folder / "config.json", "config")):
        try:
            return json.loads(path.read_text(encoding="utf-8"))[key].get(name)
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            continue
    return None


def is_made_from(folder: Path, path: str) -> bool:
    """True if a part has read a file with these contents, whatever its name was."""
    recorded = json.loads((folder / MADE_FROM).read_text(encoding="utf-8"))["files"]
    return file_digest(Path(path)) in recorded.values()


def main(argv: list[str]) -> None:
    """Leaves a folder whose settings.json is the one asked for, and in which what is out of date is marked."""
    config = parse(SettingsConfig, argv, description=__doc__, presets={name: {} for name in PRESET_NAMES})
    run_dir, asked = config.run_dir, wanted(config)
    settings = found(run_dir)
    if settings == asked:
        for sentence in mark_outdated(config):
            print(sentence)
        return
    if run_dir.is_dir() and any(run_dir.iterdir()):
        reason = "does not say what it was made with" if settings is None else "was made with another seed or corpus"
        print(f"{run_dir} {reason}, so it is kept as {replace_folder(run_dir, settings, asked)}")
    else:
        write_json(run_dir / FILE, asked)


if __name__ == "__main__":
    run_main(main)
