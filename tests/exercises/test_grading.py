"""Reading what strangers packed, and writing what comes out: nothing in a submission can leave its row."""

import csv
import io
import shutil
import zipfile
import zlib

import pytest

from minigpt.runs.errors import UserError
from tutorials.exercises.registry import load_register
from tutorials.exercises.work import Outcome
from tutorials.grading import grade, handout, leaks, reports, sandbox, similarity
from tutorials.grading.graded import Graded
from tutorials.grading.inbox import find_submissions, read_submission

EXERCISES = load_register()
ATTENTION = EXERCISES["4.1"]


# ---- Reading ---------------------------------------------------------------------------------------------------------


def test_a_whole_submission_is_read(packed, solved, tmp_path):
    read = read_submission(packed(tmp_path, "Ada Lovelace", solved), EXERCISES)
    assert (read.student, read.trouble, read.remarks) == ("Ada Lovelace", "", [])
    assert read.texts == solved
    assert read.hints == {"4.1": 2}
    assert read.measured["15.3"]["steps"] > 0


def test_files_of_the_checker_and_paths_that_lead_out_are_not_used(packed, solved, tmp_path):
    others = {"tutorials/exercises/checks/ch04.py": "CHECKS = {}", "../../evil.py": "x", "/etc/passwd": "x"}
    read = read_submission(packed(tmp_path, "Eve", solved, others=others), EXERCISES)
    assert set(read.texts) == set(solved)
    (remark,) = read.remarks
    assert "holds 3 files that are not the student's to change" in remark


def test_one_more_folder_around_everything_does_no_harm(packed, solved, tmp_path):
    inner = packed(tmp_path, "Ada", solved)
    outer = tmp_path / "submission_again.zip"
    with zipfile.ZipFile(inner) as source, zipfile.ZipFile(outer, "w") as target:
        for name in source.namelist():
            target.writestr(f"my homework/{name}", source.read(name))
    assert read_submission(outer, EXERCISES).texts == solved


def zip_of(path, files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, "no exercise file"),
        ({"notes.txt": "x"}, "no exercise file"),
        ({ATTENTION.file: "x" * 300_000}, "larger than"),
        ({f"{number}.txt": "" for number in range(600)}, "600 files"),
    ],
)
def test_what_cannot_be_graded_has_a_reason(tmp_path, files, expected):
    zip_of(tmp_path / "submission_x.zip", files)
    assert expected in read_submission(tmp_path / "submission_x.zip", EXERCISES).trouble


@pytest.mark.parametrize("data", [b"", b"no zip", b"PK\3\4" + zlib.compress(b"x")])
def test_what_is_no_zip_has_a_reason(tmp_path, data):
    (tmp_path / "submission_x.zip").write_bytes(data)
    assert "cannot be read" in read_submission(tmp_path / "submission_x.zip", EXERCISES).trouble


@pytest.mark.parametrize(
    "manifest", ["", "[]", "{", '{"name": "=cmd()", "time": "soon"}', '{"name": 3, "time": 4}', "[" * 100_000]
)
def test_a_manifest_of_any_kind_is_survived(tmp_path, manifest, stubs):
    zip_of(tmp_path / "submission_bob.zip", {**stubs, "manifest.json": manifest, "progress.json": manifest})
    read = read_submission(tmp_path / "submission_bob.zip", EXERCISES)
    assert (read.student, read.trouble) == ("bob", "")
    assert "no time in the manifest" in read.remarks


def test_a_file_that_was_changed_after_packing_is_named(packed, solved, tmp_path):
    path = packed(tmp_path, "Ada", solved, sha256=dict.fromkeys(solved, "0"))
    assert "changed after it was packed" in read_submission(path, EXERCISES).remarks[0]


