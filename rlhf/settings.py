"""What a folder of runs was made with, so that two seeds or two corpora are never mixed in one.

    python -m rlhf.settings --preset small --seed 1

The Makefile calls it before the first stage. A folder made with another seed or corpus is moved aside and a new one is
begun; in a folder made with the same, nothing is touched, and neither is the time of its settings.json, from which make
sees that nothing has changed.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minigpt.data import read_corpus
from minigpt.pretrain import PRESETS
from minigpt.runs.checkpoint import write_json
from minigpt.runs.config import RunConfig, option, parse
from minigpt.runs.errors import UserError, run_main

FILE = "settings.json"


@dataclass(frozen=True)
class SettingsConfig(RunConfig):
    """The run that is about to be made."""

    corpus: str | None = option(None, "the text file that pretraining will read; none is the toy world")


def wanted(config: SettingsConfig) -> dict[str, Any]:
    """What decides a run besides its preset. Raises UserError for a corpus that pretraining would refuse: that must
    come to light before an older run is moved out of its way."""
    if config.corpus is None:
        return {"seed": config.seed, "corpus": None}
    read_corpus(config.corpus)
    # the contents and not the path: an edited file is another corpus, a renamed one is not
    return {"seed": config.seed, "corpus": hashlib.sha256(Path(config.corpus).read_bytes()).hexdigest()}


def found(run_dir: Path) -> dict[str, Any] | None:
    """What the folder says it was made with; None if it does not say."""
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


def main(argv: list[str]) -> None:
    """Leaves a folder whose settings.json is the one asked for."""
    config = parse(SettingsConfig, argv, description=__doc__, presets={name: {} for name in PRESETS})
    run_dir, asked = config.run_dir, wanted(config)
    settings = found(run_dir)
    if settings == asked:
        return
    if run_dir.is_dir() and any(run_dir.iterdir()):
        reason = "does not say what it was made with" if settings is None else "was made with another seed or corpus"
        print(f"{run_dir} {reason}, so it is kept as {move_aside(run_dir, settings)}")
    write_json(run_dir / FILE, asked)


if __name__ == "__main__":
    run_main(main)
