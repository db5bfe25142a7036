"""Kill pretraining and PPO at random moments, also in the middle of a save, and give the same command again each time.

    python -m tests.faults
    python -m tests.faults --kills 100 --seed 1

After each kill the last two saved states must be whole and every row that was logged must be the uninterrupted run's;
at the end weights, metrics and samples must be, bit for bit. Prints command · kill · after step · in a save · goes on
from · equal, and exits with 1 if anything is not as it must be.
"""

from __future__ import annotations

import random
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from minigpt.runs.config import Settings, option, parse
from minigpt.runs.errors import run_main
from minigpt.runs.log.metrics import row_number
from tests.faults.commands import TrainingCommand, ppo, pretraining
from tests.faults.killing import Kill, kill_repeatedly, run_to_the_end, run_uninterrupted, trouble_at_end

WIDTHS = (18, 6, 12, 11, 15)


@dataclass(frozen=True)
class FaultsConfig(Settings):
    """The number of kills, and the seed of their moments."""

    kills: int = option(20, "kills of each command; every second one is in a save", low=2)
    seed: int = option(0, "decides the moments")


def line(*cells: object) -> str:
    return "".join(str(cell).ljust(width) for cell, width in zip(cells, (*WIDTHS, 0), strict=True))


def try_command(make: Callable[[Path], TrainingCommand], config: FaultsConfig, folder: Path) -> list[Kill]:
    """The uninterrupted run, the run that is killed, and its end as the last Kill, which is none."""
    whole = make(folder / "whole")
    command, output = whole.elsewhere(folder / "killed"), folder / "output.txt"
    reference = run_uninterrupted(whole, output)
    kills = []
    for kill in kill_repeatedly(
        command, reference, config.kills, random.Random(f"{command.module} {config.seed}"), output
    ):
        kills.append(kill)
        saving = "yes" if kill.in_save else "no"
        equal = kill.trouble or "yes"
        print(line(command.module, kill.number, kill.step, saving, kill.goes_on_from, equal), flush=True)
    run_to_the_end(command, output)
    end = Kill(0, 0, False, 0, trouble_at_end(command, reference))
    print(line(command.module, "end", row_number(reference.rows[-1]), "", "", end.trouble or "yes"), flush=True)
    return [*kills, end]


def main(argv: list[str]) -> None:
    """Prints the table and exits with 1 if a kill has cost anything."""
    config = parse(FaultsConfig, argv, description=__doc__, presets={})
    print(line("command", "kill", "after step", "in a save", "goes on from", "equal"))
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:
        trials = [pool.submit(try_command, make, config, Path(folder) / make.__name__) for make in (pretraining, ppo)]
        kills = [trial.result() for trial in trials]
    in_saves = [sum(kill.in_save for kill in found) for found in kills]
    troubles = sum(bool(kill.trouble) for found in kills for kill in found)
    if troubles or not all(in_saves):
        print(f"\n{troubles} lines show a difference; kills inside a save: {in_saves}, and each command needs one.")
        sys.exit(1)
    print(f"\n{2 * config.kills} kills, {sum(in_saves)} of them inside a save: nothing was lost, and nothing changed.")


if __name__ == "__main__":
    run_main(main)
