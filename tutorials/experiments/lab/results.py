"""What an experiment leaves: results/<name>.json with everything, the figure, and the table.

A full run, preset small, writes them into tutorials/. Every other preset writes below runs/experiments/<preset>/, so
that a quick look never takes the place of a result.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minigpt.runs.config import to_dict
from minigpt.runs.errors import UserError
from minigpt.runs.files import write_json
from rlhf.evaluation.evaluate import versions
from tutorials.experiments.lab.experiment import PAGES, Page
from tutorials.experiments.lab.runner import measured_cells
from tutorials.numbers.make.record import commit, cpu_name
from tutorials.tools.figures import Drawing, content, draw

CODE = "tutorials/experiments/*.py"  # git's pattern, lab/ too: what decides a result besides the packages
PUBLISHED = "small"  # the preset whose results are the experiment's
VERDICT = {True: "holds", False: "does not hold at this size", None: "undecided at this size"}


@dataclass(frozen=True)
class Places:
    """Where things lie: cells and models, results, figures and the table."""

    root: Path
    results: Path
    figures: Path
    table: Path


def places(preset: str, runs: Path, pages: Path = PAGES) -> Places:
    """The places of a preset, for pages in the folder `pages`."""
    root = runs / "experiments" / preset
    if preset == PUBLISHED:
        return Places(root, pages / "results", pages.parent / "figures", pages / "README.md")
    return Places(root, root / "results", root / "figures", root / "README.md")


def run_experiment(page: Page, preset: str, where: Places, jobs: int, fresh: bool = False) -> dict[str, Any]:
    """Measures what is missing, and writes results and figure. Returns what results/<name>.json holds."""
    experiment, settings = page.experiment, page.experiment.at(preset)
    made_from = commit(CODE) if preset == PUBLISHED else "a preset that is not published"
    started = time.monotonic()
    records = measured_cells(page, preset, where.root, jobs, fresh, made_from)
    summary = experiment.summarise(settings, [(record["cell"], record["result"]) for record in records])
    drawing = Drawing(summary.arrays, summary.labels, summary.alt, experiment.draw, experiment.size)
    results = {
        "experiment": page.name,
        "claim": experiment.claim,
        "source": experiment.source,
        "measured": summary.measured,
        "holds": summary.holds,
        "verdict": VERDICT[summary.holds],
        **{key: value for key, value in content(page.name, drawing).items() if key != "figure"},
        "preset": preset,
        "settings": to_dict(settings),
        "seeds": sorted({record["cell"]["seed"] for record in records if "seed" in record["cell"]}),
        "costs": costs(records, time.monotonic() - started, jobs),
        "versions": {**versions(), "cpu": cpu_name()},
        "commit": made_from,
        "command": f"python -m tutorials.experiments --name {page.name} --preset {preset}",
        "commits_of_cells": sorted({record.get("commit", "not noted") for record in records}),
        "code": sorted({record["code"] for record in records}),
        "cells": records,
    }
    draw(page.name, drawing, where.figures)
    write_json(where.results / f"{page.name}.json", results)
    return results


def costs(records: Sequence[Mapping[str, Any]], wall: float, jobs: int) -> dict[str, Any]:
    """Seconds of the processor: of the cells, and apart from them of the models they asked for, by stage, most of which
    other experiments use too; a model that was trained elsewhere may not know its own, which is null. Of the wall
    clock: cell by cell, with the models that were made or waited for in them, and that of this session, which may have
    found cells or models done."""
    models = {key: made for record in records for key, made in record["models"].items()}
    by_stage: dict[str, float] = {}
    for made in models.values():
        by_stage[made["stage"]] = round(by_stage.get(made["stage"], 0.0) + (made["cpu_seconds"] or 0.0), 1)
    return {
        "cells": len(records),
        "cells_cpu_seconds": round(sum(record["cpu_seconds"] for record in records), 1),
        "cells_wall_seconds": round(sum(record["seconds"] for record in records), 1),
        "models": len(models),
        "models_cpu_seconds": by_stage,
        "models_of_unknown_cost": sum(made["cpu_seconds"] is None for made in models.values()),
        "wall_seconds_of_last_session": round(wall, 1),
        "jobs": jobs,
    }


def load_results(folder: Path, name: str) -> dict[str, Any] | None:
    """results/<name>.json, None if the experiment has not been run. Raises UserError if it is damaged."""
    path = folder / f"{name}.json"
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path} is no JSON ({error}); delete it and run the experiment again") from None
