"""From masters to stubs, and no way back."""

import dataclasses

import pytest

from tutorials.exercises.registry import ROOT, load_register
from tutorials.grading import leaks
from tutorials.grading.stubs import masters, solutions, stub_files, without_solutions

MASTER = '''# ---- 4.1 Attention ----


def attention(x):
    """Looks."""
    y = x
    # SOLUTION
    secret = y + 1
    return secret
    # END SOLUTION


# ---- 4.2 Bug ----


def bug(x):
    # SOLUTION
    return x
    # STUB
    # if x:
    #     return -x
    # return 0
    # END SOLUTION
'''


def test_a_solution_gives_way_to_not_implemented_or_to_other_lines():
    stub = without_solutions(MASTER)
    assert '    y = x\n    raise NotImplementedError("4.1")\n\n\n# ---- 4.2' in stub
    assert "    if x:\n        return -x\n    return 0\n" in stub
    assert "secret" not in stub
    assert "SOLUTION" not in stub
    assert solutions(MASTER) == ["    secret = y + 1\n    return secret\n", "    return x\n"]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("# END SOLUTION", "# END", "no partner"),
        ("# SOLUTION\n    return x", "return x", "no partner"),
        ("# ---- 4", "# 4", "heading"),
    ],
)
def test_markers_that_do_not_fit_are_an_error(before, after, expected):
    with pytest.raises(ValueError, match=expected):
        without_solutions(MASTER.replace(before, after))


def test_the_stubs_in_the_repository_are_those_of_the_masters():
    for path, text in stub_files().items():
        there = (ROOT / path).read_text(encoding="utf-8")
        assert there == text, f"{path} was edited, or its master was: run `python -m tutorials.grading.stubs`"


def test_no_hint_gives_a_solution_away():
    assert list(leaks.leaking_hints(load_register())) == []


def test_a_hint_that_gives_a_solution_away_is_found():
    exercise = load_register()["4.1"]
    for line in sorted(leaks.secret_lines(masters()["ch04_attention.py"])):
        leaking = dataclasses.replace(exercise, hints=("Think.", f"Write {line}", "Run."))
        found = list(leaks.leaking_hints({"4.1": leaking}))  # more than one where the line holds a shorter one
        assert found, f"nobody sees that {line!r} is in a hint"
        assert all("hint 2" in sentence for sentence in found)


def test_a_solution_in_the_hand_out_is_found(tmp_path):
    folder = tmp_path / "tutorials" / "exercises"
    folder.mkdir(parents=True)
    (folder / "innocent.py").write_text("x = 1\n", encoding="utf-8")
    assert list(leaks.leaking_files(tmp_path)) == []
    block = solutions(masters()["ch15_reward_model.py"])[0]
    (tmp_path / "NOTES.md").write_text("Look:\n\n" + block.replace("    ", "  "), encoding="utf-8")
    line = min(leaks.secret_lines(masters()["ch04_attention.py"]))
    (folder / "notes.py").write_text(f"def f():\n        {line}\n", encoding="utf-8")
    (tmp_path / "tutorials" / "instructor").mkdir()
    found = "\n".join(leaks.leaking_files(tmp_path))
    assert "NOTES.md holds a solution of ch15_reward_model.py" in found
    assert "tutorials/exercises/notes.py holds a line" in found
    assert "tutorials/instructor is in the hand-out" in found
