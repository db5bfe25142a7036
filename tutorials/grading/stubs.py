"""The students' files, made from the masters in tutorials/instructor/solutions/.

    python -m tutorials.grading.stubs

A master is a file with its solutions in it, between two comments:

    # SOLUTION                    the stub has instead: raise NotImplementedError("4.1")
    …
    # END SOLUTION

or, where the stub has other lines, as in a bug hunt, these lines as comments:

    # SOLUTION
    …
    # STUB
    # weights = …                 the stub has: weights = …
    # END SOLUTION
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from minigpt.runs.config import Settings, parse
from minigpt.runs.errors import run_main
from minigpt.runs.files import write_text
from tutorials.exercises.registry import ROOT, load_register

MASTERS = ROOT / "tutorials" / "instructor" / "solutions"
BLOCK = re.compile(r"^([ \t]*)# SOLUTION\n(.*?)^[ \t]*# END SOLUTION\n", flags=re.MULTILINE | re.DOTALL)
STUB = re.compile(r"^[ \t]*# STUB\n", flags=re.MULTILINE)
HEADING = re.compile(r"^# ---- (\d+\.\d+) ", flags=re.MULTILINE)


@dataclass(frozen=True)
class StubsConfig(Settings):
    """Nothing to choose."""


def without_solutions(master: str) -> str:
    """The stub of a master. Raises ValueError if its markers do not fit together."""

    def stub(match: re.Match[str]) -> str:
        indent, body = match.groups()
        if STUB.search(body):
            instead = STUB.split(body, maxsplit=1)[1]
            return re.sub(rf"^{indent}# ?", indent, instead, flags=re.MULTILINE)
        headings = [heading for heading in HEADING.finditer(master) if heading.end() <= match.start()]
        if not headings:
            raise ValueError("a solution stands before the first heading `# ---- 4.1 …`")
        return f'{indent}raise NotImplementedError("{headings[-1][1]}")\n'

    text = BLOCK.sub(stub, master)
    if "SOLUTION" in text:
        raise ValueError("a marker of a solution has no partner")
    return text


def solutions(master: str) -> list[str]:
    """The texts between the markers, without what the stub has instead."""
    return [STUB.split(match[2], maxsplit=1)[0] for match in BLOCK.finditer(master)]


def masters() -> dict[str, str]:
    """The text of every master by its path below tutorials/exercises/."""
    paths = sorted(path for suffix in ("*.py", "*.toml") for path in MASTERS.rglob(suffix))
    return {path.relative_to(MASTERS).as_posix(): path.read_text(encoding="utf-8") for path in paths}


def stub_files() -> dict[Path, str]:
    """All files that students get from masters, originals of bug hunts included: path below the root -> text."""
    exercises = Path("tutorials/exercises")
    files = {exercises / name: without_solutions(text) for name, text in masters().items()}
    for exercise in load_register().values():
        if exercise.original:
            files[Path(exercise.original)] = files[Path(exercise.file)]
    return files


def main(argv: list[str]) -> None:
    """Writes the files that differ."""
    parse(StubsConfig, argv, description=__doc__, presets={})
    for path, text in stub_files().items():
        target = ROOT / path
        if not target.exists() or target.read_text(encoding="utf-8") != text:
            write_text(target, text)
            print(f"wrote {path}")


if __name__ == "__main__":
    run_main(main)
