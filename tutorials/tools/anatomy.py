"""Rules of the linter about a chapter as a whole: its sections in their order, its limits, its equations.

The order is an argument: a reader predicts, sees a run fail without the idea, does it by hand, and only then meets the
formula and the code.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from typing import Any

from tutorials.tools.fences import Fence
from tutorials.tools.page import ROOT, Page, Section

Finding = tuple[int, str]  # a line, and what is wrong there

SECTIONS = (
    "You will be able to",
    "Predict first",
    "The problem",
    "By hand",
    "The maths",
    "The code",
    "Run it",
    "Look at it",
    "What goes wrong",
    "Reading the log",
    "Check yourself",
    "Exercises",
    "Recap and real systems",
    "Further reading",
)
MAY_LACK = {
    "setup": {"By hand", "The maths", "The code", "Look at it", "Reading the log"},
    "concept": {"Reading the log"},
    "training": set(),
}
WORDS = {"setup": (800, 2500), "concept": (1500, 2500), "training": (1500, 2500), "appendix": (500, 2500)}
MOST_WORDS = {"18": 3000}  # a whole program, and a log in which every field is explained
MOST_BLOCKS, MOST_LINES, MOST_FIGURES, MOST_SHOWN, MOST_READINGS, MOST_SECONDS = 14, 25, 4, 2, 5, 40

LIST_ITEM = re.compile(r"^(?:[-*]|\d+\.) (?P<text>.*(?:\n(?![-*\n]|\d+\. ).*)*)", re.MULTILINE)
EXERCISE_ID = re.compile(r"\b\d+\.\d+\b")
DETAILS = re.compile(r"<details>")
NOCHECK = re.compile(r"<!-- nocheck: \S.*? -->")
WORD = re.compile(r"\w[\w’'-]*")


def part(page: Page, section: Section) -> str:
    """The prose of a section, without its heading."""
    return "\n".join(page.prose.split("\n")[section.line : section.last])


# ---- Its sections ------------------------------------------------------------------------------------------------


def chapter_sections(page: Page) -> dict[str, Section]:
    """The sections of the second level by the words before the colon."""
    return {section.title.partition(":")[0].strip(): section for section in page.sections if section.level == 2}


def order_of_sections(page: Page) -> Iterator[Finding]:
    """One title, and the fixed headings in their order."""
    titles = [section.line for section in page.sections if section.level == 1]
    if len(titles) != 1:
        yield (titles or [1])[-1], f"a chapter has one heading with a single #, this one has {len(titles)}"
    if page.meta.kind == "appendix":  # to look things up in: its sections are its own
        return
    given = [section for section in page.sections if section.level == 2]
    names = [section.title.partition(":")[0].strip() for section in given]
    for name, section in zip(names, given, strict=True):
        if name not in SECTIONS:
            yield section.line, f"the heading {section.title!r} is none of: {', '.join(SECTIONS)}; use ### inside one"
        elif names.count(name) > 1:
            yield section.line, f"the heading {name!r} is there twice"
    for name in SECTIONS:
        if name not in names and name not in MAY_LACK[page.meta.kind]:
            yield 1, f"the section {name!r} is missing; a chapter of kind {page.meta.kind} needs it"
    known = [name for name in dict.fromkeys(names) if name in SECTIONS]
    for name, wanted in zip(known, sorted(known, key=SECTIONS.index), strict=True):
        if name != wanted:
            yield chapter_sections(page)[name].line, f"the section {name!r} stands where {wanted!r} belongs"
            return


def content_of_sections(page: Page) -> Iterator[Finding]:
    """Some sections must hold certain things."""
    sections = chapter_sections(page)
    if section := sections.get("You will be able to"):
        items = LIST_ITEM.findall(part(page, section))
        if not 3 <= len(items) <= 4:
            yield section.line, f"it lists {len(items)} things, expected 3 or 4"
        without = [item for item in items if not set(EXERCISE_ID.findall(item)) & set(page.meta.exercises)]
        if without and (page.meta.kind != "setup" or len(without) == len(items)):
            yield section.line, f"{without[0].strip()!r} names no exercise of this chapter, as in (exercise 4.1)"
    for name, count in (("Predict first", 1), ("Check yourself", 3)):
        if section := sections.get(name):
            found = len(DETAILS.findall(part(page, section)))
            if found != count:
                yield section.line, f"{name!r} has {found} answers in <details>, expected {count}"
    if section := sections.get("Further reading"):
        count = len(LIST_ITEM.findall(part(page, section)))
        if not 1 <= count <= MOST_READINGS:
            yield section.line, f"it lists {count} readings, expected 1 to {MOST_READINGS}, one line each on why"


# ---- Its limits --------------------------------------------------------------------------------------------------


def word_count(page: Page) -> int:
    """Words that a person wrote and a reader reads: no code, no comments, nothing generated, no addresses."""
    text = re.sub(r"\]\([^)]*\)", "]", page.own_prose)
    text = re.sub(r"</?\w+>", " ", text)
    text = re.sub(r"\$`.*?`\$|\$[^$\n]+\$", " x ", text)
    return len(WORD.findall(text))


def limits(page: Page) -> Iterator[Finding]:
    """Words, blocks and their length, figures, seconds."""
    low, high = WORDS[page.meta.kind]
    high = MOST_WORDS.get(page.meta.id, high)
    if not low <= (words := word_count(page)) <= high:
        yield 1, f"{words} words of prose, expected {low} to {high}"
    blocks = [fence for fence in page.fences if fence.kind in ("run", "excerpt", "shown")]
    if len(blocks) > MOST_BLOCKS:
        yield blocks[MOST_BLOCKS].line, f"{len(blocks)} blocks of code, at most {MOST_BLOCKS} can be followed"
    for fence in blocks:
        if (lines := fence.body.count("\n")) > MOST_LINES:
            yield fence.line, f'{lines} lines of code, at most {MOST_LINES}: split it, or quote it with doc="no"'
    if len(shown := page.fences_of("shown")) > MOST_SHOWN:
        yield shown[MOST_SHOWN].line, f"{len(shown)} blocks .noeval, at most {MOST_SHOWN}: what is not executed rots"
    for fence in shown:
        if not fence.attributes["reason"].strip():
            yield fence.line, 'a block .noeval says why it is not executed: reason="…"'
    if (figures := page.prose.count("![")) > MOST_FIGURES:
        yield 1, f"{figures} figures, at most {MOST_FIGURES}"
    if page.meta.ci_seconds > MOST_SECONDS:
        yield 1, f"ci_seconds is {page.meta.ci_seconds}, at most {MOST_SECONDS}: quote longer runs (tutorials/numbers)"


def meta_is_true(page: Page, chapter_ids: Sequence[str], exercises: Sequence[dict[str, Any]]) -> Iterator[Finding]:
    """The comment at the top agrees with the file's name, the code and exercises.toml."""
    meta = page.meta
    if not page.path.name.startswith(f"{meta.id}-"):
        yield 1, f"id is {meta.id!r}, but the file is called {page.path.name}"
    for path in meta.code:
        if not (ROOT / path).is_file():
            yield 1, f"code names {path}, which does not exist"
    if missing := [id for id in meta.needs if id not in chapter_ids]:
        yield 1, f"needs names chapter {missing[0]}, which is neither written nor planned"
    known = tuple(item["id"] for item in exercises if item["chapter"] == meta.id)
    if known != meta.exercises:
        yield 1, f"exercises are {' '.join(meta.exercises)}, but exercises.toml has {' '.join(known) or 'none'}"
    minutes = sum(item["minutes"] for item in exercises if item["chapter"] == meta.id)
    if meta.do < minutes:
        yield 1, f"do is {meta.do} minutes, and the exercises take {minutes} (exercises.toml)"


