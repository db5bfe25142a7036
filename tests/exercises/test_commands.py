"""The command line of the exercises: what is typed, what is kept, what is shown, what is handed in."""

import json
import re
import subprocess
import sys
import zipfile

import pytest

from minigpt.runs.errors import UserError
from tutorials.exercises import commands, plugs, submission
from tutorials.exercises.__main__ import CheckConfig, SubmitConfig, main, parse_command
from tutorials.exercises.checks import CHECKS
from tutorials.exercises.progress import Progress, Result, digest, load_progress, save_measured, to_result
from tutorials.exercises.registry import ANSWERS, ROOT, load_register
from tutorials.exercises.work import Outcome, Work

EXERCISES = load_register()


def result(exercise, *failing):
    checks = {check.__name__: check.__name__ not in failing for check in CHECKS[exercise]}
    return Result("", checks, "wrong" if failing else "")


@pytest.fixture
def work(tmp_path, stubs):
    for file, text in stubs.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(text, encoding="utf-8")
    return Work(tmp_path)


# ---- What is typed ---------------------------------------------------------------------------------------------------


def test_a_command_is_parsed_with_its_exercise_and_options():
    command = parse_command(["check", "4.1", "--seed", "mine"])
    assert (command.name, command.exercise.id, command.config) == ("check", "4.1", CheckConfig(seed="mine"))
    assert parse_command(["check"]).exercise is None
    assert parse_command(["submit", "--name", "Ada"]).config == SubmitConfig("Ada")


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ([], "a command is missing"),
        (["chek", "4.1"], "did you mean check"),
        (["check", "4.11"], "did you mean 4.1"),
        (["hint"], "of which exercise"),
        (["plug", "--seed", "1"], "unknown option --seed"),
        (["status", "4.1"], "unexpected argument '4.1'"),
        (["check", "4.1", "15.1"], "unexpected argument '15.1'"),
        (["check", "4.1", "--seconds", "0"], "expected more than 0"),
        (["check", "4.1", "--seconds", "soon"], "expected a number"),
    ],
)
def test_what_is_mistyped_is_one_sentence(argv, expected):
    with pytest.raises(UserError, match=expected) as error:
        parse_command(argv)
    assert "\n" not in str(error.value)


def test_the_command_line_starts_without_torch():
    """Importing torch takes a second: `status`, `hint` and a mistyped command must not wait for it."""
    code = "import sys, tutorials.exercises.__main__; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_what_runs_a_function_needs_torch_and_little_else():
    """`check` loads torch once and neither the trainings of `plug` nor what draws curves."""
    code = "import sys, tutorials.exercises.checking, tutorials.exercises.forked; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"matplotlib", "tutorials.models", "minigpt.training"} & set(done.stdout.split())


def test_help_lists_the_commands(capsys):
    main([])
    text = capsys.readouterr().out
    assert all(f"python -m tutorials.exercises {name}" in text for name in ("status", "check", "hint", "watch", "plug"))


# ---- What is kept ----------------------------------------------------------------------------------------------------


def test_progress_is_kept_and_a_damaged_file_is_one_sentence(tmp_path):
    progress = load_progress(tmp_path)
    progress.hints["4.1"] = 2
    progress.results["4.1"] = result("4.1", "gradients_flow")
    progress.plugged.append("0.1")
    progress.save()
    assert load_progress(tmp_path) == progress
    progress.path.write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match="is damaged; delete it"):
        load_progress(tmp_path)


