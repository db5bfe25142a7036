"""Generated text: right, idempotent, and never instead of text that a person wrote."""

import re

import pytest

from minigpt.runs.errors import UserError
from tutorials.tools.fences import read_fences
from tutorials.tools.lint import lint_page
from tutorials.tools.page import Page, chapter_files
from tutorials.tools.tables import dots, entries, generated_parts, graph, load_exercises
from tutorials.tools.update import updated, with_bodies, with_outputs, without_running


def text_of(path):
    return path.read_text(encoding="utf-8")


def test_a_page_that_is_right_stays_as_it_is(folder):
    for name in ("04-attention.md", "README.md"):
        assert updated(folder / name, folder) == text_of(folder / name)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("thirds [0.333, 0.667]", "thirds [0.3, 0.2]"),
        (").tril()", ").triu()"),
        ("a  0.5\n", ""),
        ("-->0.81<", "-->0.8<"),
        ("![a line that rises by one third]", "![]"),
        ("| [4.1 Number 1]", "| [4.1 Number one]"),
    ],
)
def test_what_is_wrong_is_written_anew(folder, chapter, change, old, new):
    right = text_of(chapter)
    change(chapter.name, old, new)
    wrong = updated(chapter, folder)
    if "thirds" in old:  # the block prints more digits than the page showed
        assert "thirds [0.3333333333333333, 0.6666666666666666]" in wrong
    else:
        assert wrong == right


def test_rounding_and_ellipses_of_the_author_stay(folder, chapter, change):
    change(chapter.name, "thirds [0.333, 0.667]", "thirds [0.33, …]")
    assert updated(chapter, folder) == text_of(chapter)


def test_a_failing_block_writes_nothing(folder, chapter, change):
    change(chapter.name, 'print("thirds", thirds)', "1 / 0")
    with pytest.raises(UserError, match=r"04-attention\.md:\d+: ZeroDivisionError.*no output of this chapter was"):
        updated(chapter, folder)


def test_a_block_that_does_not_seed_itself_is_found_out(folder):
    """`update` starts from another seed than `check`: what it writes, the check refuses."""
    page = "```python\nimport torch\n{}print(torch.rand(3))\n```\n\n```text out\n```\n"
    seeded = with_outputs(page.format("torch.manual_seed(3)\n"), folder / "04-x.md")
    assert "tensor([0.0043, 0.1056, 0.2858])" in seeded
    unseeded = with_outputs(page.format(""), folder / "04-x.md")
    assert "tensor([0.4963, 0.7682, 0.0885])" not in unseeded, "these are the numbers of seed 0"


def test_bodies_of_any_length_replace_each_other():
    text = "a\n```text out\nold\n```\nb\n```text out\n```\nc\n"
    first, second = read_fences(text, "a.md")
    assert with_bodies(text, [(first, ""), (second, "1\n2\n")]) == "a\n```text out\n```\nb\n```text out\n1\n2\n```\nc\n"


# ---- Tables ----


def test_navigation_leads_to_written_chapters_and_names_the_others(chapter):
    text = text_of(chapter)
    assert text.count("[all chapters](README.md) · 05 Many heads *(not yet written)* →") == 2
    assert "**Needs** nothing · **you build** a line · **time** 35 minutes to read, 60 to do" in text


def test_the_table_of_exercises(chapter):
    link = "[4.2 Number 2](../tutorials/exercises/ch04.py)"
    assert f"\n| {link} | bug hunt or test | ●●○○○ | ●●●●● | 25 | 10 |\n" in text_of(chapter)
    assert (dots(0), dots(5)) == ("○○○○○", "●●●●●")


def test_the_map_holds_written_and_planned_chapters(folder):
    text = text_of(folder / "README.md")
    assert "| [04 Attention](04-attention.md) | a line | 35 | 60 | – | 4.1 4.2 |" in text
    assert "| 05 Many heads *(not yet written)* | heads | 20 | 40 | 04 | 5.1 |" in text
    assert '    c05["05 Many heads"]:::planned\n    c04 --> c05\n' in text


def test_a_chapter_that_is_written_leaves_the_plan(folder, change):
    change("planned.toml", 'id = "05"', 'id = "04"')
    with pytest.raises(UserError, match=re.escape("chapter 04 is there twice")):
        entries(folder)


def test_a_plan_that_needs_nobody(folder, change):
    change("planned.toml", 'needs = ["04"]', 'needs = ["03"]')
    with pytest.raises(UserError, match="chapter 05 needs chapter 03, which is neither written nor planned"):
        graph(entries(folder))


def test_exercises_that_lack_something(folder):
    path = folder / "exercises" / "exercises.toml"
    text = text_of(path)
    path.write_text(text.replace("points = 10\n", "", 1), encoding="utf-8")
    with pytest.raises(UserError, match=r"exercise 4.1: points is missing"):
        load_exercises(folder)
    path.write_text(text.replace('type = "D"', 'type = "E"'), encoding="utf-8")
    with pytest.raises(UserError, match=r"exercise 4.2: type is 'E', expected one of A, B, C, D"):
        load_exercises(folder)
    path.write_text(text + "[", encoding="utf-8")
    with pytest.raises(UserError, match="is no TOML"):
        load_exercises(folder)


def test_an_appendix_is_in_the_map_but_not_in_the_graph_and_has_no_exercises(folder):
    text = (
        "<!-- chapter\nid: A\nkind: appendix\nneeds:\nread: 5\ndo: 0\nci_seconds: 1\nbuilds: letters\ncode:\n"
        "exercises:\n-->\n# Notation\n\n<!-- header:start -->\n<!-- header:end -->\n\nWords.\n\n<!-- footer:start -->\n"
        "<!-- footer:end -->\n"
    )
    path = folder / "A-notation.md"
    path.write_text(text, encoding="utf-8")
    readme = generated_parts(Page.read(folder / "README.md"), folder)
    assert "| [A Notation](A-notation.md) | letters | 5 | 0 | – | – |" in readme["map"]
    assert "Notation" not in readme["graph"]
    assert set(generated_parts(Page.read(path), folder)) == {"header", "footer"}
    assert "**you find** letters" in without_running(Page.read(path), folder)
    assert [at.name for at in chapter_files(folder)][-1] == "A-notation.md", "after the chapters"
    written = text.replace("Words.\n", "## A heading of its own\n\n" + "word " * 500 + "\n")
    path.write_text(without_running(Page(path, written), folder), encoding="utf-8")
    assert lint_page(Page.read(path), folder) == [], "its sections are its own"
    path.write_text(text_of(path).replace("word " * 500, "word " * 300), encoding="utf-8")
    assert any("words of prose, expected 500 to 2500" in found for found in lint_page(Page.read(path), folder))
