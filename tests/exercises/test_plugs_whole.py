"""`plug` from end to end: a right solution runs and reports, a wrong one is refused in one sentence."""

import re

import pytest

from minigpt.runs.errors import UserError
from rlhf.stage3_ppo import stage
from tutorials.exercises import commands
from tutorials.exercises.plugs import ch17, common
from tutorials.exercises.progress import load_progress
from tutorials.exercises.registry import load_register
from tutorials.exercises.work import Work

EXERCISES = load_register()
WRONG = "\n\n_right = {name}\n\n\ndef {name}(*inputs):\n    return -_right(*inputs)\n"


@pytest.fixture
def student(solved, tmp_path, monkeypatch):
    """Plugs the exercise of somebody who has solved everything, or who has the wrong sign in this one."""
    monkeypatch.setattr(commands, "load_work", lambda: Work(tmp_path))
    monkeypatch.setattr(commands, "load_progress", lambda: load_progress(tmp_path))
    monkeypatch.setattr(common, "ROOT", tmp_path)
    for file, text in solved.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(text, encoding="utf-8")

    def plug(number, wrong=False):
        exercise = EXERCISES[number]
        file = tmp_path / exercise.file
        if wrong:
            file.write_text(solved[exercise.file] + WRONG.format(name=exercise.function), encoding="utf-8")
        commands.plug(exercise)
        assert load_progress(tmp_path).plugged == [number]

    return plug


def numbers(line):
    return [float(number) for number in re.findall(r"-?\d+\.\d+", line)]


@pytest.mark.parametrize("number", ["16.3", "17.1", "17.2", "17.4"])
def test_a_wrong_solution_is_refused_before_anything_runs(student, capsys, number):
    with pytest.raises(
        UserError, match=rf"{number} is not green yet, it fails at \w+; run `python -m .* check {number}`"
    ):
        student(number, wrong=True)
    assert capsys.readouterr().out == "", "something ran with a wrong function"


def test_the_variance_is_that_of_drawn_gradients(student, capsys):
    student("16.3")
    rows = [line for line in capsys.readouterr().out.splitlines() if "baseline_" in line]
    assert len(rows) == 4, "each baseline, with rewards as they are and 10 higher"
    for row in rows:
        _, exact, drawn = numbers(row)
        assert abs(exact / drawn - 1) < 0.05, f"the exact variance is not that of 20,000 draws: {row}"


def test_the_spreads_of_both_estimates_are_printed(student, capsys):
    student("17.4")
    near, far = (numbers(line) for line in capsys.readouterr().out.splitlines() if line.startswith(("near", "far")))
    assert len(near) == len(far) == 3, "the KL, and the spread of k1 and of k3"
    assert near[2] < near[1], "k3 scatters less than k1 near the reference"
    assert far[2] > far[1], "k3 scatters more than k1 far from the reference"


@pytest.mark.long
@pytest.mark.parametrize("number", ["17.1", "17.2"])
def test_ppo_runs_on_a_students_function_and_ends_where_the_packages_does(student, capsys, monkeypatch, number):
    def counted(exercise):
        function = common.student_function(exercise)

        def mine(*inputs):
            calls.append(exercise.id)
            return function(*inputs)

        return mine

    calls = []
    monkeypatch.setattr(ch17, "student_function", counted)
    monkeypatch.setitem(stage.PRESETS, "tiny", {**stage.PRESETS["tiny"], "iterations": 2, "critic_warmup": 0})
    student(number)
    assert calls, "both runs were the package's own"
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3, "a heading, and a line for each iteration"
    for line in lines[1:]:
        found = numbers(line)
        assert len(found) == 6
        for theirs, mine in zip(found[::2], found[1::2], strict=True):
            assert abs(theirs - mine) < 0.002, f"PPO went elsewhere with a right function: {line}"