# ---- Its equations -----------------------------------------------------------------------------------------------


def asserts(fence: Fence) -> bool:
    """True if an executed block asserts something: an assert statement, or a call of assert_close or the like."""
    try:
        tree = ast.parse(fence.body)
    except SyntaxError:
        return False  # executing it says so
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    names = [call.attr if isinstance(call, ast.Attribute) else getattr(call, "id", "") for call in calls]
    return any(isinstance(node, ast.Assert) for node in ast.walk(tree)) or any(n.startswith("assert_") for n in names)


def equations_are_checked(page: Page) -> Iterator[Finding]:
    """After a display equation, and before the next one or the next section, an executed block asserts it."""
    equations = page.fences_of("math")
    borders = sorted(
        [*(fence.line for fence in equations), *(section.line for section in page.sections if section.level <= 2)]
    )
    lines = page.text.split("\n")
    for fence in equations:
        end = next((border for border in borders if border > fence.last), len(lines) + 1)
        blocks = [block for block in page.fences_of("run") if fence.last < block.line < end]
        if not any(map(asserts, blocks)) and not NOCHECK.search("\n".join(lines[fence.last : end - 1])):
            yield (
                fence.line,
                (
                    "no block with an assert checks this equation before the next one or the next section; write one, "
                    "or <!-- nocheck: why -->"
                ),
            )
