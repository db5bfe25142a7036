"""Results of runs too long for a check, quoted on a page with where they come from.

tutorials/numbers/NAME.json is written by a script, never by hand:

    {"provenance": {"commit": …, "torch": …, "cpu": …, "threads": …, "seconds": …, "command": …, "seeds": […]},
     "code": ["rlhf/stage2_reward/loss.py", …], "accuracy": 0.8113, "table": "…"}

A page quotes a text as a whole block, ```text run="NAME:table", or one number inside a sentence, under a format
specification of Python: <!-- n NAME:accuracy .2f -->0.81<!-- /n -->. `update` writes both, the check compares them.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minigpt.runs.errors import UserError, did_you_mean
from tutorials.tools.page import TUTORIALS

PROVENANCE = ("commit", "torch", "cpu", "threads", "seconds", "command", "seeds")
INLINE = re.compile(r"<!-- n (?P<address>\S.*?) (?P<spec>\S+) -->(?P<shown>.*?)<!-- /n -->")


def load_numbers(name: str, folder: Path = TUTORIALS) -> dict[str, Any]:
    """numbers/<name>.json of a folder of chapters. Raises UserError if it is missing, no JSON, or has no provenance."""
    path = folder / "numbers" / f"{name}.json"
    if not path.is_file():
        known = [file.stem for file in path.parent.glob("*.json")]
        raise UserError(f"{path} does not exist{did_you_mean(name, known)}")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path} is no JSON ({error}); write it again with its script") from None
    provenance = data.get("provenance") if isinstance(data, dict) else None
    missing = [key for key in PROVENANCE if key not in (provenance or {})]
    if missing or not isinstance(data.get("code"), list):
        lacking = ", ".join([*(f"provenance.{key}" for key in missing), *([] if "code" in data else ["code"])])
        raise UserError(f"{path} does not say where its numbers come from, it lacks {lacking}; let its script say so")
    return data


def field(address: str, folder: Path = TUTORIALS) -> Any:
    """The value at NAME:key, or deeper at NAME:key.key. Raises UserError if it is not there."""
    name, colon, dotted = address.partition(":")
    if not colon:
        raise UserError(f"{address!r}: expected NAME:field, with NAME a file of {folder / 'numbers'} without .json")
    value: Any = load_numbers(name, folder)
    for key in dotted.split("."):
        if not isinstance(value, Mapping) or key not in value:
            known = value if isinstance(value, Mapping) else {}
            raise UserError(f"{address!r}: numbers/{name}.json has no field {key!r} there{did_you_mean(key, known)}")
        value = value[key]
    return value


def quoted_text(address: str, folder: Path = TUTORIALS) -> str:
    """The text of a block `text run="…"`, with one line end at its end."""
    value = field(address, folder)
    if not isinstance(value, str):
        raise UserError(f"{address!r} is no text but {type(value).__name__}; quote a number inside a sentence instead")
    return value.rstrip("\n") + "\n"


def shown_number(address: str, spec: str, folder: Path = TUTORIALS) -> str:
    """A number as a sentence shows it: 0.8113 under .2f is 0.81; a proper minus sign."""
    value = field(address, folder)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise UserError(f"{address!r} is no number but {value!r}")
    try:
        return format(value, spec).replace("-", "−")
    except ValueError:
        raise UserError(f"{address!r}: {spec!r} is no format specification for {value!r}; write one as .2f") from None


def sources(text: str, quoted: list[str]) -> list[str]:
    """The names of the files of numbers that a page quotes, in blocks (`quoted`) or inside sentences."""
    addresses = [*quoted, *(match["address"] for match in INLINE.finditer(text))]
    return list(dict.fromkeys(address.partition(":")[0] for address in addresses))


def changed_since(name: str, folder: Path = TUTORIALS) -> list[str]:
    """The files in `code` that are no longer as they were in the commit that the numbers come from.

    Raises UserError if git cannot say: a commit that nobody has is no provenance.
    """
    data = load_numbers(name, folder)
    commit = data["provenance"]["commit"]
    try:
        done = subprocess.run(
            ["git", "diff", "--name-only", commit, "--", *data["code"]],
            cwd=folder.parent,
            capture_output=True,
            text=True,
            encoding="utf-8",
        )
    except OSError as error:
        raise UserError(f"numbers/{name}.json: git cannot be asked for commit {commit}: {error.strerror}") from None
    if done.returncode:
        said = done.stderr.strip().partition("\n")[0]  # outside of a repository, git prints all its options
        raise UserError(f"numbers/{name}.json: git does not know commit {commit}: {said}")
    return done.stdout.split()
