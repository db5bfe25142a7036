"""README.md of the experiments: what is claimed, what was measured, and whether it holds. Generated, never typed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from minigpt.runs.files import write_text
from tutorials.experiments.lab.experiment import Page
from tutorials.experiments.lab.results import Places, load_results

INTRODUCTION = """\
# Experiments: do the claims hold at our size?

Articles and papers say what pretraining, fine-tuning and human feedback do. Each claim is measured here on models that
two cores train in minutes. A page of code says what is claimed, how it is measured, what was expected and what would
refute it, all of it committed before the first full run; and the result stays, whatever it is.

    make experiment NAME=overoptimization    one of them, ten minutes on two cores after the shared models
    make experiments                         all of them
    make experiments PRESET=tiny RUNS=/tmp   all of them in three minutes, to see them run; nothing is learned from it

A run at preset small overwrites the published results: try it on a branch of your own clone.

A new experiment is a new page in this folder. This file is written by `python -m tutorials.experiments`; what stands
below a figure comes from `discussion/`, where somebody has looked at the result and says what to make of it.
"""
NOT_RUN = "not run yet"


def render(pages: Sequence[Page], where: Places) -> str:
    """The whole file: the table, then every figure with its words."""
    lines = ["| experiment | claim | measured | verdict |", "|---|---|---|---|"]
    figures = []
    for page in pages:
        results = load_results(where.results, page.name)
        link = f"[{page.name}]({_relative(page.path, where)})"
        if results is None:
            lines.append(f"| {link} | {cell(page.experiment.claim)} | {NOT_RUN} | |")
            continue
        figure = _relative(where.figures / f"{page.name}.svg", where)
        lines.append(
            f"| {link} · [figure]({figure}) | {cell(results['claim'])} | {cell(results['measured'])} "
            f"| {results['verdict']} |"
        )
        figures.append(f"## {page.name}\n\n{results['claim']} ({results['source']})\n\n![{results['alt']}]({figure})\n")
        discussion = page.path.parent / "discussion" / f"{page.name}.md"
        if discussion.is_file():
            figures.append(discussion.read_text(encoding="utf-8"))
    return "\n".join([INTRODUCTION, *lines, "", *figures])


def write_table(pages: Sequence[Page], where: Places) -> None:
    """Writes README.md beside the results."""
    write_text(where.table, render(pages, where))


def as_text(pages: Sequence[Page], where: Places) -> str:
    """The table for a terminal."""
    parts = []
    for page in pages:
        results = load_results(where.results, page.name)
        said = NOT_RUN if results is None else f"{results['measured']}\n  {results['verdict'].upper()}"
        parts.append(f"{page.name}: {page.experiment.claim}\n  {said}")
    return "\n\n".join(parts)


def cell(text: str) -> str:
    """Text that does not break a table of Markdown."""
    return text.replace("|", "\\|").replace("\n", " ")


def _relative(path: Path, where: Places) -> str:
    return Path(os.path.relpath(path.resolve(), where.table.parent.resolve())).as_posix()
