"""The table of tests/README.md says what is there, all of it, and no more."""

from pathlib import Path

import pytest

from minigpt.runs.errors import UserError
from rlhf.report.readme import replace_between
from tests.invariants import CHAPTERS, Chapter, Invariant, main, table

TESTS = Path(__file__).resolve().parent
INVARIANTS = [invariant for chapter in CHAPTERS for invariant in chapter.invariants]


def test_the_numbers_run_from_one_to_thirty_three():
    assert [invariant.number for invariant in INVARIANTS] == list(range(1, 34))


@pytest.mark.parametrize("invariant", INVARIANTS, ids=lambda invariant: f"T{invariant.number}")
def test_every_test_it_names_exists_once(invariant):
    assert invariant.tests
    assert len(set(invariant.tests)) == len(invariant.tests)
    for test in invariant.tests:
        file, name = test.split("::")
        text = (TESTS / file).read_text(encoding="utf-8")
        assert text.count(f"\ndef {name}(") == 1, f"{test} does not exist (any more): name the one that took its place"


def test_the_page_is_up_to_date():
    page = (TESTS / "README.md").read_text(encoding="utf-8")
    assert replace_between(page, "invariants", table(), "README.md") == page, "run `python -m tests.invariants`"


def test_a_line_of_the_table():
    chapter = Chapter("Part", (Invariant(7, "It holds.", ("a.py::test_a", "b.py::test_b"), "A mistake."),))
    line = "| T7 | It holds. | `a.py::test_a`<br>`b.py::test_b` | A mistake. |"
    assert table([chapter]).splitlines()[4] == line


def test_the_command_writes_between_the_markers_and_nothing_else(tmp_path, capsys):
    path = tmp_path / "README.md"
    path.write_text("Before.\n<!-- invariants:start -->\nstale\n<!-- invariants:end -->\nAfter.\n", encoding="utf-8")
    main(["--page", str(path)])
    page = path.read_text(encoding="utf-8")
    assert page.startswith("Before.\n<!-- invariants:start -->\n### Model and generation\n")
    assert page.endswith("<!-- invariants:end -->\nAfter.\n")
    assert "stale" not in page
    assert "33 invariants" in capsys.readouterr().out
    with pytest.raises(UserError, match=r"none\.md cannot be read"):
        main(["--page", str(tmp_path / "none.md")])
