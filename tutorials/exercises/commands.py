"""The commands of `python -m tutorials.exercises`, a function each; parsing is in __main__.

torch is imported where a function is run, and not before: it takes a second, and `status` and `hint` do not need it.
"""

from __future__ import annotations

import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from minigpt.runs.errors import UserError
from tutorials.exercises import submission
from tutorials.exercises.own_work import imports_package, is_untouched
from tutorials.exercises.progress import FOLDER, Progress, Result, digest, load_progress, load_work, to_result
from tutorials.exercises.registry import ANSWERS, ROOT, TYPES, Exercise, chapter_page, load_register, score
from tutorials.exercises.work import GATE, PUBLIC_SEED, Outcome, Work

SECONDS = 10.0  # for one answer of a student's function
POLL_SECONDS = 0.5
WIDTH = 100


# ---- Running checks ------------------------------------------------------------------------------------------------


def run(exercises: Sequence[Exercise], progress: Progress, seed: str, seconds: float) -> dict[str, list[Outcome]]:
    """Check the exercises in one process and keep the results, if they are those of the public seed."""
    from tutorials.exercises.checking import check_exercise
    from tutorials.exercises.forked import start_process

    work, outcomes = load_work(), {}
    box = ROOT / FOLDER / "box"
    box.mkdir(parents=True, exist_ok=True)
    with start_process(box, ROOT, seconds=seconds, preload=preloaded(exercises, work)) as process:
        for exercise in exercises:
            outcomes[exercise.id] = check_exercise(exercise, work, process, seed)
            if seed == PUBLIC_SEED:
                progress.results[exercise.id] = to_result(outcomes[exercise.id], digest(exercise, work))
    progress.save()
    return outcomes


def preloaded(exercises: Sequence[Exercise], work: Work) -> tuple[str, ...]:
    """The modules that the students' files import and that cannot be imported once the guard of the worker stands."""
    needs_package = any(imports_package(work.text(exercise.file) or "") for exercise in exercises)
    return ("torch.testing", "minigpt.model") if needs_package else ("torch.testing",)


def bring_up_to_date(exercises: Sequence[Exercise], progress: Progress) -> None:
    """Check again where the file, or the checks, are no longer those of the last result."""
    work, waiting = load_work(), []
    for exercise in exercises:
        mark = digest(exercise, work)
        if exercise.id in progress.results and progress.results[exercise.id].digest == mark:
            continue
        original = (ROOT / exercise.original).read_text(encoding="utf-8") if exercise.original else ""
        if is_untouched(work.text(exercise.file) or "", original, exercise):
            progress.results[exercise.id] = Result(mark, {"is_written": False}, "not written yet")
        else:
            waiting.append(exercise)
    if waiting:
        run(waiting, progress, PUBLIC_SEED, SECONDS)
    progress.save()


# ---- check, watch --------------------------------------------------------------------------------------------------


def check(exercise: Exercise | None, seed: str, seconds: float) -> None:
    """Check one exercise, or all; exits with 1 if something is not right yet."""
    exercises = [exercise] if exercise else list(load_register().values())
    outcomes = run(exercises, load_progress(), seed, seconds)
    for each in exercises:
        print_outcomes(each, outcomes[each.id], brief=exercise is None)
    if not all(outcome.passed for each in outcomes.values() for outcome in each):
        sys.exit(1)


def print_outcomes(exercise: Exercise, outcomes: Sequence[Outcome], brief: bool = False) -> None:
    """The checks of an exercise, and the message of the first one that failed."""
    from tutorials.exercises.checks import CHECKS

    passed = sum(outcome.passed for outcome in outcomes)
    total = len(CHECKS[exercise.id])
    print(f"{exercise.id} {exercise.title}: {passed} of {total} checks pass        {exercise.file}")
    if brief and passed == total:
        return
    explained = False
    for outcome in outcomes:
        print(f"  {'ok   ' if outcome.passed else 'FAIL '} {outcome.check}")
        if not outcome.passed and not explained:
            explained = True
            print("".join(f"          {line}\n" for line in wrapped(outcome.report)), end="")
    if passed == total:
        print(f"next: python -m tutorials.exercises plug {exercise.id}")
    else:
        print(
            f"stuck? python -m tutorials.exercises hint {exercise.id}        read: tutorials/{chapter_page(exercise)}"
        )


