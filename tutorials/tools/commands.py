"""Would the commands of a `console` block run? They are parsed by the real command lines, and nothing runs.

A flag that was renamed last week makes a tutorial wrong, and no smoke test of `--help` can see it
(natolambert/rlhf-book#523). So each `python -m …` is given to its module's own parser, which stops as soon as it has
accepted the arguments; each `make` target and variable is looked up in the Makefile.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import minigpt.runs.config
from minigpt.runs.errors import UserError, did_you_mean
from tutorials.tools.page import ROOT

PYTHONS = ("python", "python3", ".venv/bin/python")
UNCHECKED = ("git", "cd", "source")  # what a reader types around our commands
OURS = ("minigpt", "rlhf", "tutorials", "tests")


def commands(body: str) -> list[str]:
    """The commands of a `console` block. Raises UserError for a line that is neither a command nor a comment."""
    joined = re.sub(r"\\\n\s*", "", body)
    found = []
    for line in joined.splitlines():
        if line.startswith("$ "):
            found.append(line[2:].strip())
        elif line.strip() and not line.startswith("#"):
            raise UserError(
                f"{line!r} in a console block is no command: begin it with `$ `, or show output in a block `text out` "
                'or `text run="…"`, where it is compared'
            )
    return found


def check_command(command: str, root: Path = ROOT) -> None:
    """Raises UserError, saying what is stale, unless the command would be accepted."""
    words = shlex.split(command, comments=True)
    if words[0] == "make":
        _check_make(words[1:], (root / "Makefile").read_text(encoding="utf-8"))
    elif words[0] in PYTHONS and words[1:2] == ["-m"] and len(words) > 2:
        _check_module(words[2], words[3:], root)
    elif words[0] not in UNCHECKED:
        raise UserError(
            f"`{command}`: only make, python -m and {', '.join(UNCHECKED)} can be shown, as nothing else can be checked"
        )


# ---- make --------------------------------------------------------------------------------------------------------


def _check_make(words: Sequence[str], makefile: str) -> None:
    targets = set(re.findall(r"^([a-z][a-z0-9-]*):", makefile, re.MULTILINE))
    variables = set(re.findall(r"^([A-Z_]+) *[?:]?=", makefile, re.MULTILINE))
    variables |= set(re.findall(r"\$[({]([A-Z_]+)[)}]", makefile))
    for word in words:
        name, equals, _ = word.partition("=")
        kind, known = ("variable", variables) if equals else ("target", targets)
        if name not in known:
            raise UserError(f"`make {word}`: the Makefile has no {kind} {name}{did_you_mean(name, known)}")


# ---- python -m ---------------------------------------------------------------------------------------------------


class _AcceptedError(Exception):
    """The command line was parsed; the command itself must not run."""


def _check_module(name: str, arguments: list[str], root: Path) -> None:
    if name == "pytest":
        return _check_tests(arguments, root)
    if name.split(".")[0] not in OURS:
        raise UserError(f"`python -m {name}`: only our own modules and pytest can be checked")
    try:
        module = _import_command(name)
    except ModuleNotFoundError as error:
        raise UserError(f"`python -m {name}`: there is no such module ({error})") from None
    shown = shlex.join(["python", "-m", name, *arguments])
    try:
        accepts(module, arguments)
    except UserError as error:
        raise UserError(f"`{shown}` is refused: {error}") from None


def _import_command(name: str) -> ModuleType:
    """The module whose `main` is run by `python -m name`; of a package, the one that its __main__ imports it from."""
    module = importlib.import_module(name)
    if not hasattr(module, "__path__"):
        return module
    command = importlib.import_module(f"{name}.__main__")
    return sys.modules[command.main.__module__] if hasattr(command, "main") else command


def accepts(module: ModuleType, arguments: list[str]) -> None:
    """Lets the module's own command line read the arguments. Raises UserError if it refuses them.

    A module with a `parse_command` is asked directly. Every other one is expected to hand its `argv` to
    `minigpt.runs.config.parse`, which is wrapped here so that `main` goes no further. It may parse parts of `argv`
    before.
    """
    with contextlib.redirect_stdout(io.StringIO()):  # --help prints, and then exits with 0
        try:
            if hasattr(module, "parse_command"):
                module.parse_command(arguments)
                return
            if getattr(module, "parse", None) is not minigpt.runs.config.parse or not hasattr(module, "main"):
                raise UserError(
                    "it can only be checked with a `parse_command(argv)`, or a `main(argv)` that calls "
                    "minigpt.runs.config.parse"
                )
            with mock.patch.object(module, "parse", _stop_after(arguments)):
                module.main(arguments)
        except _AcceptedError:
            return
        except SystemExit as error:
            if error.code:
                raise UserError(f"it ended with exit status {error.code}") from None
            return
    raise UserError("its main never parsed the arguments as they were given, so they cannot be checked")


def _stop_after(arguments: list[str]) -> Callable[..., object]:
    def parse(cls: type, argv: Sequence[str], **options: Any) -> object:
        config = minigpt.runs.config.parse(cls, argv, **options)
        if argv is arguments:
            raise _AcceptedError
        return config

    return parse


def _check_tests(arguments: Sequence[str], root: Path) -> None:
    for argument in arguments:
        path, _, test = argument.partition("::")
        if argument.startswith("-") or "/" not in path:
            continue
        if not (root / path).exists():
            raise UserError(f"`python -m pytest {argument}`: there is no {path}")
        if test and f"def {test.split('[')[0]}(" not in (root / path).read_text(encoding="utf-8"):
            raise UserError(f"`python -m pytest {argument}`: {path} has no test {test}")