def test_late_is_counted_in_hours_of_the_students_clock(packed, solved, tmp_path):
    read = read_submission(packed(tmp_path, "Ada", solved), EXERCISES)  # at noon, UTC
    assert read.late_hours(None) == 0
    assert read.late_hours(grade.read_deadline("2026-12-01T12:00")) == 0
    assert read.late_hours(grade.read_deadline("2026-12-01T11:30+01:00")) == pytest.approx(1.5)
    with pytest.raises(UserError, match="--deadline: expected a time like"):
        grade.read_deadline("tomorrow")


def test_an_inbox_without_submissions_is_one_sentence(tmp_path):
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(UserError, match="--dir"):
            find_submissions(folder)


def test_a_seed_must_be_given(tmp_path):
    with pytest.raises(UserError, match="--seed: give a private text"):
        grade.main(["--dir", str(tmp_path)])


# ---- Writing ---------------------------------------------------------------------------------------------------------


def graded(packed, tmp_path, texts, name="Ada", **points):
    result = Graded(read_submission(packed(tmp_path, name, texts), EXERCISES))
    result.points = {e: points.get(e, 0) for e in EXERCISES}
    return result


def test_the_table_has_a_row_a_student_and_no_formulas(packed, solved, tmp_path):
    result = graded(packed, tmp_path, solved)
    result.submission.student = "=HYPERLINK(1)"
    result.submission.remarks = ["-danger\nsecond line"]
    result.points["4.1"] = 12
    rows = list(csv.DictReader(io.StringIO(reports.grades_csv([result], EXERCISES))))
    assert rows[0]["student"] == "'=HYPERLINK(1)"
    assert rows[0]["remarks"] == "'-danger second line"
    most = sum(exercise.points - exercise.person_points for exercise in EXERCISES.values())
    assert rows[0][f"points of {most}"] == rows[0]["4.1"] == "12"
    assert rows[0]["4.5 sentence (0-2)"] == ""


def test_a_message_cannot_break_out_of_its_page(packed, solved, tmp_path):
    result = graded(packed, tmp_path, solved)
    result.outcomes["4.1"] = [Outcome("shape_and_type", "~~~\n<script>\x1b[2J\n" + "x" * 5000)]
    page = reports.feedback(result, EXERCISES)
    assert page.count("~~~") == 2
    assert "\x1b" not in page
    assert len(page) < 3000


def test_the_class_page_counts_what_stopped_most(packed, solved, stubs, tmp_path):
    results = [graded(packed, tmp_path, solved, name) for name in ("Ada", "Bob", "Cleo", "Dan")]
    for result in results[:3]:
        result.outcomes["4.1"] = [Outcome("shape_and_type", ""), Outcome("weights_add_up_to_one", "wrong")]
    results[3].outcomes["15.1"] = [Outcome("equal_scores_cost_ln_2", "wrong")]
    page = reports.class_page(results, EXERCISES, "no fence")
    teach = page.split("## What to teach again")[1].splitlines()
    assert teach[2].startswith("- 3 of 4 stopped at **4.1 weights_add_up_to_one**: Where all values are equal")
    assert teach[3].startswith("- 1 of 4 stopped at **15.1")
    assert "- Ada: predicted falls, stays; A dot product of D random" in page
    assert "- 4.1: the same function, but for names and layout, in Ada (submission_ada.zip), Bob" in page


def test_two_students_of_one_name_get_two_pages(packed, stubs, tmp_path):
    results = [graded(packed, tmp_path, stubs) for _ in range(2)]
    reports.write(tmp_path / "out", results, EXERCISES, "no fence")
    assert sorted(path.name for path in (tmp_path / "out" / "feedback").iterdir()) == ["ada-2.md", "ada.md"]


# ---- Similarity ------------------------------------------------------------------------------------------------------

ONE = """
def causal_attention(queries, keys, values):
    '''Looks back.'''
    size = queries.shape[-1]
    table = queries @ keys.transpose(-2, -1) / size ** 0.5
    hidden = torch.ones(table.shape[-2:], dtype=torch.bool).triu(1)
    weights = table.masked_fill(hidden, -math.inf).softmax(-1)
    return weights @ values
"""


