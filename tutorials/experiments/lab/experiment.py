"""What an experiment is: a page of code that says what is measured, cell by cell, and what the numbers mean.

A page is tutorials/experiments/<name>.py. It is found by its file name; nothing is registered elsewhere.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from minigpt.runs.config import with_overrides
from minigpt.runs.errors import UserError, did_you_mean
from tutorials.tools.scripts import load_script

PAGES = Path(__file__).resolve().parents[1]

Cell = Mapping[str, Any]  # what one unit of work is told apart by, {"seed": 0, "size": "large"}
Result = Mapping[str, Any]  # what one unit of work measured; plain JSON, and no number that is not finite


@dataclass(frozen=True)
class Summary:
    """What all cells together say.

    `arrays` are what the figure draws and `labels` its words. `measured` is one sentence with the numbers and their
    intervals, made from the results. `holds` is decided by the criterion in the page's docstring; None is undecided.
    """

    arrays: Mapping[str, Any]
    labels: Mapping[str, str]
    alt: str
    measured: str
    holds: bool | None


@dataclass(frozen=True)
class Experiment:
    """One experiment. `claim` and `source` are a sentence each: what is said, and who says it where.

    settings    a frozen dataclass; its defaults are preset small
    presets     for each preset the settings that differ from the defaults
    cells       settings -> the independent units of work
    measure     (lab, settings, **cell) -> what one unit measured; runs in a process of its own with one thread
    summarise   (settings, [(cell, result), ...]) -> Summary
    draw        (figure, arrays, labels) -> None, as `tutorials.tools.figures.Drawing` has it
    size        of the figure, in inches
    """

    claim: str
    source: str
    settings: type
    presets: Mapping[str, Mapping[str, Any]]
    cells: Callable[[Any], Sequence[Cell]]
    measure: Callable[..., Result]
    summarise: Callable[[Any, Sequence[tuple[Cell, Result]]], Summary]
    draw: Callable[[Figure, dict[str, np.ndarray], Mapping[str, str]], None]
    size: tuple[float, float] = (6.4, 3.6)

    def at(self, preset: str) -> Any:
        """The settings of a preset. Raises UserError for a preset that the page does not have."""
        if preset not in self.presets:
            raise UserError(
                f"--preset: {preset!r} is not one of {', '.join(self.presets)}{did_you_mean(preset, self.presets)}"
            )
        return with_overrides(self.settings(), self.presets[preset])


@dataclass(frozen=True)
class Page:
    """A page and its experiment."""

    path: Path
    experiment: Experiment

    @property
    def name(self) -> str:
        return self.path.stem


def page_paths(folder: Path = PAGES) -> list[Path]:
    """The pages of a folder, by name."""
    return sorted(path for path in folder.glob("*.py") if not path.name.startswith("_"))


def load_page(path: Path) -> Page:
    """Imports a page. Raises UserError if it has no EXPERIMENT."""
    if path.parent == PAGES:
        module = importlib.import_module(f"tutorials.experiments.{path.stem}")
    else:
        module = load_script(path, f"experiment_{path.stem}")
    experiment = getattr(module, "EXPERIMENT", None)
    if not isinstance(experiment, Experiment):
        raise UserError(f"{path} has no EXPERIMENT = Experiment(...): it is what makes a file an experiment")
    return Page(path, experiment)


def chosen_pages(name: str, folder: Path = PAGES) -> list[Page]:
    """The page called `name`, all of them for "". Raises UserError if there is none."""
    paths = page_paths(folder)
    names = [path.stem for path in paths]
    if name and name not in names:
        raise UserError(f"--name: {name!r} is not one of {', '.join(names)}{did_you_mean(name, names)}")
    return [load_page(path) for path in paths if name in ("", path.stem)]
