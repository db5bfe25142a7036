"""One unit of work in a process of its own with one thread, and its result as a file.

    runs/experiments/<preset>/<name>/seed-0-size-large-1f0c….json

The name is made of the settings and the cell, so that other settings never meet an old result. The file is written
whole or not at all: an experiment that was stopped goes on with the cells that have none.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import random
import re
import shutil
import sys
import time
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch

from minigpt.runs.config import to_dict
from minigpt.runs.errors import UserError
from minigpt.runs.files import write_json
from tutorials.experiments.lab.experiment import Cell, Page, load_page
from tutorials.experiments.lab.models import Lab, short_digest
from tutorials.models import code_digest

# A fork of a server that has imported torch starts at once. Windows has no forks, and on macOS a forked process may
# crash in the system's libraries (CPython issue 33725): there every cell imports it.
FORKS = "forkserver" in multiprocessing.get_all_start_methods() and sys.platform != "darwin"
METHOD = "forkserver" if FORKS else "spawn"
PROCESSES = multiprocessing.get_context(METHOD)
if METHOD == "forkserver":
    PROCESSES.set_forkserver_preload([__name__])


@dataclass(frozen=True)
class Job:
    """One cell of a page at a preset, as the process that measures it is told. Its result will lie in `path`."""

    page: Path
    preset: str
    root: Path
    cell: Cell
    path: Path
    fresh: bool
    commit: str  # of the code that will measure


def job(page: Page, preset: str, root: Path, cell: Cell, fresh: bool, commit: str = "") -> Job:
    """The job of a cell. `root` is runs/experiments/<preset>."""
    words = "-".join(f"{key}-{value}" for key, value in cell.items())
    readable = re.sub(r"[^A-Za-z0-9.]+", "-", words).strip("-")[:60]
    key = short_digest([to_dict(page.experiment.at(preset)), cell])
    return Job(page.path, preset, root, cell, root / page.name / f"{readable}-{key}.json", fresh, commit)


def measure_cell(job: Job) -> None:
    """Measures one cell and writes its file. What it prints goes to a .log beside it, which stays while it works."""
    folder, log = job.path.with_suffix(".work"), job.path.with_suffix(".log")
    folder.mkdir(parents=True, exist_ok=True)
    started, spent = time.monotonic(), time.process_time()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    np.random.seed(0)
    random.seed(0)
    lab = Lab(job.preset, job.root, folder, job.fresh)
    with (
        log.open("a", encoding="utf-8", newline="\n", buffering=1) as out,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(out),
    ):
        experiment = load_page(job.page).experiment
        settings = experiment.at(job.preset)
        result = experiment.measure(lab, settings, **job.cell)
    record = {
        "cell": job.cell,
        "result": result,
        "settings": to_dict(settings),
        "code": cell_digest(job.page),
        "commit": job.commit,
        "seconds": round(time.monotonic() - started, 1),
        "cpu_seconds": round(time.process_time() - spent - lab.making, 1),
        "models": lab.used,
    }
    json.dumps(record, allow_nan=False)  # raises ValueError for a number that JSON does not have
    write_json(job.path, record)
    shutil.rmtree(folder)
    log.unlink()


def cell_digest(page: Path) -> str:
    """The code that measured: both packages and the page."""
    return short_digest([code_digest(), page.read_text(encoding="utf-8")])


# ---- The process -------------------------------------------------------------------------------------------------


def measure_in_process(job: Job) -> None:
    """measure_cell in a process of its own. Raises UserError as it does; any other failure is a RuntimeError with the
    traceback of the process."""
    receiver, sender = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(target=_answer, args=(job, sender))
    process.start()
    sender.close()  # now the process alone holds it, and its end is the end of what can be received
    try:
        kind, text = receiver.recv()
    except EOFError:
        kind, text = "died", f"its process ended without a word, perhaps killed; see {job.path.with_suffix('.log')}"
    process.join()
    receiver.close()
    if kind == "stopped":
        raise KeyboardInterrupt
    if kind == "user":
        raise UserError(text)
    if kind != "done":
        raise RuntimeError(f"{job.page.name}, cell {dict(job.cell)}: {text}")


def _answer(job: Job, sender: Connection) -> None:
    """What runs in the process: the work, and how it ended."""
    try:
        measure_cell(job)
        sender.send(("done", ""))
    except UserError as error:
        sender.send(("user", str(error)))
    except OSError as error:  # what the system refuses, as in run_main
        sender.send(("user", f"{error.filename or job.path}: {error.strerror or error}"))
    except KeyboardInterrupt:
        sender.send(("stopped", ""))
    except BaseException:
        sender.send(("failed", traceback.format_exc()))
        sys.exit(1)
