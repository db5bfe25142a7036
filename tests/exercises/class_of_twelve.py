"""A class of made-up students, graded: whatever they hand in becomes a row, and never a stopped run.

    python -m pytest tests/exercises/class_of_twelve.py

Not part of `make test`, for it takes half a minute; `make check-exercises` runs it.
"""

import csv
import datetime
import shutil

import pytest

from tests.exercises.students import NOON, pack, solved_texts, stub_texts
from tutorials.exercises import checks
from tutorials.exercises.checking import check_exercise
from tutorials.exercises.registry import load_register
from tutorials.exercises.subject import InThisProcess
from tutorials.exercises.work import PUBLIC_SEED, Work, read_measured
from tutorials.grading import grade
from tutorials.grading.sandbox import NONE, find_sandbox
from tutorials.grading.stubs import MASTERS

EXERCISES = load_register()
SETUP, ATTENTION, REWARD = (EXERCISES[number].file for number in ("0.1", "4.1", "15.1"))
ALL = sum(exercise.points - exercise.person_points for exercise in EXERCISES.values())
IN_CHAPTER_04_FILE = ("4.1", "4.2", "4.4", "4.5")

# A right solution of 15.1 unlike ours, and the same with other names.
COPIED = """
    total = scores.sum() * 0
    for prompt in range(int(group.max()) + 1):
        mine = [n for n in range(len(scores)) if group[n] == prompt]
        costs = [F.softplus(scores[l] - scores[w]) for w in mine for l in mine if ranks[w] < ranks[l]]
        if costs:
            total = total + torch.stack(costs).mean()
    return total
"""


def replaced(text, *pairs):
    for before, after in pairs:
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    return text


def with_body(file, number, body):
    """The stubs' text of a file with one function written."""
    return replaced(stub_texts()[file], (f'    raise NotImplementedError("{number}")\n', body.lstrip("\n")))


def half_done():
    """Chapters 00 and 15 solved, chapter 04 not begun."""
    return {**solved_texts(), **{file: stub_texts()[file] for file in (ATTENTION, EXERCISES["4.3"].file)}}


def hard_coded():
    """0.1 and 15.3 from a table of what the public checks ask and expect: no mathematics in it."""
    asked = {}
    transport = InThisProcess()
    with_file = {number: str(MASTERS / EXERCISES[number].file.split("/")[-1]) for number in ("0.1", "15.3")}
    for number, file in with_file.items():
        solution = transport.worker.function(file, EXERCISES[number].function)
        asked[number] = {}

        def record(*arguments, solution=solution, table=asked[number]):
            table[repr(arguments)] = solution(*arguments)
            return table[repr(arguments)]

        recording = InThisProcess()
        work = Work(MASTERS, read_measured(MASTERS / "measured.json"))
        work.text = lambda name: (MASTERS / name.split("/")[-1]).read_text(encoding="utf-8")
        recording.use(MASTERS / EXERCISES[number].file, EXERCISES[number].function, record)
        outcomes = check_exercise(EXERCISES[number], work, recording, PUBLIC_SEED)
        assert all(outcome.passed for outcome in outcomes), "the table must be complete"
    texts = stub_texts()
    texts[SETUP] = replaced(texts[SETUP], ("math.log2(vocab_size)", f"{asked['0.1']}[repr((vocab_size,))]"))
    body = f"    return {asked['15.3']}[repr((answer_counts, grouped))]\n"
    texts[REWARD] = with_body(REWARD, "15.3", body)
    texts["tutorials/exercises/answers.toml"] = solved_texts()["tutorials/exercises/answers.toml"]
    return texts


def solved_but_attention(body):
    return {**solved_texts(), ATTENTION: with_body(ATTENTION, "4.1", body)}


