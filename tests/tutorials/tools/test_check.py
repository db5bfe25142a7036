"""The command that checks everything: one process a chapter, a table, and what is wrong below it."""

import shutil
import subprocess

import pytest

from minigpt.runs.errors import UserError
from tutorials.tools import check
from tutorials.tools.check import Result, check_chapter, main, table
from tutorials.tools.page import TUTORIALS

CHAPTER = """<!-- chapter
id: 07
kind: setup
needs:
read: 1
do: 1
ci_seconds: 40
builds: nothing
code:
exercises:
-->
```python
print("one")
```

```text out
{}
```

```python
{}
```
"""


@pytest.fixture
def write(tmp_path):
    shutil.copy(TUTORIALS / "conftest.py", tmp_path / "conftest.py")

    def write(output="one", block="pass"):
        path = tmp_path / "07-made-up.md"
        path.write_text(CHAPTER.format(output, block), encoding="utf-8")
        return path

    return write


def test_a_chapter_runs_in_a_process_of_its_own(write):
    wrong = check_chapter(write("two", "assert 'torch' not in globals()\nraise KeyError('k')"), patience=60)
    assert wrong.blocks == 3
    assert wrong.row[0::3] == ("07-made-up.md", "NO")
    assert "the page says\n> two\nthe block above prints\n> one" in wrong.problem
    assert "KeyError: 'k'" in wrong.problem
    assert 0 < wrong.seconds < 60


def test_a_chapter_that_never_ends_is_stopped(write, monkeypatch):
    def never(*arguments, timeout, **options):
        raise subprocess.TimeoutExpired(arguments, timeout)

    monkeypatch.setattr(subprocess, "run", never)
    assert check_chapter(write(), patience=4).problem == "no answer within 4 s"


def test_a_chapter_that_is_right_but_slower_than_it_promises(write, monkeypatch):
    printed = "...\nprocessor seconds: 40.1\n3 passed in 99.0s\n"
    monkeypatch.setattr(subprocess, "run", lambda *a, **o: subprocess.CompletedProcess(a, 0, printed, ""))
    result = check_chapter(write(), patience=60)
    assert result.row == ("07-made-up.md", "3", "40.1 of 40", "NO")
    assert result.problem == "it took 40.1 s of the processor and promises at most 40 (ci_seconds)"


def test_the_table_lines_up():
    text = table([Result("04-attention.md", 24, 12.34, 40, ""), Result("12-a.md", 3, 0.1, 40, "no")])
    assert text == (
        "chapter          blocks  seconds     ok\n"
        "04-attention.md  24      12.3 of 40  ok\n"
        "12-a.md          3       0.1 of 40   NO"
    )


@pytest.fixture
def pretended(folder, monkeypatch):
    """The made-up folder in place of the real one, and a pretended pytest that finds `problem`."""
    (folder / "TEACHING.md").write_text("# Teaching\n", encoding="utf-8")
    monkeypatch.setattr(check, "TUTORIALS", folder)
    monkeypatch.setattr(check, "lint_page", lambda page, lint=check.lint_page: lint(page, folder))
    monkeypatch.setattr(check, "outdated", lambda pages, folder: ["an old number"])

    def pretend(problem):
        monkeypatch.setattr(check, "check_chapter", lambda path, patience: Result(path.name, 9, 1.0, 40, problem))

    return pretend


def test_all_is_well(pretended, capsys):
    pretended("")
    main([])
    printed = capsys.readouterr().out
    assert "04-attention.md  9       1.0 of 40  ok" in printed
    assert "warning: an old number" in printed
    assert printed.endswith("\nThe chapters are true.\n")


@pytest.mark.parametrize("problem", ["", "a failure"])
def test_what_is_wrong_stands_below_the_table_and_the_exit_status_is_1(pretended, change, capsys, problem):
    pretended(problem)
    change("04-attention.md", "[above](#by-hand)", "[above](#by-foot)")
    with pytest.raises(SystemExit) as stopped:
        main(["--only", "04"])
    assert stopped.value.code == 1
    printed = capsys.readouterr().out
    assert "has no heading with that name" in printed
    assert ("---- 04-attention.md ----\na failure" in printed) is bool(problem)
    assert "true" not in printed


@pytest.mark.parametrize("flag", ["--workers=0", "--patience=0"])
def test_numbers_that_mean_nothing(flag):
    with pytest.raises(UserError, match="expected 1 or more, got 0"):
        main([flag])
