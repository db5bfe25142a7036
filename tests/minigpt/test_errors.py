"""A user's mistake is one line and status 2; our own mistake keeps its traceback."""

import sys

import pytest

from minigpt.errors import UserError, did_you_mean, run_main


def raising(error: BaseException):
    def main(argv: list[str]) -> None:
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (UserError("corpus.txt is empty; give text"), "error: corpus.txt is empty; give text"),
        (PermissionError(13, "Permission denied", "a.pt"),
         "error: a.pt: Permission denied; mend that and run the same command again"),
        (KeyboardInterrupt(), None),
    ],
)  # fmt: skip
def test_user_error_and_ctrl_c_are_one_line_and_status_2(error, line, capsys):
    with pytest.raises(SystemExit) as stop:
        run_main(raising(error))
    assert stop.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1, f"expected one line on stderr, got {err!r}"
    assert err.strip() == line if line else "Ctrl-C" in err


def test_a_bug_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        run_main(raising(ZeroDivisionError()))


def test_main_gets_the_arguments_and_success_does_not_exit(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["program", "--steps", "3"])
    seen = []
    run_main(seen.extend)
    assert seen == ["--steps", "3"], "main takes the arguments without the program's name"


def test_did_you_mean():
    assert did_you_mean("learning_rat", ["steps", "learning_rate"]) == " (did you mean learning_rate?)"
    assert did_you_mean("zzz", ["steps", "learning_rate"]) == "", "a far-fetched suggestion misleads"
