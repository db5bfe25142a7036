"""The rules for the pages that can be checked without running a block.

    python -m tutorials.tools.lint                  every chapter, README.md and TEACHING.md
    python -m tutorials.tools.lint --only 04

The rules are in anatomy.py (a chapter as a whole) and markdown.py (what a code host would break). Besides, whatever
`update` writes must be up to date. Prints file:line: what is wrong and what to do, and then exits with 1.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minigpt.runs.config import Settings, option, parse
from minigpt.runs.errors import UserError, run_main
from tutorials.tools import anatomy, markdown
from tutorials.tools.anatomy import Finding
from tutorials.tools.commands import commands
from tutorials.tools.evaluators import evaluate
from tutorials.tools.numbers import changed_since, sources
from tutorials.tools.page import TUTORIALS, Page, chapters
from tutorials.tools.tables import entries, load_exercises
from tutorials.tools.update import without_running

OTHER_PAGES = ("README.md", "TEACHING.md")


def fences_mean_something(page: Page) -> Iterator[Finding]:
    """Every info string is one that the tools know, and console blocks hold commands only."""
    for fence in page.fences:
        try:
            if fence.kind == "console":
                commands(fence.body)
        except (ValueError, UserError) as error:
            yield fence.line, str(error)


def blocks_hold(page: Page) -> Iterator[Finding]:
    """The commands, excerpts and quoted results of a page that is no chapter; those of a chapter are tests."""
    for outcome in evaluate(page.text, page.path, only=("console", "excerpt", "quoted")):
        if outcome.problem:
            yield outcome.parsed.line, outcome.problem


def up_to_date(page: Page, folder: Path) -> Iterator[Finding]:
    """Generated parts are as they would be generated now."""
    try:
        wanted = without_running(page, folder)
    except UserError as error:
        yield 1, str(error)
        return
    old, new = page.text.split("\n"), wanted.split("\n")
    for number, (here, there) in enumerate(zip(old, new, strict=False), start=1):
        if here != there:
            yield number, f"`make tutorials-update` would write {there!r} here"
            return
    if len(old) != len(new):
        yield min(len(old), len(new)), f"`make tutorials-update` would make {len(new)} lines of these {len(old)}"


def lint_page(page: Page, folder: Path = TUTORIALS) -> list[str]:
    """All that is wrong with a page, as file:line: message, in the order of its lines."""
    is_chapter = page.path.name not in OTHER_PAGES
    findings: list[Finding] = []
    try:
        findings += fences_mean_something(page)
        if not findings:  # the rules below ask fences for their kind
            findings += _markdown_rules(page)
            if is_chapter:
                ids = [entry.id for entry in entries(folder)]
                findings += _chapter_rules(page, ids, load_exercises(folder))
            else:
                findings += blocks_hold(page)
            if page.path.name != "TEACHING.md":
                findings += up_to_date(page, folder)
    except UserError as error:
        return [str(error)]
    return [f"{page.where}:{line}: {message}" for line, message in sorted(set(findings))]


def _markdown_rules(page: Page) -> Iterator[Finding]:
    rules = (
        markdown.mathematics,
        markdown.links,
        markdown.pictures,
        markdown.folded_answers,
        markdown.comments,
        markdown.shape_letters,
    )
    for rule in rules:
        yield from rule(page)


def _chapter_rules(page: Page, ids: Sequence[str], exercises: Sequence[dict[str, Any]]) -> Iterator[Finding]:
    yield from anatomy.meta_is_true(page, ids, exercises)
    for rule in (anatomy.order_of_sections, anatomy.content_of_sections, anatomy.limits, anatomy.equations_are_checked):
        yield from rule(page)


def unused(pages: Sequence[Page], folder: Path) -> list[str]:
    """Figures and files of numbers that no page shows. Figures of experiments are shown by their table."""
    text, quoted = "\n".join(page.text for page in pages), quoted_sources(pages)
    table = folder / "experiments" / "README.md"
    if table.is_file():
        text += table.read_text(encoding="utf-8").replace("(../figures/", "(figures/")
    figures = sorted((folder / "figures").glob("*.svg"))
    numbers = sorted((folder / "numbers").glob("*.json"))
    return [
        *(f"{path.name}: no page shows this figure" for path in figures if f"(figures/{path.name})" not in text),
        *(f"{path.name}: no page quotes these numbers" for path in numbers if path.stem not in quoted),
    ]


def quoted_sources(pages: Sequence[Page]) -> list[str]:
    """The files of numbers that the pages quote."""
    names: list[str] = []
    for page in pages:
        names += sources(page.text, [fence.attributes["run"] for fence in page.fences_of("quoted")])
    return list(dict.fromkeys(names))


def outdated(pages: Sequence[Page], folder: Path) -> list[str]:
    """Warnings: quoted results whose code has changed since. A long run is not repeated for every changed line."""
    warnings = []
    for name in quoted_sources(pages):
        try:
            changed = changed_since(name, folder)
        except UserError as error:
            warnings.append(str(error))
            continue
        if changed:
            warnings.append(f"numbers/{name}.json is older than {', '.join(changed)}: run its script again one day")
    return warnings


@dataclass(frozen=True)
class LintConfig(Settings):
    """The pages to check."""

    only: str = option("", "only chapters whose file name begins with this, as in 04")


def main(argv: list[str]) -> None:
    """Prints what is wrong."""
    config = parse(LintConfig, argv, description=__doc__, presets={})
    pages = list(chapters(TUTORIALS, config.only))
    others = [] if config.only else [Page.read(TUTORIALS / name) for name in OTHER_PAGES]
    problems = [problem for page in [*pages, *others] for problem in lint_page(page)]
    if not problems and not config.only:
        problems = unused([*pages, *others], TUTORIALS)
    if not problems:
        for warning in outdated(pages, TUTORIALS):
            print(f"warning: {warning}")
    print("\n".join(problems) if problems else f"{len(pages) + len(others)} pages are as they should be.")
    if problems:
        sys.exit(1)


if __name__ == "__main__":
    run_main(main)
