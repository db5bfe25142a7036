"""Checks the chapters: the linter, then every chapter in a process of its own.

    python -m tutorials.tools.check                 all chapters, two at a time
    python -m tutorials.tools.check --only 04       one chapter

One process a chapter, so that none leans on what another has imported, trained or left behind; one thread each.
Prints a table and, below it, what is wrong; exits with 1 if anything is.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from minigpt.runs.config import Settings, option, parse
from minigpt.runs.errors import run_main
from tutorials.tools.lint import OTHER_PAGES, lint_page, outdated, unused
from tutorials.tools.page import ROOT, TUTORIALS, Page, chapters

COUNT = re.compile(r"(\d+) (?:passed|failed|skipped|error)")
PROCESSOR_SECONDS = re.compile(r"^processor seconds: ([\d.]+)$", re.MULTILINE)


@dataclass(frozen=True)
class CheckConfig(Settings):
    """The chapters to check, and the limits."""

    only: str = option("", "only chapters whose file name begins with this, as in 04")
    workers: int = option(2, "chapters checked at the same time, one thread each", low=1)
    patience: int = option(300, "seconds after which a chapter is stopped", low=1)


@dataclass(frozen=True)
class Result:
    """The result of one chapter. `seconds` are of the processor, so that other programs do not lengthen them."""

    name: str
    blocks: int
    seconds: float
    allowed: int
    problem: str  # "" if all is well

    @property
    def row(self) -> tuple[str, str, str, str]:
        return self.name, str(self.blocks), f"{self.seconds:.1f} of {self.allowed}", "NO" if self.problem else "ok"


def check_chapter(path: Path, patience: int) -> Result:
    """Runs pytest on one chapter."""
    command = [sys.executable, "-m", "pytest", "--tb=short", str(path)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    allowed, started = Page.read(path).meta.ci_seconds, time.monotonic()
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, timeout=patience, capture_output=True, text=True, encoding="utf-8"
        )
    except subprocess.TimeoutExpired:
        return Result(path.name, 0, time.monotonic() - started, allowed, f"no answer within {patience} s")
    summary = done.stdout.strip().rpartition("\n")[2]
    spent = PROCESSOR_SECONDS.search(done.stdout)
    seconds = float(spent[1]) if spent else 0.0
    problem = "" if done.returncode == 0 else (done.stdout + done.stderr).strip()
    if not problem and seconds > allowed:
        problem = f"it took {seconds:.1f} s of the processor and promises at most {allowed} (ci_seconds)"
    return Result(path.name, sum(map(int, COUNT.findall(summary))), seconds, allowed, problem)


def table(results: Sequence[Result]) -> str:
    """The results in columns."""
    rows = [("chapter", "blocks", "seconds", "ok"), *(result.row for result in results)]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    padded = [[text.ljust(width) for text, width in zip(row, widths, strict=True)] for row in rows]
    return "\n".join("  ".join(row).rstrip() for row in padded)


def main(argv: list[str]) -> None:
    """Prints the table and what is wrong."""
    config = parse(CheckConfig, argv, description=__doc__, presets={})
    pages = list(chapters(TUTORIALS, config.only))
    with ThreadPoolExecutor(config.workers) as pool:
        running = [pool.submit(check_chapter, page.path, config.patience) for page in pages]
        others = [] if config.only else [Page.read(TUTORIALS / name) for name in OTHER_PAGES]
        problems = [problem for page in [*pages, *others] for problem in lint_page(page)]
        if not config.only:
            problems += unused([*pages, *others], TUTORIALS)
        results = [future.result() for future in running]
    print(table(results))
    for warning in outdated(pages, TUTORIALS):
        print(f"warning: {warning}")
    for result in results:
        if result.problem:
            problems.append(f"\n---- {result.name} ----\n{result.problem}")
    print("\n".join(["", *problems]) if problems else "\nThe chapters are true.")
    if problems:
        sys.exit(1)


if __name__ == "__main__":
    run_main(main)
