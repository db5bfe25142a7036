"""made_from.json: what a result was made from. `make` compares it with what is there now, and never looks at times.

    settings   those of the run
    defaults   those that the preset gave then; a setting that differs from them is the user's choice, and stays
    files      fingerprints of the checkpoints and data files that the stage read
    code       fingerprint of the modules that the stage is made of

So a folder of runs that is copied or unpacked is not trained anew, and a stage is made again when its preset, its data,
its code or a stage before it has changed. Comments, docstrings and layout are no part of the code.
"""

import ast
import functools
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from minigpt.runs.config import RunConfig, to_dict, with_overrides
from minigpt.runs.resume import DECIDE_NOTHING

MADE_FROM = "made_from.json"
ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("minigpt", "rlhf")
DECIDE_NO_NUMBER = "minigpt/runs/"  # files and the command line; but the seeds decide many
SEEDS = "minigpt/runs/seeds.py"
IN_NO_RESULT = (*DECIDE_NOTHING, "preset", "device", "micro_batch_size", "checkpoint_every")


def made_from(
    config: RunConfig, presets: Mapping[str, Mapping[str, Any]], module: str, files: Sequence[Path]
) -> dict[str, Any]:
    """The contents of made_from.json. module: the stage's, as "rlhf.stage1_sft.stage". files: those that it reads."""
    return {
        "settings": _settings(config),
        "defaults": _settings(default_settings(config, presets)),
        "files": {_name(path, config.run_dir): file_digest(path) for path in files},
        "code": code_digest(module),
    }


def default_settings(config: RunConfig, presets: Mapping[str, Mapping[str, Any]]) -> RunConfig:
    """The settings that the preset gives to a run, without the user's flags."""
    row = {**presets.get(config.preset, {}), "preset": config.preset, "seed": config.seed}
    return with_overrides(type(config)(), row)


def why_outdated(stage_dir: Path, result: Path, defaults: RunConfig, module: str) -> str:
    """The reason why a stage's result has to be made (again), "" if there is none. defaults: see default_settings."""
    if not result.exists():
        return "it is missing"
    try:
        recorded = json.loads((stage_dir / MADE_FROM).read_text(encoding="utf-8"))
        chosen, before = dict(_flat(recorded["settings"])), dict(_flat(recorded["defaults"]))
        files, code = dict(recorded["files"]), recorded["code"]
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return "it does not say what it was made from"
    for name, value in _flat(_settings(defaults)):
        by_preset = name in before and chosen.get(name) == before[name]
        if by_preset and value != before[name] and name.split(".")[-1] not in IN_NO_RESULT:
            return f"{name} was {before[name]} and is {value}"
    for name, digest in files.items():
        path = stage_dir.parent / name
        gone = not path.exists()
        if (gone and not Path(name).is_absolute()) or (not gone and file_digest(path) != digest):
            return f"{name} is {'missing' if gone else 'another one'}"  # the user's own file may be gone
    return "" if code == code_digest(module) else "its code has changed"


def _settings(config: RunConfig) -> dict[str, Any]:
    return {name: value for name, value in to_dict(config).items() if name != "runs"}  # the folder may move


def file_digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def code_digest(module: str) -> str:
    """SHA-256 of a module and of all that it imports from PACKAGES, directly or not, but for DECIDE_NO_NUMBER."""
    seen: set[Path] = set()
    waiting = list(_files_of(module))
    while waiting:
        path = waiting.pop()
        if path not in seen:
            seen.add(path)
            waiting += [file for name in _imports(path) for file in _files_of(name)]
    digest = hashlib.sha256()
    for path in sorted(seen):
        name = path.relative_to(ROOT).as_posix()
        if name == SEEDS or not name.startswith(DECIDE_NO_NUMBER):
            digest.update(f"{name}\n{_plain_source(path)}\n".encode())
    return digest.hexdigest()


def _files_of(module: str) -> Iterator[Path]:
    """The file of a module, or nothing for a name that is no module of PACKAGES."""
    if module.split(".")[0] in PACKAGES:
        path = ROOT / module.replace(".", "/")
        yield from (file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file())


@functools.cache
def _imports(path: Path) -> tuple[str, ...]:
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return tuple(names)


@functools.cache
def _plain_source(path: Path) -> str:
    """The source without comments, docstrings and layout."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def _flat(settings: Mapping[str, Any], group: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{group}{name}.")
        else:
            yield f"{group}{name}", value


def _name(path: Path, run_dir: Path) -> str:
    """Relative to the folder of the run where it lies there, so that the folder may move."""
    path, run_dir = path.resolve(), run_dir.resolve()
    return path.relative_to(run_dir).as_posix() if path.is_relative_to(run_dir) else str(path)
