"""The hand-out for students: the packages, the chapters, the exercises as stubs. No solutions, no grader.

    python -m tutorials.grading.handout --out handout.zip
    python -m tutorials.grading.handout --out a/folder

The package is in it, and so is the reference code of attention and of the losses: the exercises of type A rebuild what
can be read there. That is why half of the points are elsewhere, and why the checks refuse to import it.
"""

from __future__ import annotations

import os
import re
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from minigpt.runs.config import Settings, option, parse
from minigpt.runs.errors import UserError, run_main
from minigpt.runs.files import TEMPORARY, atomic_file
from tutorials.exercises.registry import ROOT
from tutorials.grading.stubs import stub_files

FILES = ("README.md", "LICENSE", "Makefile", "pyproject.toml", "requirements.txt", "requirements-dev.txt", ".gitignore")
FOLDERS = ("minigpt", "rlhf", "tutorials", "tests")
# For teachers, or of no use without what is for teachers.
LEFT_OUT = ("tutorials/instructor", "tutorials/grading", "tutorials/TEACHING.md", "tests/exercises", "tests/tutorials")
LINK = re.compile(r"\[([^\[\]]*)\]\((?!https?:|mailto:|#)([^()\s]+)\)")
SUFFIXES = (".py", ".md", ".toml", ".txt", ".json", ".jsonl", ".svg", ".png", ".css", ".js", ".jinja", ".sql", ".gz")


@dataclass(frozen=True)
class HandoutConfig(Settings):
    """The place of the hand-out."""

    out: str = option("", help="a file that ends in .zip, or a folder that does not exist yet")


def handout_files() -> Iterator[tuple[str, bytes]]:
    """(path, contents) of everything in it, in a fixed order."""
    stubs = {path.as_posix(): text for path, text in stub_files().items()}
    paths = {ROOT / name for name in FILES if (ROOT / name).is_file()}
    for folder in FOLDERS:
        paths |= {path for path in (ROOT / folder).rglob("*") if path.suffix in SUFFIXES and path.is_file()}
    for path in sorted(paths):
        name = path.relative_to(ROOT).as_posix()
        if is_left_out(name) or "__pycache__" in path.parts:
            continue
        if name in stubs:  # a teacher may have solved the exercises in this very folder: students get stubs
            yield name, stubs[name].encode("utf-8")
        elif path.suffix == ".md":
            yield name, without_links_to_left_out(path.read_text(encoding="utf-8"), path.parent).encode("utf-8")
        else:
            yield name, path.read_bytes()


def is_left_out(name: str) -> bool:
    """True for a path below the root that is not handed out."""
    return any(name == part or name.startswith(part + "/") for part in LEFT_OUT)


def without_links_to_left_out(text: str, folder: Path) -> str:
    """A page of `folder` in which links to what is not handed out have become their text."""

    def plain(match: re.Match[str]) -> str:
        target = (folder / match[2].split("#")[0]).resolve()
        outside = target.is_relative_to(ROOT) and is_left_out(target.relative_to(ROOT).as_posix())
        return f"{match[1]} (not handed out)" if outside else match[0]

    return LINK.sub(plain, text)


def write_zip(path: Path) -> int:
    """The hand-out as a zip, whole or not at all; how many files it holds."""
    with atomic_file(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in handout_files():
            archive.writestr(name, data)
        return len(archive.namelist())


def write_folder(path: Path) -> int:
    """The hand-out as a folder, whole or not at all; how many files it holds."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY}")
    count = 0
    try:
        for name, data in handout_files():
            target = temporary / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
            count += 1
        temporary.rename(path)
    except OSError as error:
        raise UserError(f"{path} could not be written: {error.strerror}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)  # after a success it has already moved
    return count


def main(argv: list[str]) -> None:
    """Writes the hand-out."""
    config = parse(HandoutConfig, argv, description=__doc__, presets={})
    if not config.out:
        raise UserError("--out: where to? Give a file that ends in .zip, or a folder that does not exist yet")
    out = Path(config.out)
    if out.suffix == ".zip":
        count = write_zip(out)
    elif out.exists():
        raise UserError(f"--out: {out} exists already; give a folder that does not, so that nothing old is handed out")
    else:
        count = write_folder(out)
    print(f"wrote {count} files to {out}; students begin with tutorials/00-setup.md")


if __name__ == "__main__":
    run_main(main)