def test_other_names_comments_and_layout_hide_nothing():
    other = ONE.replace("table", "s").replace("hidden", "m").replace("'''Looks back.'''", "# mine").replace("size", "d")
    assert other != ONE
    first, second = (similarity.fingerprint(text, "causal_attention") for text in (ONE, other))
    assert first == second != ""
    changed = ONE.replace("triu(1)", "triu(0)")
    assert similarity.fingerprint(changed, "causal_attention") != first


def test_short_functions_and_broken_files_are_not_compared():
    assert similarity.fingerprint("def f(x):\n    return x", "f") == ""
    assert similarity.fingerprint("def f(x:", "f") == ""
    assert similarity.fingerprint(ONE, "missing") == ""


# ---- The hand-out ----------------------------------------------------------------------------------------------------


def test_the_hand_out_holds_stubs_even_where_the_teacher_solved_them(stubs, monkeypatch):
    files = dict(handout.handout_files())
    assert not [name for name in files if name.startswith(handout.LEFT_OUT)]
    assert {name: files[name].decode("utf-8") for name in stubs} == stubs
    assert {"README.md", "Makefile", "minigpt/model.py", "tutorials/exercises/exercises.toml"} <= set(files)


def test_the_hand_out_holds_all_of_both_packages():
    """Templates, scripts and the database's schema too, or `make report` and `make web` fail in it."""
    there = {
        path.relative_to(handout.ROOT).as_posix()
        for package in ("minigpt", "rlhf")
        for path in (handout.ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    missing = sorted(there - {name for name, _ in handout.handout_files()})
    assert not missing, "handout.SUFFIXES does not know this kind of file"


def test_a_zip_and_a_folder_hold_the_same(tmp_path, capsys):
    handout.main(["--out", str(tmp_path / "h.zip")])
    handout.main(["--out", str(tmp_path / "h")])
    with zipfile.ZipFile(tmp_path / "h.zip") as archive:
        assert all((tmp_path / "h" / name).read_bytes() == archive.read(name) for name in archive.namelist())
    with pytest.raises(UserError, match="exists already"):
        handout.main(["--out", str(tmp_path / "h")])
    with pytest.raises(UserError, match="where to"):
        handout.main([])


# ---- The fences ------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("env") is None, reason="there is no `env` to stand in for a fence")
def test_a_fence_that_does_not_hold_is_not_trusted():
    """A wrapper that promises everything and does nothing."""
    idle = sandbox.Sandbox(("env",), no_network=True, read_only=True)
    assert not sandbox.holds(idle)
    assert sandbox.holds(sandbox.Sandbox(("env",), no_network=False, read_only=False))
    assert not sandbox.holds(sandbox.Sandbox(("no-such-program",), no_network=False, read_only=False))


def test_without_any_fence_the_teacher_is_told(monkeypatch):
    missing = sandbox.Sandbox(("no-such-program",), no_network=True, read_only=True)
    monkeypatch.setattr(sandbox, "CANDIDATES", (missing,))
    found = sandbox.find_sandbox()
    assert found is sandbox.NONE
    assert "CAN use the network and CAN write" in found.describe()


def test_links_to_what_is_not_handed_out_become_text(tmp_path):
    page = "[TEACHING.md](TEACHING.md), [rubric](instructor/rubric.md#talk), [map](README.md), [x](https://a.b/c)"
    plain = handout.without_links_to_left_out(page, handout.ROOT / "tutorials")
    assert plain == "TEACHING.md (not handed out), rubric (not handed out), [map](README.md), [x](https://a.b/c)"
    (tmp_path / "tutorials").mkdir()
    (tmp_path / "README.md").write_text("[a](tutorials/a.md) and [b](tutorials/b.md)", encoding="utf-8")
    (tmp_path / "tutorials" / "a.md").write_text("[up](../README.md#map)", encoding="utf-8")
    assert list(leaks.dangling_links(tmp_path)) == ["README.md links to tutorials/b.md, which is not in the hand-out"]
