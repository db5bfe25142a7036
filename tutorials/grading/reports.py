"""The results of the grading: grades.csv, a page for each student, and a page about the class."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from minigpt.runs.files import write_text
from tutorials.exercises.checks import CHECKS
from tutorials.exercises.judging import changed_lines
from tutorials.exercises.registry import ANSWERS, Exercise, chapter_page
from tutorials.exercises.work import GATE, Outcome, parse_answers
from tutorials.grading.graded import Graded
from tutorials.grading.similarity import SOLUTIONS, STUBS, equal_functions, source
from tutorials.grading.stubs import masters, stub_files

LONGEST_REPORT = 1200  # characters of a message in a page


def write(out: Path, graded: Sequence[Graded], exercises: Mapping[str, Exercise], fences: str) -> None:
    """All files, each whole or not at all. Two students of one name get pages with a number."""
    write_text(out / "grades.csv", grades_csv(graded, exercises))
    taken: Counter[str] = Counter()
    for result in graded:
        name = page_name(result.submission.student)
        taken[name] += 1
        suffix = "" if taken[name] == 1 else f"-{taken[name]}"
        write_text(out / "feedback" / f"{name}{suffix}.md", feedback(result, exercises))
    write_text(out / "class.md", class_page(graded, exercises, fences))


def page_name(student: str) -> str:
    """A student's name as a file name."""
    return re.sub(r"[^\w]+", "-", student.lower()).strip("-") or "unnamed"


def first_failure(outcomes: Sequence[Outcome]) -> Outcome | None:
    """The check whose message counts, if one failed."""
    return next((outcome for outcome in outcomes if not outcome.passed), None)


# ---- The table -----------------------------------------------------------------------------------------------------


def grades_csv(graded: Sequence[Graded], exercises: Mapping[str, Exercise]) -> str:
    """One row a submission. Columns that end in "sentence" are empty: a person fills them in."""
    sentences = [f"{e.id} sentence (0-{e.person_points})" for e in exercises.values() if e.person_points]
    most = sum(e.points - e.person_points for e in exercises.values())
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["student", "file", f"points of {most}", *exercises, *sentences, "hints", "late hours", "remarks"])
    for result in graded:
        submission = result.submission
        remarks = "; ".join([*([submission.trouble] if submission.trouble else []), *submission.remarks])
        writer.writerow(
            [
                cell(submission.student),
                cell(submission.file),
                result.total,
                *(result.points[e] for e in exercises),
                *("" for _ in sentences),
                sum(submission.hints.values()),
                f"{result.late_hours:.1f}" if result.late_hours else "",
                cell(remarks),
            ]
        )
    return buffer.getvalue()


def cell(text: str) -> str:
    """A text that a spreadsheet shows and does not compute: =, +, - and @ begin formulas there."""
    text = " ".join(text.split())
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text


# ---- A student -----------------------------------------------------------------------------------------------------


def feedback(result: Graded, exercises: Mapping[str, Exercise]) -> str:
    """The page for a student: for each exercise the points, the first check that failed, its message, a hint."""
    submission = result.submission
    lines = [f"# {submission.student}", "", f"{result.total} points from the checks."]
    if result.late_hours:
        lines.append(f"Handed in {result.late_hours:.1f} hours late, by the clock of your machine.")
    if submission.trouble:
        lines += ["", f"This could not be graded: {plain(submission.trouble)}"]
    lines += [f"- {plain(remark)}" for remark in submission.remarks]
    for exercise in exercises.values():
        outcomes = result.outcomes.get(exercise.id, [])
        if outcomes:
            lines += ["", *exercise_feedback(exercise, outcomes, result.points[exercise.id])]
    return "\n".join(lines) + "\n"


def exercise_feedback(exercise: Exercise, outcomes: Sequence[Outcome], points: int) -> Iterator[str]:
    """The section of one exercise."""
    yield f"## {exercise.id} {exercise.title}: {points} of {exercise.points - exercise.person_points}"
    if exercise.person_points:
        yield f"\nYour sentence in answers.toml is read by a person, for up to {exercise.person_points} points more."
    failed = first_failure(outcomes)
    passed = sum(outcome.passed for outcome in outcomes)
    if failed is None or failed.kind == "unwritten":
        yield "\nNot written yet." if failed else f"\nAll {passed} checks pass."
        return
    if failed.check != GATE:
        yield f"\n{passed} of {len(outcomes)} checks pass. The first that does not is `{failed.check}`:"
    yield "\n~~~text\n" + plain(failed.report, keep_lines=True) + "\n~~~\n"
    yield f"Read tutorials/{chapter_page(exercise)} again. A first hint: {exercise.hints[0]}"


def plain(text: str, keep_lines: bool = False) -> str:
    """A text that a student's code may have written, so that it cannot be anything but text on a page."""
    text = text[:LONGEST_REPORT].replace("~~~", "~ ~ ~")
    text = "".join(c for c in text if c.isprintable() or (keep_lines and c == "\n"))
    return text if keep_lines else re.sub(r"[<>`\[\]|]", "'", text)


