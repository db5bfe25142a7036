"""Planted bugs: each wrong hunk of `collection`, in a copy of the code, and the tests that must catch it.

    python -m tests.bugs
    python -m tests.bugs --only "whitened"

Prints bug · caught by · seconds, and exits with 1 if a bug survives. First the same tests run on the code as it is: a
test that fails there would seem to catch everything.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from minigpt.runs.config import Settings, option, parse
from minigpt.runs.errors import UserError, run_main
from tests.bugs.collection import BUGS, Bug

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("minigpt", "rlhf", "tests", "pyproject.toml")
SECONDS = 180  # a bug whose tests run longer than this counts as not caught
FAILED = re.compile(r"^FAILED \S+?::(.+?)(?: - .*)?$", re.MULTILINE)  # the names of cases may hold blanks


@dataclass(frozen=True)
class BugsConfig(Settings):
    """The bugs to plant, and how many at a time."""

    only: str = option("", "only bugs whose name contains this")
    workers: int = option(os.cpu_count() or 1, "bugs tried at the same time, one thread each", low=1)


@dataclass(frozen=True)
class Outcome:
    """The result of the tests: caught_by, the first that failed, "" if none did; trouble, why that is no answer."""

    caught_by: str
    seconds: float
    trouble: str = ""


@contextmanager
def scratch_copy() -> Iterator[Path]:
    """The code in a folder of its own, which is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        for name in COPIED:
            source, target = ROOT / name, Path(folder) / name
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, target)
        yield Path(folder)


def plant(bug: Bug, folder: Path) -> None:
    """Raises ValueError unless the hunk is there exactly once: the code has moved on, and the bug must follow it."""
    path = folder / bug.file
    text = path.read_text(encoding="utf-8")
    if text.count(bug.before) != 1:
        raise ValueError(f"{bug.name}: its hunk is {text.count(bug.before)} times in {bug.file}, it must be there once")
    path.write_text(text.replace(bug.before, bug.after), encoding="utf-8")


def run_tests(folder: Path, tests: Sequence[str], *, stop_at_first: bool) -> Outcome:
    """Run some tests of a copy, in a process of their own with one thread."""
    flags = ["-q", "-p", "no:cacheprovider", *(["-x"] if stop_at_first else [])]
    command = [sys.executable, "-m", "pytest", *flags, *tests]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(folder)}
    started = time.monotonic()
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, timeout=SECONDS, capture_output=True, text=True, encoding="utf-8"
        )
    except subprocess.TimeoutExpired:
        return Outcome("", time.monotonic() - started, f"no answer within {SECONDS} s")
    seconds = time.monotonic() - started
    failed = FAILED.findall(done.stdout)
    if done.returncode == 1 and failed:
        return Outcome(failed[0], seconds)
    # 2 and more: the tests could not be collected or run, so they say nothing about the bug
    return Outcome("", seconds, "" if done.returncode == 0 else f"pytest: {done.stdout.strip().splitlines()[-1]}")


def try_bug(bug: Bug) -> Outcome:
    """Plant the bug in a copy and see who notices."""
    with scratch_copy() as folder:
        plant(bug, folder)
        return run_tests(folder, bug.tests, stop_at_first=True)


def line(name: str, caught_by: str, seconds: str, widths: tuple[int, int]) -> str:
    return f"{name.ljust(widths[0])}  {caught_by.ljust(widths[1])}  {seconds}".rstrip()


def main(argv: list[str]) -> None:
    """Prints the table and exits with 1 if a bug was not caught."""
    config = parse(BugsConfig, argv, description=__doc__, presets={})
    bugs = [bug for bug in BUGS if config.only in bug.name]
    if not bugs:
        raise UserError(f"--only: no bug has {config.only!r} in its name; `python -m tests.bugs` tries all {len(BUGS)}")
    tests = list(dict.fromkeys(test for bug in bugs for test in bug.tests))
    with scratch_copy() as folder:
        healthy = run_tests(folder, tests, stop_at_first=False)
    if healthy.caught_by or healthy.trouble:
        raise UserError(
            f"without any bug {healthy.caught_by or healthy.trouble} fails already; `make test` must pass before the "
            "planted bugs mean anything"
        )
    widths = max(len(bug.name) for bug in bugs), max(len(test.split("::")[1]) for test in tests)
    print(line("bug", "caught by", "seconds", widths))
    escaped = 0
    with ThreadPoolExecutor(config.workers) as pool:
        for bug, outcome in zip(bugs, pool.map(try_bug, bugs), strict=True):
            escaped += not outcome.caught_by
            answer = outcome.caught_by or f"NOT CAUGHT {outcome.trouble}".strip()
            print(line(bug.name, answer, f"{outcome.seconds:.1f}", widths), flush=True)
    print(f"\n{escaped} of {len(bugs)} bugs were not caught." if escaped else f"\nAll {len(bugs)} bugs are caught.")
    if escaped:
        sys.exit(1)


if __name__ == "__main__":
    run_main(main)
