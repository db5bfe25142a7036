"""Fences: none is missed, none means two things. The oracle is markdown-it-py, a Markdown parser of its own."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from sybil.parsers.markdown.lexers import RawFencedCodeBlockLexer

from minigpt.runs.errors import UserError
from tutorials.tools import evaluators
from tutorials.tools.evaluators import Chapter, parse_fences
from tutorials.tools.fences import Fence, read_fences
from tutorials.tools.page import chapter_files

LINES = ["```python", "```", "````", "```text out", "words", "", "`code`", "```math", "````text diagram", "  ```"]


def by_markdown_it(text):
    return [
        (token.info.strip(), token.content, token.map[0] + 1)
        for token in MarkdownIt().parse(text)
        if token.type == "fence"
    ]


@given(st.lists(st.sampled_from(LINES), max_size=12))
def test_fences_are_those_that_a_markdown_parser_sees(lines):
    text = "\n".join(lines) + "\n"
    try:
        fences = read_fences(text, "a.md")
    except UserError:  # never closed, or closed by a line that begins with blanks
        return
    assert [(fence.info, fence.body, fence.line) for fence in fences] == by_markdown_it(text)


@pytest.mark.parametrize("path", chapter_files(), ids=lambda path: path.stem)
def test_every_fence_of_a_real_chapter_is_collected(path):
    text = path.read_text(encoding="utf-8")
    fences = read_fences(text, path.name)
    assert [(fence.info, fence.body, fence.line) for fence in fences] == by_markdown_it(text)
    checked = [region.parsed for region in parse_fences(Chapter(text, str(path)))]
    unchecked = [fence for fence in fences if fence.kind in ("shown", "diagram", "math", "mermaid")]
    assert sorted([*checked, *unchecked], key=lambda fence: fence.line) == list(fences)


@pytest.mark.parametrize(
    ("info", "kind"),
    [
        ("python", "run"),
        ('python from="a.py:f"', "excerpt"),
        ('python from="a.py:f" doc="no"', "excerpt"),
        ('python .noeval reason="slow"', "shown"),
        ("text out", "out"),
        ('text run="a:b"', "quoted"),
        ("text diagram", "diagram"),
        ("console", "console"),
        ("math", "math"),
        ("mermaid", "mermaid"),
    ],
)
def test_what_a_fence_means(info, kind):
    assert Fence(info, "", 1, 2).kind == kind


@pytest.mark.parametrize(
    "info",
    [
        "",
        "text",
        "Python",
        "python3",
        "python out",
        "python noeval",
        "python .noeval",
        'python from="a" run="b"',
        'text out run="a"',
        'python form="a.py:f"',
        "bash",
        "json",
    ],
)
def test_a_fence_that_means_nothing_is_an_error_that_names_those_that_do(info):
    with pytest.raises(ValueError, match="means nothing; write one of: python, python from="):
        _ = Fence(info, "", 1, 2).kind


@pytest.mark.parametrize(
    "text",
    ["- a\n  ```python\n  1\n  ```\n", "> ```python\n> 1\n> ```\n", "~~~\na\n~~~\n", "```python\n1\n ```\n"],
)
def test_a_fence_inside_something_else_is_refused(text):
    with pytest.raises(UserError, match="a fence begins and ends at the start of a line"):
        read_fences(text, "a.md")


def test_a_fence_without_an_end_is_refused():
    with pytest.raises(UserError, match=r"a.md:2: the fence ```python is never closed"):
        read_fences("\n```python\n1\n", "a.md")


def test_a_fence_that_sybil_does_not_collect_stops_the_chapter(monkeypatch):
    """Its own parser takes only fences whose info string is exactly `python`, and says nothing of the others."""
    monkeypatch.setattr(evaluators, "LEXER", RawFencedCodeBlockLexer(re.compile(r"(?P<info>python)\n")))
    chapter = Chapter("```python\n1\n```\n\n```text out\n```\n", "a.md")
    with pytest.raises(ValueError, match=re.escape("Sybil collects the fences [('python', 1)], but the page has")):
        list(parse_fences(chapter))