# ---- The class -----------------------------------------------------------------------------------------------------


def class_page(graded: Sequence[Graded], exercises: Mapping[str, Exercise], fences: str) -> str:
    """The page about the class: what to teach again, sentences that a person reads, and what else needs a look."""
    sections = [
        f"# The class: {len(graded)} submissions\n\nThe fences: {fences}.",
        "## Exercises\n\n" + "\n".join(pass_rates(graded, exercises)),
        "## What to teach again\n\n" + ("\n".join(teach_again(graded, exercises)) or "Nothing: every check passed."),
        "## Sentences that a person reads\n\n" + "\n".join(sentences(graded, exercises)),
        "## Worth a look\n\n" + ("\n".join(worth_a_look(graded, exercises)) or "Nothing."),
    ]
    return "\n\n".join(sections) + "\n"


def attempted(result: Graded, exercise: Exercise, stubs: Mapping[str, str]) -> bool:
    """True if the exercise's function, or a bug hunt's file, is not as it was handed out."""
    text, stub = result.submission.texts.get(exercise.file, ""), stubs[exercise.file]
    if exercise.original:
        return changed_lines(stub, text) > 0
    mine, theirs = (source(part, exercise.function) for part in (text, stub))
    return mine != theirs


def pass_rates(graded: Sequence[Graded], exercises: Mapping[str, Exercise]) -> Iterator[str]:
    """A table: who tried, who passed, how many hints they took."""
    stubs = handed_out()
    yield "| exercise | tried | all checks pass | mean points | hints taken |"
    yield "|---|--:|--:|--:|--:|"
    for e in exercises.values():
        tried = sum(attempted(result, e, stubs) for result in graded)
        passed = sum(e.id in result.outcomes and first_failure(result.outcomes[e.id]) is None for result in graded)
        mean = sum(result.points[e.id] for result in graded) / len(graded)
        hints = sum(result.submission.hints.get(e.id, 0) for result in graded)
        yield f"| {e.id} {e.title} | {tried} | {passed} | {mean:.1f} of {e.points - e.person_points} | {hints} |"


def teach_again(graded: Sequence[Graded], exercises: Mapping[str, Exercise]) -> Iterator[str]:
    """The checks that stopped those who tried, and what they are about; the most frequent first."""
    stubs = handed_out()
    stops: Counter[tuple[str, str]] = Counter()
    for result in graded:
        for exercise, outcomes in result.outcomes.items():
            failed = first_failure(outcomes)
            if failed is not None and failed.kind != "refused" and attempted(result, exercises[exercise], stubs):
                stops[exercise, failed.check if failed.kind == "wrong" else ""] += 1
    for (exercise, name), count in stops.most_common():
        page = chapter_page(exercises[exercise])
        about = next((c.__doc__.splitlines()[0] for c in CHECKS[exercise] if c.__name__ == name and c.__doc__), "")
        if name:
            yield f"- {count} of {len(graded)} stopped at **{exercise} {name}**: {about} (tutorials/{page})"
        else:
            yield f"- {count} of {len(graded)} wrote code for **{exercise}** that raises an exception or does not end"


def sentences(graded: Sequence[Graded], exercises: Mapping[str, Exercise]) -> Iterator[str]:
    """The predictions and reasons of type C, for the columns of grades.csv that are empty."""
    for exercise in exercises.values():
        if not exercise.person_points:
            continue
        yield f"### {exercise.id} {exercise.title}, 0 to {exercise.person_points} points each\n"
        for result in graded:
            answers = parse_answers(result.submission.texts.get(ANSWERS, ""))[0].get(exercise.id, {})
            guesses = [str(value) for name, value in answers.items() if name.startswith("prediction") and value]
            because = plain(str(answers.get("because", "")))
            if guesses or because:
                yield f"- {result.submission.student}: predicted {plain(', '.join(guesses)) or 'nothing'}; {because}"
        yield ""


def worth_a_look(graded: Sequence[Graded], exercises: Mapping[str, Exercise]) -> Iterator[str]:
    """Troubles, remarks, late ones, and equal functions."""
    for result in graded:
        submission = result.submission
        notes = [submission.trouble] if submission.trouble else []
        notes += [f"{result.late_hours:.1f} hours late"] if result.late_hours else []
        for note in [*notes, *submission.remarks]:
            yield f"- {submission.student}: {plain(note)}"
    solved = {f"tutorials/exercises/{name}": text for name, text in masters().items()}
    texts = {f"{r.submission.student} ({r.submission.file})": r.submission.texts for r in graded}
    for exercise, owners in equal_functions(texts, exercises, {STUBS: handed_out(), SOLUTIONS: solved}):
        yield f"- {exercise}: the same function, but for names and layout, in {', '.join(owners)}"


def handed_out() -> dict[str, str]:
    """The stubs by file."""
    return {path.as_posix(): text for path, text in stub_files().items()}
