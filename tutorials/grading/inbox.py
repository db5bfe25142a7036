"""Submissions as they arrive: zip files that strangers made. What is read is what is expected, and nothing else."""

from __future__ import annotations

import datetime
import hashlib
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minigpt.runs.errors import UserError
from tutorials.exercises.registry import Exercise
from tutorials.exercises.submission import MANIFEST, MEASURED, NAME, PROGRESS, student_files
from tutorials.exercises.work import LARGEST_FILE

MOST_FILES = 500
SHOWN = 3  # names in a remark


@dataclass
class Submission:
    """One student's work: texts by path, and what else is known. `trouble` says why there is nothing to grade."""

    file: str
    student: str
    texts: dict[str, str] = field(default_factory=dict)
    measured: dict[str, Any] = field(default_factory=dict)
    hints: dict[str, int] = field(default_factory=dict)
    time: datetime.datetime | None = None
    remarks: list[str] = field(default_factory=list)
    trouble: str = ""

    def late_hours(self, deadline: datetime.datetime | None) -> float:
        """Hours after the deadline by the student's clock; 0 if in time, or if either is not known."""
        if deadline is None or self.time is None:
            return 0.0
        return max(0.0, (self.time - deadline).total_seconds() / 3600)


def find_submissions(folder: Path) -> list[Path]:
    """The zip files in a folder. Raises UserError if there are none."""
    if not folder.is_dir():
        raise UserError(f"--dir: {folder} is no folder; give the one with the submission_*.zip files")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".zip")
    if not paths:
        raise UserError(
            f"--dir: {folder} holds no .zip file; students make theirs with `python -m tutorials.exercises submit`"
        )
    return paths


def read_submission(path: Path, exercises: Mapping[str, Exercise]) -> Submission:
    """The submission in a zip file. Never raises for its contents: what is wrong with it stands in the result."""
    submission = Submission(path.name, path.stem.removeprefix("submission_"))
    try:
        texts, others = _texts(path, [*student_files(exercises), MANIFEST, MEASURED, PROGRESS])
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError) as error:
        submission.trouble = f"the zip file cannot be read: {error}"
        return submission
    manifest, submission.measured, progress = (_json(texts.pop(name, "")) for name in (MANIFEST, MEASURED, PROGRESS))
    submission.texts = texts
    if not texts:
        submission.trouble = "the zip file holds no exercise file"
    if others:
        listed = ", ".join(others[:SHOWN]) + (" …" if len(others) > SHOWN else "")
        submission.remarks.append(f"holds {len(others)} files that are not the student's to change, not used: {listed}")
    _read_manifest(submission, manifest)
    hints = progress.get("hints")
    if isinstance(hints, dict):
        submission.hints = {str(k): v for k, v in hints.items() if type(v) is int}
    return submission


def _texts(path: Path, wanted: list[str]) -> tuple[dict[str, str], list[str]]:
    """(the wanted files as text, the names of all others). A zip bomb is read up to LARGEST_FILE and no further."""
    texts, others = {}, []
    with zipfile.ZipFile(path) as archive:
        members = [info for info in archive.infolist() if not info.is_dir()]
        if len(members) > MOST_FILES:
            raise ValueError(f"{len(members)} files, and at most {MOST_FILES} are read")
        # some systems pack everything into one more folder
        tops = {info.filename.split("/")[0] for info in members}
        prefix = f"{tops.pop()}/" if len(tops) == 1 and "tutorials" not in tops and len(members) > 1 else ""
        for info in members:
            name = info.filename.removeprefix(prefix)
            if name not in wanted:
                others.append(name[:80])
                continue
            with archive.open(info) as file:
                data = file.read(LARGEST_FILE + 1)
            if len(data) > LARGEST_FILE:
                raise ValueError(f"{name} is larger than {LARGEST_FILE:,} bytes")
            texts[name] = data.decode("utf-8", errors="replace")
    return texts, others


def _json(text: str) -> dict[str, Any]:
    try:
        data = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def _read_manifest(submission: Submission, manifest: dict[str, Any]) -> None:
    name, time = manifest.get("name"), manifest.get("time")
    if isinstance(name, str) and NAME.fullmatch(name):
        submission.student = name
    else:
        submission.remarks.append("no name in the manifest, so the file's name is used")
    try:
        submission.time = datetime.datetime.fromisoformat(time)
        submission.time.astimezone(datetime.UTC)
    except (TypeError, ValueError, OverflowError):
        submission.time = None
        submission.remarks.append("no time in the manifest")
    if submission.time is not None and submission.time.tzinfo is None:
        submission.time = submission.time.replace(tzinfo=datetime.UTC)
    digests = manifest.get("sha256")
    if isinstance(digests, dict):
        other = [
            n for n, text in submission.texts.items() if digests.get(n) != hashlib.sha256(text.encode()).hexdigest()
        ]
        if other:
            submission.remarks.append(f"changed after it was packed: {', '.join(other)}")
