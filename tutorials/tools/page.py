"""A chapter as data: its meta comment, its fences, its sections, and its prose."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from minigpt.runs.errors import UserError
from tutorials.tools.fences import Fence, read_fences

ROOT = Path(__file__).resolve().parents[2]
TUTORIALS = ROOT / "tutorials"

PATTERNS = ("[0-9][0-9]-*.md", "[A-Z]-*.md")  # chapters, appendices

# ---- The meta comment --------------------------------------------------------------------------------------------

META = re.compile(r"\A<!-- chapter\n(?P<lines>.*?)^-->\n", re.MULTILINE | re.DOTALL)
META_KEYS = ("id", "kind", "needs", "read", "do", "ci_seconds", "builds", "code", "exercises")
CHAPTER_KINDS = ("setup", "concept", "training", "appendix")


@dataclass(frozen=True)
class Meta:
    """The comment that a chapter begins with, as data. `read` and `do` are minutes."""

    id: str
    kind: str
    needs: tuple[str, ...]
    read: int
    do: int
    ci_seconds: int
    builds: str
    code: tuple[str, ...]
    exercises: tuple[str, ...]


def read_meta(text: str, where: str) -> Meta:
    """Raises UserError, naming the line that is missing or wrong."""
    match = META.match(text)
    if not match:
        raise UserError(f"{where} must begin with a comment `<!-- chapter`, lines `key: value`, and `-->`; add it")
    values = {}
    for line in match["lines"].splitlines():
        key, colon, value = line.partition(":")
        if not colon or key not in META_KEYS or key in values:
            raise UserError(
                f"{where}: {line!r} in the chapter comment is no line `key: value` with a key of its own; "
                f"the keys are {', '.join(META_KEYS)}"
            )
        values[key] = value.strip()
    if missing := [key for key in META_KEYS if key not in values]:
        raise UserError(f"{where}: the chapter comment lacks {', '.join(missing)}; add them")
    if values["kind"] not in CHAPTER_KINDS:
        raise UserError(f"{where}: kind is {values['kind']!r}, expected one of {', '.join(CHAPTER_KINDS)}")
    for key in ("read", "do", "ci_seconds"):
        if not values[key].isdecimal():
            raise UserError(f"{where}: {key} is {values[key]!r}, expected a whole number")
    return Meta(
        values["id"],
        values["kind"],
        tuple(values["needs"].split()),
        int(values["read"]),
        int(values["do"]),
        int(values["ci_seconds"]),
        values["builds"],
        tuple(values["code"].split()),
        tuple(values["exercises"].split()),
    )


# ---- The page ----------------------------------------------------------------------------------------------------

COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
GENERATED = re.compile(r"<!-- (?P<name>[a-z]+):start -->.*?<!-- (?P=name):end -->", re.DOTALL)
HEADING = re.compile(r"^(?P<marks>#{1,6}) +(?P<title>.*?) *$", re.MULTILINE)
CODE_SPAN = re.compile(r"(?P<ticks>`+)(?!`)(?P<code>[^\n]+?)(?<!`)(?P=ticks)(?!`)")
SPAN_OR_COMMENT = re.compile(f"{CODE_SPAN.pattern}|{COMMENT.pattern}", re.DOTALL)


def blank_comments(text: str) -> str:
    """`text` with blanks in place of comments; what only talks about them, as in `<!--`, stays."""
    return SPAN_OR_COMMENT.sub(lambda match: match[0] if match["code"] else re.sub(r"[^\n]", " ", match[0]), text)


def blank(pattern: re.Pattern[str], text: str) -> str:
    """`text` with blanks in place of what matches, line ends kept: every position stays where it was."""
    return pattern.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)


@dataclass(frozen=True)
class Section:
    """A heading, and the lines that it rules: from its own to the one before the next heading of its level or above."""

    level: int
    title: str
    line: int
    last: int


@dataclass(frozen=True)
class Page:
    """One Markdown file, read once."""

    path: Path
    text: str

    @classmethod
    def read(cls, path: Path) -> Page:
        """Raises UserError if there is no such file or it is not UTF-8."""
        try:
            return cls(path, path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UserError(f"{path} does not exist; give the name of a chapter") from None
        except UnicodeDecodeError as error:
            raise UserError(f"{path} is not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8") from None

    @property
    def where(self) -> str:
        """The path as one would type it at the root of the repository."""
        return (self.path.relative_to(ROOT) if self.path.is_relative_to(ROOT) else self.path).as_posix()

    @cached_property
    def fences(self) -> tuple[Fence, ...]:
        return read_fences(self.text, self.where)

    @cached_property
    def meta(self) -> Meta:
        return read_meta(self.text, self.where)

    @cached_property
    def prose(self) -> str:
        """The text with blanks in place of fences and comments; line numbers and columns are those of the file."""
        lines = self.text.split("\n")
        for fence in self.fences:
            for number in range(fence.line - 1, fence.last):
                lines[number] = " " * len(lines[number])
        return blank_comments("\n".join(lines))

    @cached_property
    def own_prose(self) -> str:
        """`prose` without what `update` generates: what a person wrote."""
        generated = blank(GENERATED, self.text)
        kept = [
            own if made == whole else " " * len(own)
            for own, made, whole in zip(
                self.prose.split("\n"), generated.split("\n"), self.text.split("\n"), strict=True
            )
        ]
        return "\n".join(kept)

    @cached_property
    def title(self) -> str:
        """The text of the first heading; "" if there is none."""
        return next((section.title for section in self.sections), "")

    @cached_property
    def sections(self) -> tuple[Section, ...]:
        found = [
            (len(match["marks"]), match["title"], self.line_of(match.start())) for match in HEADING.finditer(self.prose)
        ]
        sections = []
        for index, (level, title, line) in enumerate(found):
            following = [other[2] - 1 for other in found[index + 1 :] if other[0] <= level]
            sections.append(Section(level, title, line, following[0] if following else self.text.count("\n") + 1))
        return tuple(sections)

    def line_of(self, position: int) -> int:
        return self.text.count("\n", 0, position) + 1

    def fences_of(self, kind: str) -> list[Fence]:
        return [fence for fence in self.fences if fence.kind == kind]

    def fences_in(self, section: Section) -> list[Fence]:
        return [fence for fence in self.fences if section.line <= fence.line <= section.last]


def chapter_files(folder: Path = TUTORIALS) -> list[Path]:
    """NN-name.md in the order of their numbers, then the appendices, A-name.md."""
    return sorted(path for pattern in PATTERNS for path in folder.glob(pattern))


def chapters(folder: Path = TUTORIALS, only: str = "") -> Iterator[Page]:
    """Every chapter, or those whose file name begins with `only`. Raises UserError if there is none."""
    paths = [path for path in chapter_files(folder) if path.name.startswith(only)]
    if not paths:
        names = ", ".join(path.name for path in chapter_files(folder)) or "none"
        raise UserError(f"no chapter in {folder} begins with {only!r}; there are: {names}")
    return (Page.read(path) for path in paths)
