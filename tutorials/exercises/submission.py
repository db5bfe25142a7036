"""A student's work as one zip file: submission_<name>.zip.

It holds the exercise files, answers.toml, what `plug` measured, how many hints were taken, and a manifest: name, time,
versions, the student's own results and a SHA-256 of every file. The time is that of the student's clock.
"""

from __future__ import annotations

import datetime
import hashlib
import importlib.metadata
import io
import json
import platform
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minigpt.runs.errors import UserError
from minigpt.runs.files import atomic_file
from tutorials.exercises.progress import Progress
from tutorials.exercises.registry import ANSWERS, Exercise
from tutorials.exercises.work import Work

NAME = re.compile(r"[\w .'’-]{1,60}")
MANIFEST, MEASURED, PROGRESS = "manifest.json", "measured.json", "progress.json"


def student_files(exercises: Mapping[str, Exercise]) -> list[str]:
    """The files that students write into, and that are handed in."""
    return sorted({exercise.file for exercise in exercises.values()} | {ANSWERS})


def check_name(name: str) -> None:
    """Raises UserError unless the name can be a file name and a cell of a table."""
    if not NAME.fullmatch(name.strip()):
        example = '--name "Ada Lovelace"'
        raise UserError(
            f"--name: {name!r} is not a name; give letters, digits, blanks, hyphens, dots, 60 at most, as in {example}"
        )


def file_name(name: str) -> str:
    """submission_ada-lovelace.zip."""
    plain = re.sub(r"[^\w]+", "-", name.strip().lower()).strip("-")
    return f"submission_{plain}.zip"


def write(name: str, exercises: Mapping[str, Exercise], work: Work, progress: Progress, folder: Path) -> Path:
    """Write the zip into `folder`, whole or not at all; its path. Raises UserError if a file is missing."""
    files: dict[str, str] = {}
    for file in student_files(exercises):
        text = work.text(file)
        if text is None:
            raise UserError(f"{file} is missing, too large or no UTF-8 text; take it from the hand-out again")
        files[file] = text
    files[MEASURED] = json.dumps(work.measured, indent=2)
    files[PROGRESS] = json.dumps({"hints": progress.hints, "plugged": progress.plugged}, indent=2)
    files[MANIFEST] = json.dumps(manifest(name, files, progress), indent=2, ensure_ascii=False)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for file, text in files.items():
            archive.writestr(file, text)
    path = folder / file_name(name)
    with atomic_file(path) as out:
        out.write(buffer.getvalue())
    return path


def manifest(name: str, files: Mapping[str, str], progress: Progress) -> dict[str, Any]:
    """The manifest: name, time, versions, the results of the student's own checks, and a digest of each file."""
    results = {number: [sum(r.checks.values()), len(r.checks)] for number, r in progress.results.items()}
    versions = {
        "python": platform.python_version(),
        "torch": importlib.metadata.version("torch"),
        "system": platform.system(),
    }
    return {
        "name": name.strip(),
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": versions,
        "results": results,
        "sha256": {file: hashlib.sha256(text.encode("utf-8")).hexdigest() for file, text in files.items()},
    }
