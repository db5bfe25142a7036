"""A user's mistake is one line and status 2; our own mistake keeps its traceback."""

import subprocess
import sys
from pathlib import Path

import pytest

from minigpt.runs.errors import UserError, did_you_mean, run_main

ROOT = Path(__file__).resolve().parents[3]


def raising(error: BaseException):
    def main(argv: list[str]) -> None:
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (UserError("corpus.txt is empty; give text"), "error: corpus.txt is empty; give text"),
        (
            PermissionError(13, "Permission denied", "a.pt"),
            "error: a.pt: Permission denied; correct that and run the same command again",
        ),
        (KeyboardInterrupt(), None),
    ],
)
def test_user_error_and_ctrl_c_are_one_line_and_status_2(error, line, capsys):
    with pytest.raises(SystemExit) as stop:
        run_main(raising(error))
    assert stop.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1, f"expected one line on stderr, got {err!r}"
    assert err.strip() == line if line else "Ctrl-C" in err


def test_a_reader_that_has_enough_is_no_error():
    """`python -m rlhf.people | head -1`: the pipe is closed while there is more to say."""
    command = [
        sys.executable,
        "-c",
        "from minigpt.runs.errors import run_main\nrun_main(lambda a: print('x\\n' * 10**6))",
    ]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline().strip() == b"x"
        process.stdout.close()
        said = process.stderr.read()
    assert process.returncode == 1
    assert said == b"", "neither a traceback nor a second attempt to write"


SPEAKS = "print(sys.stdin.isatty(), sys.stdin.readline()); print('said', file=sys.stderr)"
needs_a_shell = pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")


def in_a_shell(redirected: str) -> subprocess.CompletedProcess:
    """A command that reads and writes a line, with its standard streams as the shell is told."""
    program = f"import sys\nfrom minigpt.runs.errors import run_main\ndef main(argv):\n {SPEAKS}\nrun_main(main)"
    shell = ["sh", "-c", f'exec "$1" -c "$2" {redirected}', "sh", sys.executable, program]
    return subprocess.run(shell, cwd=ROOT, capture_output=True, text=True, encoding="utf-8", input="line\n")


@needs_a_shell
@pytest.mark.parametrize(
    ("redirected", "out", "err"),
    [("<&-", "False \n\n", "said\n"), (">&-", "", "said\n"), ("2>&-", "False line\n\n", "")],
    ids=["stdin", "stdout", "stderr"],
)
def test_a_standard_stream_that_is_closed_is_no_traceback(redirected, out, err):
    """As cron and some desktops start programs: in Python such a stream is None."""
    done = in_a_shell(redirected)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, out.strip(), err)


@needs_a_shell
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a disk that is always full")
def test_what_does_not_fit_on_a_full_disk_is_one_sentence_and_no_traceback():
    """A line is so short that Python writes it only as it exits."""
    done = in_a_shell(">/dev/full")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: No space left on device"), done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


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
