"""Grade a class: a folder of submissions, the teacher's own checks, a private seed.

    python -m tutorials.grading.grade --dir inbox --seed "any text that nobody guesses"

Writes grades.csv, feedback/<student>.md and class.md. The seed draws other shapes and numbers than the students saw, so
answers that were written down for the public ones fail; nothing else about the checks is secret, and nothing has to be.

A submission runs in a process of its own, behind the fences of `sandbox`, with limits on time and memory, in a folder
that is deleted afterwards. Every submission becomes a row; one that fails has the reason in it.
"""

from __future__ import annotations

import datetime
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from minigpt.runs.config import Settings, option, parse
from minigpt.runs.errors import UserError, run_main
from tutorials.exercises.checking import check_exercise
from tutorials.exercises.checks.ch04_more import catches
from tutorials.exercises.judging import run_checks
from tutorials.exercises.registry import ROOT, Exercise, load_register, score
from tutorials.exercises.subject import StudentProcess, Subject
from tutorials.exercises.work import GATE, Outcome, Work
from tutorials.grading import reports
from tutorials.grading.graded import Graded
from tutorials.grading.inbox import find_submissions, read_submission
from tutorials.grading.sandbox import Sandbox, find_sandbox
from tutorials.instructor.wrong import ch04

# Wrong attentions that students have not seen, for the test that they wrote in exercise 4.4.
UNSEEN = tuple(
    catches(f"unseen_{number}", wrong.function, "an attention that the visible checks do not hold")
    for number, wrong in enumerate((w for w in ch04.CAUSAL if w.name in ch04.UNSEEN_BY_TESTS), start=1)
)


@dataclass(frozen=True)
class GradeConfig(Settings):
    """The folder to grade, the seed, and the limits."""

    dir: str = option("", help="the folder with the submissions, zip files")
    seed: str = option("", help="your private seed: any text; keep it, and the same grades come out again")
    out: str = option("runs/grades", help="the folder for grades.csv, feedback/ and class.md")
    deadline: str | None = option(
        None, help="as in 2026-12-01T18:00+01:00; without a zone it is UTC; late work is marked"
    )
    seconds: float = option(10.0, help="how long a function may take for one answer", above=0)
    workers: int = option(2, help="submissions at the same time, one thread each", low=1)


def read_deadline(text: str | None) -> datetime.datetime | None:
    """The deadline with its zone. Raises UserError for what is no time."""
    if text is None:
        return None
    try:
        deadline = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise UserError(f"--deadline: expected a time like 2026-12-01T18:00+01:00, got {text!r}") from None
    return deadline if deadline.tzinfo else deadline.replace(tzinfo=datetime.UTC)


@contextmanager
def library() -> Iterator[Path]:
    """A copy of the two packages and nothing else: what a student's imports may find."""
    with tempfile.TemporaryDirectory() as folder:
        for package in ("minigpt", "rlhf"):
            shutil.copytree(ROOT / package, Path(folder) / package, ignore=shutil.ignore_patterns("__pycache__"))
        yield Path(folder)


def grade_submission(
    path: Path,
    *,
    exercises: Mapping[str, Exercise],
    seed: str,
    packages: Path,
    sandbox: Sandbox,
    seconds: float,
    deadline: datetime.datetime | None,
) -> Graded:
    """Run everything in one submission. Raises nothing: what goes wrong is in the result."""
    submission = read_submission(path, exercises)
    graded = Graded(submission, late_hours=submission.late_hours(deadline))
    if not submission.trouble:
        try:
            # /tmp, not a folder of the teacher's; resolved, because a mount point must not be a link
            with tempfile.TemporaryDirectory() as folder:
                run_submission(graded, Path(folder).resolve(), exercises, seed, packages, sandbox, seconds)
        except Exception as error:  # one row must never cost the class its grades
            submission.trouble = f"the grader failed, look at this one yourself ({type(error).__name__}: {error})"
    graded.points = {
        e.id: score(e, {o.check: o.passed for o in graded.outcomes.get(e.id, [])}) for e in exercises.values()
    }
    return graded


def run_submission(
    graded: Graded,
    box: Path,
    exercises: Mapping[str, Exercise],
    seed: str,
    packages: Path,
    sandbox: Sandbox,
    seconds: float,
) -> None:
    """Fill in the outcomes of all exercises."""
    submission = graded.submission
    for name, text in submission.texts.items():
        (box / name).parent.mkdir(parents=True, exist_ok=True)
        (box / name).write_text(text, encoding="utf-8", newline="\n")
    work = Work(box, submission.measured)
    broken: dict[str, Outcome] = {}  # by file: one that cannot be imported is not tried again for each exercise
    with StudentProcess(
        box, packages, seconds=seconds, secret=(ROOT, Path.home()), quiet=True, wrapper=sandbox.wrapper(box)
    ) as process:
        for exercise in exercises.values():
            if exercise.file in broken:
                graded.outcomes[exercise.id] = [broken[exercise.file]]
                continue
            outcomes = check_exercise(exercise, work, process, seed)
            if outcomes[0].check == GATE and outcomes[0].kind != "refused":
                broken[exercise.file] = outcomes[0]
            elif exercise.id == "4.4" and outcomes[0].passed:
                outcomes += run_checks(Subject(process, box / exercise.file, exercise.function), UNSEEN, seed)
            graded.outcomes[exercise.id] = outcomes
        for what in dict.fromkeys(process.refused):
            submission.remarks.append(f"its code tried to {what}, and was refused")


def main(argv: list[str]) -> None:
    """Grades the folder and says where the results are."""
    config = parse(GradeConfig, argv, description=__doc__, presets={})
    if not config.seed:
        raise UserError('--seed: give a private text, as in --seed "blue kettle 7"; the public one was handed out')
    paths, deadline, out = find_submissions(Path(config.dir)), read_deadline(config.deadline), Path(config.out)
    torch.set_num_threads(1)
    exercises, sandbox = load_register(), find_sandbox()
    print(f"{len(paths)} submissions; {sandbox.describe()}")
    with library() as packages, ThreadPoolExecutor(config.workers) as pool:
        grade = partial(
            grade_submission,
            exercises=exercises,
            seed=config.seed,
            packages=packages,
            sandbox=sandbox,
            seconds=config.seconds,
            deadline=deadline,
        )
        graded = []
        for path, result in zip(paths, pool.map(grade, paths), strict=True):
            graded.append(result)
            total = sum(exercise.points - exercise.person_points for exercise in exercises.values())
            print(f"{path.name:40} {result.total:4d} of {total}  {result.submission.trouble}".rstrip(), flush=True)
    reports.write(out, graded, exercises, sandbox.describe())
    print(f"wrote {out / 'grades.csv'}, {out / 'feedback'} and {out / 'class.md'}")


if __name__ == "__main__":
    run_main(main)
