"""The parts of a page between markers: navigation, the tables of exercises, the map of all chapters and its graph.

A written chapter describes itself in its first comment; tutorials/planned.toml describes the others.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minigpt.runs.errors import UserError
from tutorials.tools.page import TUTORIALS, Page, chapter_files

KINDS_OF_EXERCISE = {
    "A": "rebuild",
    "B": "variation",
    "C": "predict and measure",
    "D": "bug hunt or test",
}
# the four parts of the course, each by its first and last chapter
PARTS = (
    ("I The transformer", "00", "09"),
    ("II From language model to prompts", "10", "13"),
    ("III The three stages", "14", "19"),
    ("IV What the articles claim", "20", "25"),
    ("Appendices, to look things up", "A", "Z"),
)
NEEDED_OF_EXERCISE = ("id", "chapter", "title", "type", "difficulty", "importance", "minutes", "points", "file")


@dataclass(frozen=True)
class Entry:
    """One chapter of the map. `file` is "" while it is not written; `ci_seconds` is 0 then."""

    id: str
    title: str
    builds: str
    read: int
    do: int
    needs: tuple[str, ...]
    exercises: tuple[str, ...]
    file: str = ""
    ci_seconds: int = 0

    @property
    def name(self) -> str:
        return f"{self.id} {self.title}"

    @property
    def link(self) -> str:
        return f"[{self.name}]({self.file})" if self.file else f"{self.name} *(not yet written)*"


def entries(folder: Path = TUTORIALS) -> list[Entry]:
    """All chapters in order, written and planned. Raises UserError if two have one number."""
    found = []
    for path in chapter_files(folder):
        page = Page.read(path)
        meta = page.meta
        found.append(
            Entry(
                meta.id,
                page.title,
                meta.builds,
                meta.read,
                meta.do,
                meta.needs,
                meta.exercises,
                path.name,
                meta.ci_seconds,
            )
        )
    for item in _load_toml(folder / "planned.toml").get("chapter", []):
        found.append(
            Entry(
                item["id"],
                item["title"],
                item["builds"],
                item["read"],
                item["do"],
                tuple(item["needs"]),
                tuple(item["exercises"]),
            )
        )
    ids = [entry.id for entry in found]
    if twice := [id for id in ids if ids.count(id) > 1]:
        raise UserError(f"chapter {twice[0]} is there twice: a chapter that is written leaves planned.toml")
    return sorted(found, key=lambda entry: entry.id)


def load_exercises(folder: Path = TUTORIALS) -> list[dict[str, Any]]:
    """The exercises of exercises/exercises.toml. Raises UserError if one lacks what a table shows."""
    path = folder / "exercises" / "exercises.toml"
    items = _load_toml(path).get("exercise", [])
    for number, item in enumerate(items, start=1):
        if missing := [key for key in NEEDED_OF_EXERCISE if key not in item]:
            raise UserError(f"{path}, exercise {item.get('id', number)}: {', '.join(missing)} is missing; add it")
        if item["type"] not in KINDS_OF_EXERCISE:
            raise UserError(f"{path}, exercise {item['id']}: type is {item['type']!r}, expected one of A, B, C, D")
    return items


def _load_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}  # a folder may have no exercises, or nothing planned
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path} is no TOML: {error}; mend it") from None


# ---- The parts of a chapter --------------------------------------------------------------------------------------


def navigation(page: Page, all_entries: Sequence[Entry]) -> str:
    """The chapter before, the map, the chapter after."""
    numbers = [entry.id for entry in all_entries]
    here = numbers.index(page.meta.id)
    before = [f"← {all_entries[here - 1].link}"] if here else []
    after = [f"{all_entries[here + 1].link} →"] if here + 1 < len(numbers) else []
    return " · ".join([*before, "[all chapters](README.md)", *after])


def header(page: Page, all_entries: Sequence[Entry]) -> str:
    """Navigation, and what a reader wants to know before the first line."""
    meta = page.meta
    needs = ", ".join(entry.link for entry in all_entries if entry.id in meta.needs) or "nothing"
    builds = "you find" if meta.kind == "appendix" else "you build"
    return (
        f"{navigation(page, all_entries)}\n\n"
        f"**Needs** {needs} · **{builds}** {meta.builds} · **time** {meta.read} minutes to read, {meta.do} to do · "
        f"**computes** at most {meta.ci_seconds} s on one core; no download, no GPU"
    )


def exercise_table(chapter: str, exercises: Sequence[dict[str, Any]]) -> str:
    """The exercises of one chapter. Raises UserError if it has none."""
    rows = [item for item in exercises if item["chapter"] == chapter]
    if not rows:
        raise UserError(f"exercises.toml has no exercise of chapter {chapter!r}, but the chapter has a table of them")
    lines = ["| exercise | kind | difficulty | importance | minutes | points |", "|---|---|---|---|--:|--:|"]
    for item in rows:
        title = f"[{item['id']} {item['title']}](../{item['file']})"
        kind = KINDS_OF_EXERCISE[item["type"]]
        lines.append(
            f"| {title} | {kind} | {dots(item['difficulty'])} | {dots(item['importance'])} "
            f"| {item['minutes']} | {item['points']} |"
        )
    return "\n".join(lines)


def dots(count: int) -> str:
    """3 of 5 as ●●●○○."""
    return "●" * count + "○" * (5 - count)


# ---- The parts of the map ----------------------------------------------------------------------------------------


def map_table(all_entries: Sequence[Entry]) -> str:
    """All chapters as a table, part by part, and what they take together."""
    lines = ["| chapter | you build | read | do | needs | exercises |", "|---|---|--:|--:|---|---|"]
    for part, first, last in PARTS:
        members = [entry for entry in all_entries if first <= entry.id <= last]
        lines += [f"| **{part}** | | | | | |"] if members else []
        for entry in members:
            needs, exercises = ", ".join(entry.needs) or "–", " ".join(entry.exercises) or "–"
            lines.append(f"| {entry.link} | {entry.builds} | {entry.read} | {entry.do} | {needs} | {exercises} |")
    read, do = (sum(getattr(entry, key) for entry in all_entries) for key in ("read", "do"))
    lines += ["", f"Times are minutes, together {read / 60:.0f} hours to read and {do / 60:.0f} to do."]
    return "\n".join(lines)


def graph(all_entries: Sequence[Entry]) -> str:
    """The graph of chapters that build on each other, as Mermaid; dashed is not yet written. Raises UserError if one
    needs another that does not exist."""
    ids = [entry.id for entry in all_entries]
    for entry in all_entries:
        if missing := [id for id in entry.needs if id not in ids]:
            raise UserError(f"chapter {entry.id} needs chapter {missing[0]}, which is neither written nor planned")
    lines = ["```mermaid", "graph TD"]  # from left to right it is so wide that nobody can read it
    all_entries = [entry for entry in all_entries if entry.id.isdecimal()]  # an appendix is read at any time
    for entry in all_entries:
        name = entry.name.partition(":")[0]
        lines.append(f'    c{entry.id}["{name}"]{"" if entry.file else ":::planned"}')
    lines += [f"    c{id} --> c{entry.id}" for entry in all_entries for id in entry.needs]
    return "\n".join([*lines, "    classDef planned stroke-dasharray: 4 4", "```"])


def generated_parts(page: Page, folder: Path = TUTORIALS) -> dict[str, str]:
    """The generated parts of a page, by the names of their markers."""
    all_entries = entries(folder)
    if page.path.name == "README.md":
        return {"map": map_table(all_entries), "graph": graph(all_entries)}
    parts = {"header": header(page, all_entries), "footer": navigation(page, all_entries)}
    if page.meta.kind == "appendix":
        return parts
    return {**parts, "exercises": exercise_table(page.meta.id, load_exercises(folder))}
