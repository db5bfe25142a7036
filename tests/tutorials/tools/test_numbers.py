"""Quoted results: found by name, never without where they come from."""

import re
import shutil
import subprocess

import pytest

from minigpt.runs.errors import UserError
from tests.tutorials.conftest import PROVENANCE
from tutorials.tools.numbers import changed_since, field, quoted_text, shown_number, sources


def test_fields_are_found_by_name(folder):
    assert field("run:deep.accuracy", folder) == 0.8113
    assert quoted_text("run:table", folder) == "a  0.5\nb  0.25\n"


@pytest.mark.parametrize(
    ("value", "spec", "shown"),
    [(0.8113, ".2f", "0.81"), (-0.5, ".1f", "−0.5"), (3, "d", "3"), (0.8113, ".0%", "81%"), (12345, ",", "12,345")],
)
def test_a_number_as_a_sentence_shows_it(folder, numbers_file, value, spec, shown):
    numbers_file("other", {"provenance": PROVENANCE, "code": [], "value": value})
    assert shown_number("other:value", spec, folder) == shown


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda folder: field("rum:table", folder), "rum.json does not exist (did you mean run?)"),
        (lambda folder: field("run", folder), "expected NAME:field"),
        (lambda folder: field("run:tables", folder), "has no field 'tables' there (did you mean table?)"),
        (lambda folder: field("run:table.x", folder), "has no field 'x' there"),
        (lambda folder: quoted_text("run:deep", folder), "is no text but dict"),
        (lambda folder: shown_number("run:table", ".2f", folder), "is no number but"),
        (lambda folder: shown_number("run:deep.accuracy", "d", folder), "'d' is no format specification"),
    ],
)
def test_what_is_not_there_or_of_another_kind(folder, ask, message):
    with pytest.raises(UserError, match=re.escape(message)):
        ask(folder)


@pytest.mark.parametrize("lacking", [*PROVENANCE, "code"])
def test_numbers_without_their_origin_are_refused(folder, numbers_file, lacking):
    data = {"provenance": {key: PROVENANCE[key] for key in PROVENANCE if key != lacking}, "code": [], "a": 1}
    data.pop("code" if lacking == "code" else "", None)
    numbers_file("other", data)
    with pytest.raises(UserError, match=f"does not say where its numbers come from, it lacks .*{lacking}"):
        field("other:a", folder)


def test_the_files_that_a_page_quotes():
    text = "<!-- n b:x, and y.z .2f -->0<!-- /n --> and <!-- n a:x d -->1<!-- /n -->"
    assert sources(text, ["a:t", "c:t"]) == ["a", "c", "b"]


@pytest.mark.skipif(shutil.which("git") is None, reason="there is no git on this machine")
def test_a_result_older_than_its_code_is_noticed(folder, numbers_file):
    def git(*arguments):
        who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        done = subprocess.run(["git", *who, *arguments], cwd=folder.parent, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    (folder.parent / "a.py").write_text("1\n", encoding="utf-8")
    (folder.parent / "b.py").write_text("1\n", encoding="utf-8")
    git("init", "--quiet")
    git("add", "a.py", "b.py")
    git("commit", "--quiet", "-m", "first")
    numbers_file("other", {"provenance": {**PROVENANCE, "commit": git("rev-parse", "HEAD")}, "code": ["a.py"]})
    (folder.parent / "b.py").write_text("2\n", encoding="utf-8")
    assert changed_since("other", folder) == []
    (folder.parent / "a.py").write_text("2\n", encoding="utf-8")
    assert changed_since("other", folder) == ["a.py"]
    with pytest.raises(UserError, match="git does not know commit abc"):
        changed_since("run", folder)


@pytest.mark.skipif(shutil.which("git") is None, reason="there is no git on this machine")
def test_a_folder_that_is_no_repository_is_told_so_in_one_line(folder, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(folder.parents[1]))
    with pytest.raises(UserError, match="git does not know commit abc") as caught:
        changed_since("run", folder)
    assert "\n" not in str(caught.value)


def test_a_machine_without_git_is_told_so(folder, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="git cannot be asked for commit abc"):
        changed_since("run", folder)
