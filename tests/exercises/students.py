"""Submissions of made-up students."""

import datetime
import hashlib
import json
import zipfile

from tutorials.exercises.registry import load_register
from tutorials.exercises.submission import student_files
from tutorials.grading.stubs import MASTERS, masters, stub_files

NOON = datetime.datetime(2026, 12, 1, 12, tzinfo=datetime.UTC)


def solved_texts():
    """The files of somebody who has solved everything."""
    return {file: masters()[file.removeprefix("tutorials/exercises/")] for file in student_files(load_register())}


def stub_texts():
    """The files as they were handed out."""
    stubs = {path.as_posix(): text for path, text in stub_files().items()}
    return {file: stubs[file] for file in student_files(load_register())}


def pack(folder, name, texts, *, time=NOON, others=None, measured=True, **manifest):
    """A submission as `submit` writes it, with `others` put into it afterwards."""
    plain = (MASTERS / "measured.json").read_text(encoding="utf-8") if measured else "{}"
    files = {**texts, "measured.json": plain, "progress.json": json.dumps({"hints": {"4.1": 2}, "plugged": []})}
    digests = {file: hashlib.sha256(text.encode()).hexdigest() for file, text in files.items()}
    data = {"name": name, "time": time.isoformat(), "sha256": digests, **manifest}
    path = folder / f"submission_{name.lower().replace(' ', '-')}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file, text in {**files, "manifest.json": json.dumps(data), **(others or {})}.items():
            archive.writestr(file, text)
    return path
