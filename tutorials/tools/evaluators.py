"""The checks as evaluators of Sybil, which turns each fence and figure of a chapter into a test of its own.

A chapter is one namespace, as a reader has it who pastes block after block. After a block that raises, the executed
blocks that follow are skipped: they would fail for want of what it should have made.
"""

from __future__ import annotations

import contextlib
import io
import random
import re
import unittest
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sybil import Document, Example, Region
from sybil.example import SybilFailure
from sybil.parsers.markdown.lexers import RawFencedCodeBlockLexer

from minigpt.runs.errors import UserError
from tutorials.tools.commands import check_command, commands
from tutorials.tools.excerpt import excerpt
from tutorials.tools.fences import Fence, read_fences
from tutorials.tools.figures import check_figure
from tutorials.tools.numbers import quoted_text
from tutorials.tools.page import Page
from tutorials.tools.printed import difference

# Sybil's own parser takes only fences whose info string is exactly `python`, and passes over all others in silence.
LEXER = RawFencedCodeBlockLexer(re.compile(r"(?P<info>[^\n]*)\n"))
FIGURE = re.compile(r"!\[(?P<alt>[^\]]*)\]\((?P<path>[^)\s]+)\)")


class Chapter(Document):
    """A page that remembers what its last block printed, and whether one has failed."""

    def __init__(self, text: str, path: str) -> None:
        super().__init__(text, path)
        self.namespace["__name__"] = "__main__"
        self.failed = False
        self.printed: str | None = None

    @property
    def folder(self) -> Path:
        return Path(self.path).parent


# ---- From a page to what is tested -------------------------------------------------------------------------------


def parse_fences(document: Document) -> Iterator[Region]:
    """A region for every fence that can be checked. Raises ValueError if Sybil and `read_fences` see different fences:
    a block that is not collected is a block that nobody checks."""
    regions = list(LEXER(document))
    fences = read_fences(document.text, document.path)
    seen = [(region.lexemes["info"].strip(), document.text.count("\n", 0, region.start) + 1) for region in regions]
    if seen != [(fence.info, fence.line) for fence in fences]:
        raise ValueError(f"{document.path}: Sybil collects the fences {seen}, but the page has {fences}")
    for region, fence in zip(regions, fences, strict=True):
        evaluator = EVALUATORS.get(fence.kind)
        if evaluator is not None:
            yield Region(region.start, region.end, fence, evaluator)


def parse_figures(document: Document) -> Iterator[Region]:
    """A region for every figure that a script of ours draws."""
    prose = Page(Path(document.path), document.text).prose
    for match in FIGURE.finditer(prose):
        yield Region(match.start(), match.end(), match["path"], evaluate_figure)


def make_deterministic(seed: int) -> None:
    """One thread and fixed seeds. `check` and `update` use different ones: a block that draws random numbers without a
    seed of its own prints others for the reader too, and so its output must not pass."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)


# ---- What is tested ----------------------------------------------------------------------------------------------


def in_words(check: Callable[[Example], str | None]) -> Callable[[Example], str | None]:
    """A UserError is a failure whose text says it all: it needs no traceback."""

    def evaluate(example: Example) -> str | None:
        try:
            return check(example)
        except UserError as error:
            return str(error)

    return evaluate


def evaluate_run(example: Example) -> None:
    """Executes the block and keeps what it prints."""
    chapter = _chapter(example)
    if chapter.failed:
        raise unittest.SkipTest("a block above has failed")
    fence: Fence = example.parsed
    # blank lines before it, so that a traceback names the line of the page
    source = "\n" * fence.line + fence.body
    printed = io.StringIO()
    chapter.printed = None
    try:
        with contextlib.redirect_stdout(printed):
            exec(compile(source, chapter.path, "exec", dont_inherit=True), chapter.namespace)
    except BaseException:
        chapter.failed = True
        raise
    chapter.printed = printed.getvalue()


def evaluate_out(example: Example) -> str | None:
    """Compares what the block above printed."""
    chapter = _chapter(example)
    if chapter.printed is None:
        if chapter.failed:
            raise unittest.SkipTest("the block above has failed")
        return "no executed block stands right above this output; put it under the block that prints it"
    printed, chapter.printed = chapter.printed, None
    return difference(example.parsed.body, printed)


def evaluate_excerpt(example: Example) -> str | None:
    """Compares with the source of that name."""
    fence: Fence = example.parsed
    return different_text(fence.body, excerpt_of(fence), fence.attributes["from"])


def evaluate_quoted(example: Example) -> str | None:
    """Compares with the file that a run wrote."""
    fence: Fence = example.parsed
    return different_text(fence.body, quoted_text(fence.attributes["run"], _chapter(example).folder), "the file")


def evaluate_console(example: Example) -> str | None:
    """Lets the real command lines read each command."""
    for command in commands(example.parsed.body):
        check_command(command)
    return None


def evaluate_figure(example: Example) -> str | None:
    """Computes the numbers of a figure again."""
    path = Path(example.parsed)
    if path.parent.as_posix() != "figures" or path.suffix != ".svg":
        return f"{path} is no figure of ours: draw it with a script, as figures/chNN_name.svg"
    check_figure(path.stem, _chapter(example).folder / "figures")
    return None


def excerpt_of(fence: Fence) -> str:
    """The text that a block `python from="…"` must have."""
    kept = fence.attributes.get("doc")
    if kept not in (None, "no"):
        raise UserError(f'doc="{kept}" means nothing; doc="no" leaves the docstring out')
    return excerpt(fence.attributes["from"], docstring=kept is None)


def different_text(page: str, source: str, name: str) -> str | None:
    """None if they are equal; else the first line that differs."""
    if page == source:
        return None
    old, new = page.splitlines(), source.splitlines()
    for number, (here, there) in enumerate(zip(old, new, strict=False), start=1):
        if here != there:
            return f"line {number} differs. The page:\n  {here}\n{name}:\n  {there}\n`make tutorials-update` copies it"
    return f"the page has {len(old)} lines, {name} {len(new)}; `make tutorials-update` copies it"


def _chapter(example: Example) -> Chapter:
    assert isinstance(example.document, Chapter)
    return example.document


EVALUATORS: dict[str, Callable[[Example], str | None]] = {
    "run": evaluate_run,
    "out": evaluate_out,
    "excerpt": in_words(evaluate_excerpt),
    "quoted": in_words(evaluate_quoted),
    "console": in_words(evaluate_console),
}
evaluate_figure = in_words(evaluate_figure)


# ---- Without pytest ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """The outcome of one fence or figure. `problem` is "" if it is as it should be; `printed`, what a block printed."""

    parsed: Any
    problem: str
    skipped: bool
    printed: str | None


def evaluate(text: str, path: Path, only: tuple[str, ...] = tuple(EVALUATORS)) -> list[Outcome]:
    """Every fence of these kinds, in order, in this process. The caller makes it deterministic."""
    document = Chapter(text, str(path))
    for region in parse_fences(document):
        if region.parsed.kind in only:
            document.add(region)
    outcomes = []
    for example in document.examples():
        problem, skipped = "", False
        try:
            example.evaluate()
        except unittest.SkipTest as error:
            problem, skipped = str(error), True
        except SybilFailure as failure:
            problem = str(failure.result)
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
        outcomes.append(Outcome(example.parsed, problem, skipped, document.printed))
    return outcomes
