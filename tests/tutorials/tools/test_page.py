"""A page as data: where things are, and what a person wrote."""

import re
from pathlib import Path

import pytest

from minigpt.runs.errors import UserError
from tutorials.tools.page import Page, chapters


def test_prose_keeps_every_line_and_column(chapter):
    page = Page.read(chapter)
    lines, prose = page.text.split("\n"), page.prose.split("\n")
    assert [len(line) for line in prose] == [len(line) for line in lines]
    assert "print(" not in page.prose
    assert "<!--" not in page.prose
    assert prose[lines.index("## By hand")] == "## By hand"


def test_own_prose_is_without_what_is_generated(chapter):
    page = Page.read(chapter)
    assert "not yet written" in page.prose
    assert "not yet written" not in page.own_prose
    assert len(page.own_prose.split("\n")) == len(page.text.split("\n"))
    assert "accuracy is" in page.own_prose


def test_a_section_reaches_to_the_next_heading_of_its_level():
    page = Page(Path("a.md"), "# A\n\n## B\ntext\n### C\n```text diagram\n## no heading\n```\n## D\nend\n")
    assert [(s.level, s.title, s.line, s.last) for s in page.sections] == [
        (1, "A", 1, 11),
        (2, "B", 3, 8),
        (3, "C", 5, 8),
        (2, "D", 9, 11),
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("<!-- chapter\n", "<!-- chapters\n", "must begin with a comment"),
        ("kind: concept\n", "", "lacks kind"),
        ("kind: concept\n", "kind: idea\n", "kind is 'idea', expected one of setup, concept, training"),
        ("read: 35\n", "read: long\n", "read is 'long', expected a whole number"),
        ("read: 35\n", "reads: 35\n", "'reads: 35' in the chapter comment is no line"),
        ("read: 35\n", "read: 35\nread: 36\n", "'read: 36' in the chapter comment is no line"),
    ],
)
def test_a_wrong_chapter_comment_is_one_sentence(chapter, change, old, new, message):
    with pytest.raises(UserError, match=re.escape(message)):
        _ = Page.read(change(chapter.name, old, new)).meta


def test_a_chapter_that_is_not_there(folder):
    with pytest.raises(UserError, match=r"begins with '05'; there are: 04-attention\.md"):
        list(chapters(folder, "05"))
    assert [page.path.name for page in chapters(folder)] == ["04-attention.md"]


def test_a_page_in_another_encoding(folder):
    (folder / "04-attention.md").write_bytes("été".encode("latin-1"))
    with pytest.raises(UserError, match=re.escape("is not UTF-8 (")):
        Page.read(folder / "04-attention.md")