def wrapped(report: str) -> Iterator[str]:
    """The lines of a message, sentences broken to the width of a terminal; rows of numbers stay whole."""
    for line in report.splitlines():
        if line.startswith(("given ", "expected ", "got ", " ")):
            yield line
        else:
            yield from textwrap.wrap(line, WIDTH, subsequent_indent=" " * 10 if line.startswith("likely:") else "")


def watch(seed: str, seconds: float) -> None:
    """Check the exercises of a file each time that it is saved; only the first that is not done is shown in full."""
    exercises = list(load_register().values())
    files = sorted({exercise.file for exercise in exercises} | {ANSWERS})
    seen = {file: stamp(ROOT / file) for file in files}
    print(f"watching {len(files)} files; save one of them, and stop with Ctrl-C")
    while True:
        time.sleep(POLL_SECONDS)
        for file in files:
            now = stamp(ROOT / file)
            if now != seen[file]:
                seen[file] = now
                report_saved(file, exercises, seed, seconds)


def stamp(path: Path) -> int:
    """When a file was saved, in ns; 0 if it is not there at the moment, as while an editor writes it."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def report_saved(file: str, exercises: Sequence[Exercise], seed: str, seconds: float) -> None:
    """Check what the saved file holds."""
    touched = [e for e in exercises if e.file == file or (file == ANSWERS and e.type == "C")]
    outcomes = run(touched, load_progress(), seed, seconds)
    print(f"\n{time.strftime('%H:%M:%S')} {file}")
    shown = False
    for exercise in touched:
        started = any(outcome.kind != "unwritten" for outcome in outcomes[exercise.id])
        done = all(outcome.passed for outcome in outcomes[exercise.id])
        if done or not started or shown:
            state = "done" if done else "not written yet" if not started else "not right yet"
            print(f"{exercise.id} {exercise.title}: {state}")
        else:
            shown = True
            print_outcomes(exercise, outcomes[exercise.id])


# ---- hint ----------------------------------------------------------------------------------------------------------


def hint(exercise: Exercise) -> None:
    """The hints so far and the next one. Their number is handed in with the work; it costs nothing."""
    progress = load_progress()
    taken = min(progress.hints.get(exercise.id, 0) + 1, len(exercise.hints))
    for number, text in enumerate(exercise.hints[:taken], start=1):
        print(f"hint {number} of {len(exercise.hints)}: {text}")
    if taken < len(exercise.hints):
        print(f"one more: python -m tutorials.exercises hint {exercise.id}")
    else:
        print(f"that was the last one{elsewhere(exercise)}")
    progress.hints[exercise.id] = taken
    progress.save()


def elsewhere(exercise: Exercise) -> str:
    """What the last hint points to: the plain loops where there are some, the messages of `check` where not."""
    for spec in sorted((ROOT / "tutorials/exercises/specs").glob(f"ch{exercise.chapter}*.py")):
        if f"def {exercise.function}(" in spec.read_text(encoding="utf-8"):
            return f"; what the function must do stands in plain loops in {spec.relative_to(ROOT).as_posix()}"
    return f"; python -m tutorials.exercises check {exercise.id} says what is still different"


# ---- status --------------------------------------------------------------------------------------------------------


def status() -> None:
    """The table of all exercises, how many points are reached, and what to do next."""
    exercises, progress = load_register(), load_progress()
    bring_up_to_date(list(exercises.values()), progress)
    print(status_table(exercises, progress))


def status_table(exercises: dict[str, Exercise], progress: Progress) -> str:
    """The table as text. Points a person gives are not counted."""
    lines = [f"{'':5}{'exercise':44}{'kind':18}{'hard':6}{'min':>4}{'points':>8}  state"]
    for exercise in exercises.values():
        result = progress.results[exercise.id]
        points = f"{score(exercise, result.checks)}/{exercise.points}"
        difficulty = "*" * exercise.difficulty
        facts = f"{exercise.title:44}{TYPES[exercise.type]:18}{difficulty:6}{exercise.minutes:4}{points:>8}"
        lines.append(f"{exercise.id:5}{facts}  {state(exercise, result, progress)}")
    got = sum(score(exercise, progress.results[exercise.id].checks) for exercise in exercises.values())
    total = sum(exercise.points for exercise in exercises.values())
    done = [exercise.id for exercise in exercises.values() if progress.results[exercise.id].passed]
    filled = round(40 * got / total)
    lines += [
        "",
        f"[{'#' * filled}{'.' * (40 - filled)}] {got} of {total} points, {len(done)} of {len(exercises)} exercises",
    ]
    person = sum(exercise.person_points for exercise in exercises.values())
    lines.append(f"{person} of the points are given by a person, for the sentences in answers.toml")
    left = [exercise for exercise in exercises.values() if exercise.id not in done]
    ready = [exercise for exercise in left if all(needed in done for needed in exercise.needs)] or left
    if ready:
        lines.append(f"next: {ready[0].id} {ready[0].title}: python -m tutorials.exercises check {ready[0].id}")
    else:
        lines.append('all done: python -m tutorials.exercises submit --name "Your Name"')
    return "\n".join(lines)


def state(exercise: Exercise, result: Result, progress: Progress) -> str:
    """One cell: done, or the check it fails at, and what else there is to say."""
    hints = progress.hints.get(exercise.id, 0)
    notes = [f"{hints} hint{'s' if hints > 1 else ''}"] if hints else []
    if result.passed:
        return ", ".join(["done", *(["plugged in"] if exercise.id in progress.plugged else []), *notes])
    if "not written yet" in result.first_report:
        return ", ".join(["-", *notes])
    number = f"{sum(result.checks.values())}/{len(result.checks)}"
    where = "cannot be checked" if result.failing == GATE else f"{number}, fails at {result.failing}"
    return ", ".join([where, *notes])


# ---- plug, submit --------------------------------------------------------------------------------------------------


def plug(exercise: Exercise) -> None:
    """The real training on the student's own function, once its checks pass. Raises UserError before that."""
    from tutorials.exercises.plugs import ABOUT_MEASUREMENTS, PLUGS

    progress = load_progress()
    bring_up_to_date([exercise], progress)
    result = progress.results[exercise.id]
    red = [name for name, passed in result.checks.items() if not passed and name not in ABOUT_MEASUREMENTS]
    if red:
        raise UserError(
            f"{exercise.id} is not green yet, it fails at {red[0]}; "
            f"run `python -m tutorials.exercises check {exercise.id}`"
        )
    PLUGS[exercise.id](exercise)
    if exercise.id not in progress.plugged:
        progress.plugged.append(exercise.id)
        progress.save()


def submit(name: str) -> None:
    """Everything into one file for the teacher. Raises UserError for a bad name, and for a file Python cannot read."""
    exercises, progress = load_register(), load_progress()
    submission.check_name(name)
    bring_up_to_date(list(exercises.values()), progress)
    for exercise in exercises.values():
        report = progress.results[exercise.id].first_report
        if "Python cannot read this" in report:
            raise UserError(f"{report}; a file with such a mistake cannot be graded")
    print(status_table(exercises, progress))
    path = submission.write(name, exercises, load_work(), progress, Path.cwd())
    print(f"\nwrote {path.name}: hand this file in")
