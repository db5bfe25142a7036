"""What a chapter quotes: numbers of longer runs, each file with where its numbers come from.

A file holds `provenance`, `code` (the files that decide the result: a check warns when one of them changed after the
commit) and the fields that chapters quote as `text run="NAME:field"`.
"""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from minigpt.runs.errors import UserError
from minigpt.runs.files import write_json

ROOT = Path(__file__).resolve().parents[3]
NUMBERS = ROOT / "tutorials" / "numbers"


def commit(*more: str) -> str:
    """The commit that is checked out. Raises UserError if the packages, or `more` paths (git's patterns), differ from
    it: their result would be of no commit."""
    changed = _git("status", "--porcelain", "--", "minigpt", "rlhf", *more)
    if changed:
        raise UserError(f"the code differs from the last commit ({changed.split()[-1]}): commit first, or use a clone")
    return _git("rev-parse", "HEAD")


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True, encoding="utf-8"
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise UserError(f"a result notes its commit, and git cannot be asked for one here: {error}") from None
    return done.stdout.strip()


def cpu_name() -> str:
    """What the processor calls itself."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def record(
    name: str,
    fields: Mapping[str, Any],
    *,
    command: str,
    commit: str,
    seeds: Sequence[int],
    threads: int,
    seconds: float,
    code: Sequence[str],
) -> None:
    """Writes tutorials/numbers/<name>.json, whole or not at all."""
    provenance = {
        "commit": commit,
        "torch": torch.__version__,
        "cpu": cpu_name(),
        "threads": threads,
        "seconds": round(seconds, 1),
        "command": command,
        "seeds": list(seeds),
    }
    write_json(NUMBERS / f"{name}.json", {"provenance": provenance, "code": list(code), **fields})
