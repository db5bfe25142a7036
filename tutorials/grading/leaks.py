"""Tests of the hints and the hand-out: no solution in them, no dangling link, and the hand-out works by itself."""

from __future__ import annotations

import difflib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tutorials.exercises.registry import Exercise
from tutorials.grading.handout import LEFT_OUT, LINK, write_folder
from tutorials.grading.stubs import masters, solutions, without_solutions

LONGEST_SHARED = 24  # characters that a hint may have in common with a solution
SHORTEST_LINE = 25  # a shorter line of a solution is anybody's
SECONDS = 120


def squeezed(text: str) -> str:
    """Without line ends, and with one blank between words: layout hides nothing."""
    return " ".join(text.split())


def longest_shared(first: str, second: str) -> str:
    """The longest run of characters that is in both."""
    first, second = squeezed(first).lower(), squeezed(second).lower()
    match = difflib.SequenceMatcher(a=first, b=second, autojunk=False).find_longest_match()
    return first[match.a : match.a + match.size]


def find(exercises: dict[str, Exercise]) -> list[str]:
    """Everything that gives a solution away, and everything that does not work in the hand-out."""
    troubles = list(leaking_hints(exercises))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "handout"
        write_folder(root)
        troubles += leaking_files(root)
        troubles += dangling_links(root)
        troubles += commands_that_fail(root)
    return troubles


def leaking_hints(exercises: dict[str, Exercise]) -> Iterator[str]:
    """Hints that share a long run of characters with the solution of any exercise of their chapter's files."""
    texts = masters()
    for exercise in exercises.values():
        solved = texts[exercise.file.removeprefix("tutorials/exercises/")]
        for number, hint in enumerate(exercise.hints, start=1):
            for solution in solutions(solved):
                shared = longest_shared(hint, solution)
                if len(shared) > LONGEST_SHARED:
                    yield f"{exercise.id}, hint {number} shares {shared!r} with the solution"


def leaking_files(root: Path) -> Iterator[str]:
    """Files of the hand-out that hold a whole solution anywhere, or a line of one among the exercises."""
    for part in LEFT_OUT:
        if (root / part).exists():
            yield f"{part} is in the hand-out"
    blocks = {name: [squeezed(block) for block in solutions(text)] for name, text in masters().items()}
    lines = {name: secret_lines(text) for name, text in masters().items()}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.suffix not in (".py", ".md", ".toml", ".txt"):
            continue
        text = path.read_text(encoding="utf-8")
        whole = squeezed(text)
        for master, parts in blocks.items():
            if any(block in whole for block in parts):
                yield f"{name} holds a solution of {master}"
            if name.startswith("tutorials/exercises/"):
                found = lines[master] & {squeezed(line) for line in text.splitlines()}
                yield from (f"{name} holds a line of the solution of {master}: {line}" for line in sorted(found))


def dangling_links(root: Path) -> Iterator[str]:
    """Links of the pages that lead to a file which is not in the hand-out."""
    for path in sorted([root / "README.md", *(root / "tutorials").rglob("*.md")]):
        for match in LINK.finditer(path.read_text(encoding="utf-8")):
            if not (path.parent / match[2].split("#")[0]).exists():
                yield f"{path.relative_to(root)} links to {match[2]}, which is not in the hand-out"


def secret_lines(master: str) -> set[str]:
    """The lines of a master's solutions that are long enough to mean something, and in no stub."""
    shown = {squeezed(line) for text in masters().values() for line in without_solutions(text).splitlines()}
    hidden = {squeezed(line) for block in solutions(master) for line in block.splitlines()}
    return {line for line in hidden - shown if len(line) >= SHORTEST_LINE}


def commands_that_fail(root: Path) -> Iterator[str]:
    """`status`, and `check` of an exercise that is not solved, in a folder that knows nothing of this repository."""
    # no PATH, so no git; no PYTHONPATH, so nothing but what was handed out
    environment = {name: os.environ[name] for name in ("SYSTEMROOT", "LD_LIBRARY_PATH") if name in os.environ}
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8", "HOME": str(root)}
    for arguments, status, expected in ((["status"], 0, "points, 0 of "), (["check", "4.1"], 1, "not written yet")):
        done = subprocess.run(
            [sys.executable, "-m", "tutorials.exercises", *arguments],
            cwd=root,
            env=environment,
            timeout=SECONDS,
            capture_output=True,
            text=True,
            encoding="utf-8",
        )
        if done.returncode != status or expected not in done.stdout:
            said = (done.stdout + done.stderr).strip().splitlines()[-1:]
            yield f"in the hand-out `{' '.join(arguments)}` ended with {done.returncode}, expected {status}: {said}"