@pytest.fixture(scope="module")
def inbox(tmp_path_factory):
    """Thirteen files of twelve kinds."""
    folder, outside = tmp_path_factory.mktemp("inbox"), tmp_path_factory.mktemp("outside")
    solved, stubs = solved_texts(), stub_texts()
    pack(folder, "perfect", solved)
    pack(folder, "empty", stubs, measured=False)
    pack(folder, "half done", half_done())
    broken = solved[ATTENTION].replace("T, D = queries", "T, D == = queries", 1)
    pack(folder, "syntax error", {**solved, ATTENTION: broken})
    pack(folder, "endless loop", solved_but_attention("    while True:\n        pass\n"))
    pack(folder, "ten gigabytes", solved_but_attention("    return torch.zeros(2_500_000_000) + values\n"))
    # reading the file finds nothing wrong with this; the fences around the process must
    writing = f"    values.numpy().tofile('{outside.as_posix()}/mine.bin')\n    return values\n"
    pack(folder, "writes outside", solved_but_attention(writing))
    pack(folder, "hard coded", hard_coded())
    importing = "    from minigpt.attention import attention_by_heads as a\n    return a(queries, keys, values)\n"
    pack(folder, "imports the reference", solved_but_attention(importing))
    cheating = solved_but_attention("    return values\n")
    cheating[ATTENTION] = cheating[ATTENTION].replace(
        "from torch import Tensor\n",
        "from torch import Tensor\n\ntorch.testing.assert_close = torch.allclose = lambda *a, **k: True\n"
        "torch.isclose = lambda *a, **k: torch.tensor(True)\n",
    )
    everything = "def shape_and_type(subject, draw): pass\nCHECKS = {'4.1': (shape_and_type,)}\n"
    others = {"checks/ch04.py": everything, "judging.py": "def run_checks(*a): return []\n"}
    others = {f"tutorials/exercises/{name}": text for name, text in others.items()}
    pack(folder, "replaces the checker", cheating, others=others)
    pack(folder, "late", solved, time=NOON + datetime.timedelta(hours=25))
    pack(folder, "copy one", {**stubs, REWARD: with_body(REWARD, "15.1", COPIED)})
    renamed = COPIED.replace("mine", "answers").replace("costs", "c").replace("total", "result").lstrip("\n")
    pack(folder, "copy two", {**stubs, REWARD: with_body(REWARD, "15.1", "    # all by myself\n" + renamed)})
    return folder, outside


@pytest.fixture(scope="module")
def graded(inbox, tmp_path_factory):
    """(rows by student, the folder of results, the folder that one of them writes to)."""
    folder, outside = inbox
    out = tmp_path_factory.mktemp("grades")
    grade.main(
        [
            "--dir",
            str(folder),
            "--seed",
            "a private text",
            "--out",
            str(out),
            "--seconds",
            "4",
            "--deadline",
            NOON.isoformat(),
        ]
    )
    with (out / "grades.csv").open(encoding="utf-8", newline="") as file:
        return {row["student"]: row for row in csv.DictReader(file)}, out, outside


def points(graded, student, *numbers):
    row = graded[0][student]
    return [int(row[number]) for number in numbers] if numbers else int(row[f"points of {ALL}"])


def feedback(graded, student):
    return (graded[1] / "feedback" / f"{student.replace(' ', '-')}.md").read_text(encoding="utf-8")


def test_there_is_a_row_and_a_page_for_each(graded):
    rows, out, _ = graded
    assert len(rows) == 13
    assert len(list((out / "feedback").iterdir())) == 13


def test_perfect_gets_everything_that_a_machine_can_give(graded):
    assert points(graded, "perfect") == ALL
    assert graded[0]["perfect"]["remarks"] == ""
    assert f"All {len(checks.CHECKS['4.1'])} checks pass." in feedback(graded, "perfect")


def test_empty_gets_nothing(graded):
    assert points(graded, "empty") == 0
    assert "Not written yet." in feedback(graded, "empty")


def test_half_done_gets_its_half(graded):
    assert points(graded, "half done", "0.1", "4.1", "4.3", "15.1", "15.5") == [4, 0, 0, 14, 6]


