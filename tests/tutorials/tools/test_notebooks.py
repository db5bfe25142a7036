"""Notebooks: valid, the same twice, and their code cells are what the check executes."""

import json
from pathlib import Path

import jupytext
import nbformat
import pytest

from tutorials.tools import notebooks
from tutorials.tools.notebooks import SETUP, for_jupyter, notebook
from tutorials.tools.page import Page


@pytest.fixture
def made(chapter, tmp_path):
    return notebook(Page.read(chapter), tmp_path / "out" / "notebooks")


def test_code_cells_are_the_executed_blocks(chapter, made):
    cells = [cell.source for cell in made.cells if cell.cell_type == "code"]
    assert cells[0] == SETUP
    assert made.cells[0].metadata.tags == ["setup"]
    assert cells[1:] == [fence.body.strip() for fence in Page.read(chapter).fences_of("run")]
    assert len(cells) == 3


def test_it_is_valid_json_and_the_same_twice(chapter, made, tmp_path):
    text = nbformat.writes(made)
    nbformat.validate(nbformat.from_dict(json.loads(text)))
    assert nbformat.writes(notebook(Page.read(chapter), tmp_path / "out" / "notebooks")) == text


def test_text_reads_as_jupyter_reads_it(made):
    text = "\n".join(cell.source for cell in made.cells if cell.cell_type == "markdown")
    assert "The sum of $x_{1}$ and $x_{2}$, with $x_1 = 1/3$:" in text
    assert "\n$$\nx_1 + x_2 = 1\n$$\n" in text
    assert "```python .noeval\ndef causal_mask" in text
    assert "not `$3`, which costs \\$3." in text
    assert "<!--" not in text
    assert "The accuracy is 0.81, not" in text
    assert text.startswith("# Attention\n")


def test_links_are_as_seen_from_the_notebook(made, folder, tmp_path):
    text = "\n".join(cell.source for cell in made.cells)
    assert "[the code](../../tutorials/exercises/ch04.py)" in text
    assert (tmp_path / "out" / "notebooks" / "../../tutorials/exercises/ch04.py").resolve().is_file()
    assert "[above](#by-hand)" in text
    assert "[the map](../../tutorials/README.md#chapters)" in text
    assert "(figures/ch04_line.svg)" in text
    assert "[A book](https://example.org/a_b)" in text


def test_a_link_to_a_chapter_leads_to_its_notebook(folder, tmp_path):
    page = Page.read(folder / "04-attention.md")
    linked = Page(page.path, page.text.replace("[above](#by-hand)", "[above](04-attention.md#by-hand)"))
    assert "[above](04-attention.ipynb#by-hand)" in for_jupyter(linked, tmp_path)


def test_a_block_that_jupytext_does_not_see_stops_the_export(chapter, monkeypatch, tmp_path):
    monkeypatch.setitem(notebooks.OPENINGS, "run", "```text")
    with pytest.raises(ValueError, match="the notebook has 0 code cells, the chapter executes 2 blocks"):
        notebook(Page.read(chapter), tmp_path)


def test_a_comment_inside_code_stays(chapter, tmp_path):
    page = Page(Path(chapter), '```python\nprint("<!-- a -->")\n```\n<!-- n a:b .2f -->1<!-- /n -->\n')
    made = jupytext.reads(for_jupyter(page, tmp_path), fmt="md")
    assert [cell.source for cell in made.cells] == ['print("<!-- a -->")', "1"]


def test_the_first_cell_finds_the_repository(tmp_path, monkeypatch):
    (tmp_path / "minigpt").mkdir()
    (tmp_path / "runs" / "notebooks").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "runs" / "notebooks")
    monkeypatch.setattr("sys.path", [])
    exec(SETUP, {})
    assert Path.cwd() == tmp_path