def test_a_result_is_out_of_date_when_the_file_has_changed(work):
    attention, entropy = EXERCISES["4.1"], EXERCISES["4.5"]
    before = digest(attention, work), digest(entropy, work)
    answers = work.folder / ANSWERS
    answers.write_text(answers.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert digest(attention, work) == before[0], "answers.toml is no matter of 4.1"
    assert digest(entropy, work) != before[1]
    file = work.folder / attention.file
    file.write_text(file.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert digest(attention, work) != before[0]


def test_what_nobody_has_begun_is_not_run(work, tmp_path, monkeypatch):
    """`status` in a fresh hand-out: no function needs to run to know that it is not written yet."""
    progress = Progress(tmp_path / "progress.json")
    monkeypatch.setattr(commands, "load_work", lambda: work)
    ran = []
    monkeypatch.setattr(commands, "run", lambda exercises, *rest: ran.extend(e.id for e in exercises))
    commands.bring_up_to_date(list(EXERCISES.values()), progress)
    assert ran == ["0.1"], "whose mistake stands in the file as it was handed out"
    assert progress.results["4.1"].first_report == "not written yet"
    assert not progress.results["4.3"].passed, "a bug hunt's file is its original"
    path = work.folder / EXERCISES["4.1"].file
    stub = path.read_text(encoding="utf-8")
    path.write_text(stub.replace('raise NotImplementedError("4.1")', "return values"), encoding="utf-8")
    commands.bring_up_to_date([EXERCISES["4.1"]], progress)
    assert ran == ["0.1", "4.1"]


def test_measurements_are_kept_beside_each_other(tmp_path):
    save_measured(EXERCISES["15.3"], {"a": 1}, tmp_path)
    save_measured(EXERCISES["4.5"], {"b": 2}, tmp_path)
    text = (tmp_path / "runs/tutorials/exercises/measured.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"15.3": {"a": 1}, "4.5": {"b": 2}}


def test_the_first_failing_report_is_kept():
    kept = to_result([Outcome("a", ""), Outcome("b", "first"), Outcome("c", "second")], "d")
    assert (kept.first_report, kept.failing, kept.passed) == ("first", "b", False)
    assert to_result([Outcome("a", "")], "d").passed


def test_hints_come_one_by_one_and_are_counted(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(commands, "load_progress", lambda: load_progress(tmp_path))
    for taken in (1, 2, 3, 3):
        commands.hint(EXERCISES["4.1"])
        shown = capsys.readouterr().out
        assert sum(text in shown for text in EXERCISES["4.1"].hints) == taken
        assert ("that was the last one" in shown) == (taken == 3)
        assert load_progress(tmp_path).hints == {"4.1": taken}


def test_the_last_hint_names_a_file_only_where_the_function_stands_in_it():
    for exercise in EXERCISES.values():
        named = re.search(r"loops in (\S+)$", commands.elsewhere(exercise))
        if named:
            assert f"def {exercise.function}(" in (ROOT / named[1]).read_text(encoding="utf-8"), exercise.id
    assert "specs/ch18.py" in commands.elsewhere(EXERCISES["18.4"])
    assert "check 19.4" in commands.elsewhere(EXERCISES["19.4"]), "chapter 19 has no loops for the bug hunt"


# ---- What is shown ---------------------------------------------------------------------------------------------------


def test_the_table_says_what_is_done_where_it_fails_and_what_is_next(tmp_path):
    progress = Progress(tmp_path / "progress.json", hints={"4.2": 2}, plugged=["4.1"])
    for exercise in EXERCISES:
        checks = {check.__name__: False for check in CHECKS[exercise]}
        progress.results[exercise] = Result("", checks, f"not written yet (line 3): {exercise}")
    progress.results["0.1"] = progress.results["0.1"].__class__("", {"a": True}, "")
    progress.results["4.1"] = result("4.1")
    progress.results["4.2"] = result("4.2", "window_gradients_flow")
    progress.results["15.1"] = Result("", {"can_be_checked": False}, "line 3: Python cannot read this")
    some = {number: EXERCISES[number] for number in ("0.1", "4.1", "4.2", "4.3", "15.1")}  # whatever else is written
    table = commands.status_table(some, progress)
    lines = {line.split()[0]: line for line in table.splitlines() if line.strip()}
    assert lines["4.1"].endswith("12/12  done, plugged in")
    count = len(CHECKS["4.2"])
    assert lines["4.2"].endswith(f"0/12  {count - 1}/{count}, fails at window_gradients_flow, 2 hints")
    assert lines["4.3"].endswith("0/8  -")
    assert lines["15.1"].endswith("cannot be checked")
    points = sum(exercise.points for exercise in some.values())
    assert f"16 of {points} points, 2 of {len(some)} exercises" in table
    assert "next: 4.2 Sliding-window attention" in table


def test_the_message_of_the_first_failure_is_shown_and_only_that(capsys):
    outcomes = [Outcome("shape_and_type", ""), Outcome("inputs_unchanged", "two\nlines"), Outcome("x", "hidden")]
    commands.print_outcomes(EXERCISES["4.1"], outcomes)
    shown = capsys.readouterr().out
    assert f"4.1 Causal attention: 1 of {len(CHECKS['4.1'])} checks pass" in shown
    assert "  FAIL  inputs_unchanged\n          two\n          lines\n" in shown
    assert "hidden" not in shown
    assert "hint 4.1" in shown


def test_sentences_are_broken_to_a_terminal_and_numbers_stay_whole():
    long = "word " * 40
    lines = list(commands.wrapped(f"{long}\nexpected  [{'1  ' * 60}]\n          [2]\nlikely:   {long}"))
    assert all(len(line) <= 100 for line in lines if "1  1" not in line)
    assert any(len(line) > 150 for line in lines), "a row of numbers is not broken"
    assert lines[-1].startswith(" " * 10 + "word")


def test_a_saved_file_is_checked_and_its_first_open_exercise_explained(capsys, monkeypatch, tmp_path):
    def run(exercises, progress, seed, seconds):
        return {e.id: outcomes[e.id] for e in exercises}

    outcomes = {
        "4.1": [Outcome("a", "")],
        "4.2": [Outcome("b", "wrong window")],
        "4.4": [Outcome("c", "not written yet", "unwritten")],
        "4.5": [Outcome("d", "wrong entropy")],
    }
    monkeypatch.setattr(commands, "load_progress", lambda: Progress(tmp_path / "p.json"))
    monkeypatch.setattr(commands, "run", run)
    commands.report_saved(EXERCISES["4.1"].file, list(EXERCISES.values()), "public", 1.0)
    shown = capsys.readouterr().out
    assert "4.1 Causal attention: done" in shown
    assert "wrong window" in shown
    assert "4.4 Write the test: not written yet" in shown
    assert "wrong entropy" not in shown, "one thing at a time"
    assert "15.1" not in shown, "another file"


def test_plug_refuses_what_is_not_green(monkeypatch, tmp_path):
    progress = Progress(tmp_path / "progress.json", results={"4.1": result("4.1", "gradients_flow")})
    monkeypatch.setattr(commands, "load_progress", lambda: progress)
    monkeypatch.setattr(commands, "bring_up_to_date", lambda exercises, progress: None)
    with pytest.raises(UserError, match=r"4\.1 is not green yet, it fails at gradients_flow"):
        commands.plug(EXERCISES["4.1"])


def test_plug_measures_before_the_measurement_is_written_down(monkeypatch, tmp_path):
    progress = Progress(tmp_path / "progress.json")
    progress.results["4.5"] = result("4.5", "what_was_measured_is_written", "the_reason_is_a_sentence")
    monkeypatch.setattr(commands, "load_progress", lambda: progress)
    monkeypatch.setattr(commands, "bring_up_to_date", lambda exercises, progress: None)
    measured = []
    monkeypatch.setitem(plugs.PLUGS, "4.5", measured.append)
    commands.plug(EXERCISES["4.5"])
    assert measured == [EXERCISES["4.5"]]
    assert progress.plugged == ["4.5"]


# ---- What is handed in -----------------------------------------------------------------------------------------------


def test_a_submission_holds_the_students_files_and_nothing_else(work, tmp_path):
    (work.folder / "tutorials" / "exercises" / "private.txt").write_text("diary", encoding="utf-8")
    progress = Progress(tmp_path / "p.json", {"4.1": 1})
    path = submission.write("Ada  O’Hara-Lovelace", EXERCISES, work, progress, tmp_path)
    assert path.name == "submission_ada-o-hara-lovelace.zip"
    assert path.stat().st_size < 1_000_000
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        manifest = json.loads(archive.read("manifest.json"))
    ours = ["measured.json", "progress.json", "manifest.json"]
    assert sorted(names) == sorted([*submission.student_files(EXERCISES), *ours])
    assert manifest["name"] == "Ada  O’Hara-Lovelace"
    assert set(manifest["sha256"]) == set(names) - {"manifest.json"}


@pytest.mark.parametrize("name", ["", "  ", "=1+1", "a/b", "../x", "x" * 80, "a\nb"])
def test_a_name_that_is_none_is_refused(name):
    with pytest.raises(UserError, match="is not a name"):
        submission.check_name(name)


def test_a_missing_file_is_one_sentence_and_nothing_is_written(work, tmp_path):
    (work.folder / ANSWERS).unlink()
    with pytest.raises(UserError, match=r"answers\.toml is missing"):
        submission.write("Ada", EXERCISES, work, Progress(tmp_path / "p.json"), tmp_path)
    assert not list(tmp_path.glob("*.zip"))
