"""`make check-exercises`: the exercises are unsolved, the solutions right, the checks neither blind nor unjust.

    python -m tutorials.grading.prove

1. Every stub fails every one of its checks, and is made from its master.
2. Every solution passes on 20 seeds, and so do right ones that look unlike ours; no exercise takes over two seconds.
3. Every wrong solution fails, and the check that was meant for it is the first to fail, with the message meant for it.
4. The hand-out holds no solution, and works on its own, without git, instructor/ and grading/.

Prints what it proved and exits with 1 if something does not hold.
"""

from __future__ import annotations

import importlib
import pkgutil
import shutil
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from minigpt.runs.config import Settings, option, parse
from minigpt.runs.errors import run_main
from minigpt.runs.files import write_text
from tutorials.exercises.checking import check_exercise
from tutorials.exercises.checks import CHECKS
from tutorials.exercises.registry import ANSWERS, ROOT, Exercise, load_register
from tutorials.exercises.subject import InThisProcess
from tutorials.exercises.work import PUBLIC_SEED, Outcome, Work, read_measured
from tutorials.grading import leaks
from tutorials.grading.stubs import MASTERS, stub_files
from tutorials.instructor import wrong as wrong_solutions
from tutorials.instructor.wrong import Wrong, when_small
from tutorials.instructor.wrong.universal import universal

SEEDS = 20
SECONDS = 2.0  # all checks of one exercise together, on the solution
# one or more modules a chapter, found in the folder: one that nobody entered in a list would prove nothing
MODULES = tuple(
    importlib.import_module(f"{wrong_solutions.__name__}.{name}")
    for name in sorted(module.name for module in pkgutil.iter_modules(wrong_solutions.__path__))
    if name.startswith("ch")
)
WRONG = tuple(wrong for module in (*MODULES, when_small) for wrong in module.WRONG)
ALSO_RIGHT = tuple(right for module in MODULES for right in module.ALSO_RIGHT)


@dataclass(frozen=True)
class ProveConfig(Settings):
    """The number of seeds and of processes."""

    seeds: int = option(SEEDS, help="seeds on which every solution must pass", low=1)
    workers: int = option(2, help="exercises tried at the same time, one thread each", low=1)


@contextmanager
def solved() -> Iterator[Work]:
    """A folder in which every exercise is solved, and nothing else."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(MASTERS, Path(folder) / "tutorials" / "exercises")
        yield Work(Path(folder), read_measured(MASTERS / "measured.json"))


# ---- 1. Stubs ------------------------------------------------------------------------------------------------------


def stubs_fail(exercises: dict[str, Exercise]) -> list[str]:
    """The faults of the stubs."""
    troubles = []
    for path, text in stub_files().items():
        there = (ROOT / path).read_text(encoding="utf-8") if (ROOT / path).exists() else ""
        if there != text:
            troubles.append(f"{path} is not what its master makes: run `python -m tutorials.grading.stubs`")
    with tempfile.TemporaryDirectory() as folder:
        for path, text in stub_files().items():
            write_text(Path(folder) / path, text)
        for exercise in exercises.values():
            outcomes = check_exercise(exercise, Work(Path(folder)), InThisProcess(), PUBLIC_SEED)
            if [outcome.check for outcome in outcomes] != [check.__name__ for check in CHECKS[exercise.id]]:
                troubles.append(f"{exercise.id}: the stub cannot be checked: {outcomes[0].report}")
            troubles += [f"{exercise.id}: the stub passes {o.check}" for o in outcomes if o.passed]
    return troubles


# ---- 2. Solutions --------------------------------------------------------------------------------------------------


def solution_passes(number: str, seeds: int, allowed: float = SECONDS) -> list[str]:
    """The faults of the solution of one exercise, which may take `allowed` seconds of the processor, and of other right
    functions."""
    troubles, exercise = [], load_register()[number]
    names = [PUBLIC_SEED, *(f"seed {number}" for number in range(1, seeds))]
    with solved() as work:
        for seed in names:
            started = time.process_time()  # what others do on this machine does not count
            troubles += failures(
                f"{exercise.id}, the solution, {seed}", check_exercise(exercise, work, InThisProcess(), seed)
            )
            seconds = time.process_time() - started
            if seconds > allowed:
                troubles.append(f"{exercise.id}: the checks took {seconds:.1f} s, {allowed:.0f} are allowed")
        for function in (right for also, right in ALSO_RIGHT if also == number):
            for seed in names:
                outcomes = outcomes_of(exercise, work, function, seed)
                troubles += failures(f"{number}, {function.__name__}, {seed}", outcomes)
    return troubles


def failures(what: str, outcomes: Sequence[Outcome]) -> list[str]:
    """One line for each check that failed."""
    return [f"{what} fails {outcome.check}:\n{outcome.report}" for outcome in outcomes if not outcome.passed]


def outcomes_of(exercise: Exercise, work: Work, function: Any, seed: str) -> list[Outcome]:
    """The checks on `function` in place of the solution's."""
    transport = InThisProcess()
    transport.use(work.folder / exercise.file, exercise.function, function)
    return check_exercise(exercise, work, transport, seed)


