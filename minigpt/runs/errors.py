"""Errors that a user can correct: one sentence on stderr and exit status 2, without a traceback."""

import difflib
import os
import sys
from collections.abc import Callable, Iterable
from typing import NoReturn, TextIO

EXIT_STATUS = 2


class UserError(Exception):
    """A mistake that the user can correct. Its text is one sentence: what is wrong, where, and what to do."""


class DivergedError(UserError):
    """A loss, a gradient or a weight that is not finite.

    It is raised where the number is computed. The training loop adds the step, the likely cause and the checkpoint from
    which to resume.
    """


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of an error message, " (did you mean x?)" with the nearest known name, or "" if none is near."""
    nearest = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" (did you mean {nearest[0]}?)" if nearest else ""


def refuse_old_command(old: str, new: str) -> NoReturn:
    """Ends the program with one sentence that gives the new name of a command that was moved, and exit status 2."""
    moved = f"`python -m {old}` has moved; the command is now `python -m {new}`, with the same flags."
    print(f"error: {moved}", file=sys.stderr)
    raise SystemExit(EXIT_STATUS)


def replace_bad_characters(*streams: TextIO) -> None:
    """Makes streams replace what they cannot decode or encode, in place of ending the program with a traceback.

    A byte that is no UTF-8, pasted or typed on a console of another encoding, becomes U+FFFD; a character that the
    console cannot show becomes "?".
    """
    for stream in streams:
        if hasattr(stream, "reconfigure"):  # what tests put in place of a stream may have no encoding
            stream.reconfigure(errors="replace")


def open_missing_streams() -> None:
    """Puts the null device in place of a standard stream that the parent process has closed, which Python calls None:
    nothing can be read from it, and what is written to it is lost."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115  (open as long as the program)


def run_main(main: Callable[[list[str]], None]) -> None:
    """Runs a command, `main(arguments)`, and turns the user's errors into one line and exit status 2.

    These are UserError, Ctrl-C, and what the operating system refuses, such as a full disk or a folder without
    permission. Every other exception is a bug in our code and keeps its traceback.
    """
    open_missing_streams()
    replace_bad_characters(sys.stdin, sys.stdout, sys.stderr)
    try:
        main(sys.argv[1:])
        sys.stdout.flush()  # here a full disk is told as one; when Python exits, it is a traceback
    except UserError as error:
        message = f"error: {error}"
    except BrokenPipeError:
        # The reader has closed the pipe, as `head` does. Python would write the rest when it exits, and fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        where = "" if error.filename is None else f"{error.filename}: "
        message = f"error: {where}{error.strerror or error}; correct that and run the same command again"
    except KeyboardInterrupt:
        message = "stopped by Ctrl-C; run the same command again to continue from what was saved"
    else:
        return
    print(message, file=sys.stderr)
    sys.exit(EXIT_STATUS)
