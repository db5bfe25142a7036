"""The planted bugs keep step with the code, and a bug that no test catches is reported. `make bugs` plants them all."""

import pytest

from minigpt.runs.errors import UserError
from tests.bugs.__main__ import ROOT, main, plant, run_tests, scratch_copy, try_bug
from tests.bugs.collection import BUGS, Bug


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_every_hunk_is_there_once_and_its_tests_exist(bug):
    text = (ROOT / bug.file).read_text(encoding="utf-8")
    assert text.count(bug.before) == 1, "the code has moved on: write the hunk anew"
    assert bug.after != bug.before
    compile(text.replace(bug.before, bug.after), bug.file, "exec")
    for test in bug.tests:
        file, name = test.split("::")
        assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8"), f"{test} does not exist"


def test_there_are_enough_and_no_name_occurs_twice():
    assert len({bug.name for bug in BUGS}) == len(BUGS) >= 40


HARMLESS = Bug(
    "harmless",
    "rlhf/alternatives/best_of_k.py",
    "return math.log(k) - (k - 1) / k",
    "return -(k - 1) / k + math.log(k)",
    ("tests/rlhf/evaluation/test_win_rate.py::test_by_hand",),
)


def test_a_change_that_no_test_minds_is_not_caught():
    outcome = try_bug(HARMLESS)
    assert outcome.caught_by == ""
    assert outcome.trouble == ""


def test_a_test_that_cannot_run_has_caught_nothing(tmp_path):
    (tmp_path / "test_broken.py").write_text("import nothing_of_this_name\n", encoding="utf-8")
    outcome = run_tests(tmp_path, ["test_broken.py"], stop_at_first=True)
    assert outcome.caught_by == ""
    assert outcome.trouble.startswith("pytest: ")


def test_planting_changes_the_copy_and_not_the_code():
    before = (ROOT / HARMLESS.file).read_text(encoding="utf-8")
    with scratch_copy() as folder:
        plant(HARMLESS, folder)
        assert HARMLESS.after in (folder / HARMLESS.file).read_text(encoding="utf-8")
        with pytest.raises(ValueError, match="0 times"):
            plant(HARMLESS, folder)
    assert (ROOT / HARMLESS.file).read_text(encoding="utf-8") == before


def test_a_name_that_no_bug_has():
    with pytest.raises(UserError, match="no bug has 'xyzzy' in its name"):
        main(["--only", "xyzzy"])
