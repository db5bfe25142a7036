"""All cells of an experiment, several at a time; what is there already is not measured again."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from minigpt.runs.log.progress import Progress
from tutorials.experiments.lab.cells import Job, cell_digest, job, measure_in_process
from tutorials.experiments.lab.experiment import Page


def measured_cells(
    page: Page, preset: str, root: Path, jobs: int, fresh: bool = False, commit: str = ""
) -> list[dict[str, Any]]:
    """The record of every cell, in the order of `cells`, whatever the order they were measured in.

    `jobs` cells at a time; what is measured now notes `commit`. `fresh`: what other code has measured is measured anew.
    Raises what a cell raises, once those that were being measured beside it have ended; what they found stays.
    """
    cells = page.experiment.cells(page.experiment.at(preset))
    all_jobs = [job(page, preset, root, cell, fresh, commit) for cell in cells]
    if len({one.path for one in all_jobs}) < len(all_jobs):
        raise ValueError(f"{page.path}: two cells are the same")
    old = [one for one in all_jobs if one.path.is_file()]
    other = [one for one in old if json.loads(one.path.read_text(encoding="utf-8"))["code"] != cell_digest(page.path)]
    if other and not fresh:
        print(
            f"warning: {page.name}: {len(other)} of {len(cells)} cells were measured by other code; "
            "--fresh measures them anew",
            file=sys.stderr,
        )
    missing = [one for one in all_jobs if one not in old or (fresh and one in other)]
    with Progress(page.name, len(cells), len(cells) - len(missing), unit="cell") as progress:
        _measure(by_turns(missing), jobs, progress)
    return [json.loads(one.path.read_text(encoding="utf-8")) for one in all_jobs]


def by_turns(jobs: Sequence[Job]) -> list[Job]:
    """First one cell of every seed, then the second ones: cells of one seed wait for the same models."""
    seen: Counter[Any] = Counter()
    turns = []
    for one in jobs:
        seed = one.cell.get("seed")
        turns.append(seen[seed])
        seen[seed] += 1
    return [one for _, one in sorted(zip(turns, jobs, strict=True), key=lambda pair: pair[0])]


def _measure(waiting: list[Job], jobs: int, progress: Progress) -> None:
    """Threads that wait for processes. After a failure or Ctrl-C no new cell is begun."""
    with ThreadPoolExecutor(jobs) as pool:
        running: dict[Future[None], Job] = {pool.submit(measure_in_process, one): one for one in waiting}
        try:
            while running:
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    one = running.pop(future)
                    future.result()
                    progress.update(" ".join(f"{key} {value}" for key, value in one.cell.items()))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
