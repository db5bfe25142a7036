"""Exercises: check your function, take a hint, see where you stand, train a model on what you wrote, hand in.

    python -m tutorials.exercises status              # all exercises, and what to do next
    python -m tutorials.exercises check 4.1           # is my function right? without a number: all of them
    python -m tutorials.exercises hint 4.1            # the next of three hints
    python -m tutorials.exercises watch               # check what I save, when I save it
    python -m tutorials.exercises plug 4.1            # once it is green: the real training on my function
    python -m tutorials.exercises submit --name "Ada Lovelace"

`python -m tutorials.exercises check --help` shows what a command can be told besides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from minigpt.runs.config import Settings, option, parse
from minigpt.runs.errors import UserError, did_you_mean, run_main
from tutorials.exercises import commands
from tutorials.exercises.registry import Exercise, find_exercise, load_register
from tutorials.exercises.work import PUBLIC_SEED


@dataclass(frozen=True)
class CheckConfig(Settings):
    """On which numbers a function is tried."""

    seed: str = option(PUBLIC_SEED, help="any text; another one draws other numbers, as your teacher does")
    seconds: float = option(10.0, help="how long a function may take for one answer", above=0)


@dataclass(frozen=True)
class SubmitConfig(Settings):
    """The student's name."""

    name: str = option("", help="your name, in letters, digits, blanks, hyphens and dots")


@dataclass(frozen=True)
class NoConfig(Settings):
    """Nothing to choose."""


@dataclass(frozen=True)
class Command:
    """A parsed command line: the command, the exercise if one was named, and its options."""

    name: str
    exercise: Exercise | None
    config: Any


# command: (its options, whether an exercise must, may or cannot be named)
COMMANDS = {
    "status": (NoConfig, "no"),
    "check": (CheckConfig, "may"),
    "hint": (NoConfig, "must"),
    "watch": (CheckConfig, "no"),
    "plug": (NoConfig, "must"),
    "submit": (SubmitConfig, "no"),
}


def parse_command(argv: Sequence[str]) -> Command:
    """The command line as a Command; nothing runs. Raises UserError for whatever was mistyped."""
    if not argv or argv[0] not in COMMANDS:
        typed = f"there is no command {argv[0]!r}{did_you_mean(argv[0], COMMANDS)}" if argv else "a command is missing"
        raise UserError(
            f"{typed}; choose from {', '.join(COMMANDS)}, for instance `python -m tutorials.exercises status`"
        )
    name, rest = argv[0], list(argv[1:])
    config_type, named = COMMANDS[name]
    exercise = None
    if rest and not rest[0].startswith("-") and named != "no":
        exercise = find_exercise(load_register(), rest.pop(0))
    config = parse(config_type, rest, description=__doc__, presets={})
    if named == "must" and exercise is None:
        raise UserError(f"{name}: of which exercise? For instance `python -m tutorials.exercises {name} 4.1`")
    return Command(name, exercise, config)


def main(argv: list[str]) -> None:
    """Runs the command."""
    if argv[:1] in ([], ["--help"], ["-h"]):
        print(__doc__.strip())
        return
    command = parse_command(argv)
    run = {
        "status": lambda: commands.status(),
        "check": lambda: commands.check(command.exercise, command.config.seed, command.config.seconds),
        "hint": lambda: commands.hint(command.exercise),
        "watch": lambda: commands.watch(command.config.seed, command.config.seconds),
        "plug": lambda: commands.plug(command.exercise),
        "submit": lambda: commands.submit(command.config.name),
    }
    run[command.name]()


if __name__ == "__main__":
    run_main(main)