# ---- 3. Wrong solutions --------------------------------------------------------------------------------------------


def wrong_ones_fail(number: str) -> tuple[int, list[str]]:
    """The number of wrong solutions of one exercise, and a line for each that passes or fails elsewhere."""
    count, troubles, exercise = 0, [], load_register()[number]
    with solved() as work:
        transport = InThisProcess()
        solution = transport.worker.function(str(work.folder / exercise.file), exercise.function)
        mine = [wrong for wrong in WRONG if wrong.exercise == number]
        if len(mine) < 3:
            troubles.append(f"{number} has {len(mine)} wrong solutions of its own, 3 are needed")
        for wrong in [*universal(number, solution), *mine]:
            count += 1
            for seed in (PUBLIC_SEED, "another"):
                troubles += complaints(wrong, try_wrong(wrong, exercise, work, seed))
    return count, troubles


def try_wrong(wrong: Wrong, exercise: Exercise, work: Work, seed: str) -> list[Outcome]:
    """The checks on a wrong solution."""
    if wrong.function is not None:
        return outcomes_of(exercise, work, wrong.function, seed)
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(work.folder, folder, dirs_exist_ok=True)
        path = Path(folder) / exercise.file
        text = path.read_text(encoding="utf-8")
        for before, after in wrong.edits:
            if text.count(before) != 1:
                raise ValueError(
                    f"{wrong.exercise}, {wrong.name}: its text is {text.count(before)} times in the master"
                )
            text = text.replace(before, after)
        write_text(path, text)
        if wrong.answers:
            answers = tomllib.loads((Path(folder) / ANSWERS).read_text(encoding="utf-8"))
            answers[exercise.id].update(wrong.answers)
            write_text(Path(folder) / ANSWERS, as_toml(answers))
        return check_exercise(exercise, Work(Path(folder), work.measured), InThisProcess(), seed)


def as_toml(answers: dict[str, dict[str, Any]]) -> str:
    """answers.toml from its contents: texts and numbers only."""
    lines = []
    for exercise, part in answers.items():
        lines.append(f'["{exercise}"]')
        lines += [
            f'{name} = "{value}"' if isinstance(value, str) else f"{name} = {value}" for name, value in part.items()
        ]
    return "\n".join(lines) + "\n"


def complaints(wrong: Wrong, outcomes: Sequence[Outcome]) -> list[str]:
    """Nothing, if the first check that failed is the one that was meant, and says what was meant."""
    name = f"{wrong.exercise}, {wrong.name}"
    first = next((outcome for outcome in outcomes if not outcome.passed), None)
    if first is None:
        return [f"{name} passes every check"]
    if first.check != wrong.caught_by:
        return [f"{name} is caught by {first.check}, not by {wrong.caught_by}:\n{first.report}"]
    if wrong.says not in first.report:
        return [f"{name}: the message does not say {wrong.says!r}:\n{first.report}"]
    return []


# ---- The command ---------------------------------------------------------------------------------------------------


def main(argv: list[str]) -> None:
    """Prints one line for each of the four, and what does not hold."""
    config = parse(ProveConfig, argv, description=__doc__, presets={})
    torch.set_num_threads(1)
    exercises = load_register()
    checks = sum(map(len, CHECKS.values()))
    failed = report(f"{len(exercises)} stubs fail all of their {checks} checks", stubs_fail(exercises))
    with ProcessPoolExecutor(config.workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        right = [pool.submit(solution_passes, number, config.seeds) for number in exercises]
        wrong = [pool.submit(wrong_ones_fail, number) for number in exercises]
        failed |= report(
            f"{len(exercises)} solutions and {len(ALSO_RIGHT)} others that are right pass on {config.seeds} seeds",
            [trouble for done in right for trouble in done.result()],
        )
        count = sum(done.result()[0] for done in wrong)
        failed |= report(
            f"{count} wrong solutions are caught, each by the check that was meant for it",
            [trouble for done in wrong for trouble in done.result()[1]],
        )
    failed |= report(
        "no hint and no handed-out file holds a solution, and the hand-out works alone", leaks.find(exercises)
    )
    if failed:
        sys.exit(1)


def report(what: str, troubles: Sequence[str]) -> bool:
    """Print `what`, or why it does not hold; True if it does not."""
    if not troubles:
        print(f"ok    {what}", flush=True)
        return False
    print(f"FAIL  {what}: no, {len(troubles)} times", flush=True)
    for trouble in troubles:
        print("      " + trouble.replace("\n", "\n        "), flush=True)
    return True


if __name__ == "__main__":
    run_main(main)
