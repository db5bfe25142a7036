"""The articles' claims, measured. Each experiment is a page of code in this folder.

    python -m tutorials.experiments                                  all of them
    python -m tutorials.experiments --name overoptimization          one
    python -m tutorials.experiments --preset tiny                    in seconds, to see them run
    python -m tutorials.experiments --table                          only README.md, from the results that are there

Stopped by Ctrl-C or killed, the same command goes on with the cells that are missing. Prints the table of claims. At
preset small it also writes results/, the figures and README.md; any other preset writes below --runs only.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from minigpt.runs.config import Settings, option, parse
from minigpt.runs.errors import run_main
from tutorials.experiments.lab.experiment import PAGES, chosen_pages
from tutorials.experiments.lab.results import places, run_experiment
from tutorials.experiments.lab.table import as_text, write_table


@dataclass(frozen=True)
class ExperimentsConfig(Settings):
    """Which experiments, and how."""

    name: str = option("", "only this one, the name of its page")
    preset: str = option("small", "small is the experiment; tiny shows in seconds that it runs")
    jobs: int = option(
        os.cpu_count() or 1, "cells at the same time, a thread and about 1.5 GB each; changes no result", low=1
    )
    fresh: bool = option(False, "measure and train anew what other code has made; else that is only warned about")
    table: bool = option(False, "only write the table of claims again")
    runs: str = option("runs", "folder that holds all runs; cells and shared models are in its experiments/<preset>/")


def main(argv: list[str], folder: Path = PAGES) -> None:
    """Runs the experiments of a folder and prints what they found."""
    config = parse(ExperimentsConfig, argv, description=__doc__, presets={})
    chosen, pages = chosen_pages(config.name, folder), chosen_pages("", folder)
    for page in chosen:
        page.experiment.at(config.preset)  # a mistyped preset should be known now and not in an hour
    where = places(config.preset, Path(config.runs), folder)
    for page in () if config.table else chosen:
        run_experiment(page, config.preset, where, config.jobs, config.fresh)
        write_table(pages, where)
    write_table(pages, where)
    print(as_text(chosen, where))


if __name__ == "__main__":
    run_main(main)