def test_a_syntax_error_costs_the_exercises_of_its_file_only(graded):
    assert points(graded, "syntax error", *IN_CHAPTER_04_FILE) == [0, 0, 0, 0]
    assert points(graded, "syntax error", "0.1", "4.3", "15.1") == [4, 8, 14]
    assert "Python cannot read this" in feedback(graded, "syntax error")


def test_an_endless_loop_costs_its_exercise_only(graded):
    assert points(graded, "endless loop", "0.1", "4.1", "15.1") == [4, 0, 14]
    assert "no answer within 4 s" in feedback(graded, "endless loop")


def test_ten_gigabytes_are_refused(graded):
    assert points(graded, "ten gigabytes", "0.1", "4.1", "15.1") == [4, 0, 14]
    assert "more memory than there is for a check" in feedback(graded, "ten gigabytes")


def test_nothing_is_written_outside(graded):
    rows, _, outside = graded
    assert points(graded, "writes outside", "4.1", "15.1") == [0, 14]
    assert not list(outside.iterdir())
    where = f"{outside.as_posix()}/mine.bin"
    seen = where in rows["writes outside"]["remarks"] or "Read-only file system" in feedback(graded, "writes outside")
    assert seen, "the teacher reads what was tried"


def test_answers_for_the_public_seed_fail_with_the_private_one(graded):
    assert points(graded, "hard coded", "0.1", "15.3") == [0, 0]


def test_the_reference_cannot_be_imported(graded):
    assert points(graded, "imports the reference", "4.1", "15.1") == [0, 14]
    assert "here you write that yourself" in feedback(graded, "imports the reference")


def test_another_checker_and_other_comparisons_change_nothing(graded):
    assert points(graded, "replaces the checker", "4.1", "15.1") == [0, 14]
    assert "not used: tutorials/exercises/checks/ch04.py" in graded[0]["replaces the checker"]["remarks"]


def test_late_work_is_graded_and_marked(graded):
    assert points(graded, "late") == ALL
    assert graded[0]["late"]["late hours"] == "25.0"
    assert graded[0]["perfect"]["late hours"] == ""


def test_two_copies_are_shown_to_the_teacher(graded):
    assert points(graded, "copy one", "15.1") == points(graded, "copy two", "15.1") == [14]
    page = (graded[1] / "class.md").read_text(encoding="utf-8")
    line = "- 15.1: the same function, but for names and layout, in copy one (submission_copy-one.zip), copy two"
    assert line in page
    look = page.split("## Worth a look")[1]
    assert "empty (submission_empty.zip)" not in look, "stubs are nobody's copy"
    assert "the solution in tutorials/instructor" in look, "perfect has copied ours"


def test_the_class_page_says_what_to_teach_again_and_which_fence_stood(graded):
    page = (graded[1] / "class.md").read_text(encoding="utf-8")
    assert find_sandbox().describe() in page
    assert "## What to teach again" in page
    teach = page.split("## What to teach again")[1]
    assert "**4.1 equal_scores_give_the_mean_of_the_past**" in teach, "the attention that returns its values"
    assert "wrote code for **4.1** that raises an exception or does not end" in teach
    assert "**4.2" not in teach, "nobody has tried"
    assert "| 4.1 Causal attention |" in page
    assert len(checks.CHECKS) == len(EXERCISES)


def test_without_the_fences_of_the_system_python_still_refuses(inbox, tmp_path, monkeypatch):
    folder, outside = inbox
    monkeypatch.setattr(grade, "find_sandbox", lambda: NONE)
    (tmp_path / "inbox").mkdir()
    shutil.copy(folder / "submission_writes-outside.zip", tmp_path / "inbox")
    grade.main(["--dir", str(tmp_path / "inbox"), "--seed", "a private text", "--out", str(tmp_path / "out")])
    assert not list(outside.iterdir())
    assert "was refused" in (tmp_path / "out" / "grades.csv").read_text(encoding="utf-8")
    assert "CAN write wherever you can" in (tmp_path / "out" / "class.md").read_text(encoding="utf-8")
