"""What a user sees when something is wrong: one sentence and exit status 2, never a traceback."""

import difflib
import os
import sys
from collections.abc import Callable, Iterable
from typing import NoReturn

EXIT_STATUS = 2


class UserError(Exception):
    """A mistake the user can mend. Its text is ONE sentence: what is wrong, where, what was expected, what to do."""


class DivergedError(UserError):
    """A loss, a gradient or a weight that is no finite number. It is raised where it was seen; the training loop, which
    knows more, adds the step, the likely cause and the checkpoint to go back to."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint to append to an error message: " (did you mean x?)", or "" if nothing known resembles `name`."""
    nearest = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" (did you mean {nearest[0]}?)" if nearest else ""


def refuse_old_command(old: str, new: str) -> NoReturn:
    """Ends a command that was started by a name it no longer has: one sentence with the new name, exit status 2."""
    moved = f"`python -m {old}` has moved; the command is now `python -m {new}`, with the same flags."
    print(f"error: {moved}", file=sys.stderr)
    raise SystemExit(EXIT_STATUS)


def run_main(main: Callable[[list[str]], None]) -> None:
    """Run `main(arguments)` for a command: `if __name__ == "__main__": run_main(main)`.

    Only UserError, Ctrl-C and what the operating system refuses (a full disk, a folder without permission) become one
    line. Every other exception is a bug in our code, and a bug deserves its traceback.
    """
    try:
        main(sys.argv[1:])
    except UserError as error:
        message = f"error: {error}"
    except BrokenPipeError:
        # the reader has enough, as in `python -m rlhf.people.prompts | head`; Python must not try to flush what is left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        where = "" if error.filename is None else f"{error.filename}: "
        message = f"error: {where}{error.strerror or error}; mend that and run the same command again"
    except KeyboardInterrupt:
        message = "stopped by Ctrl-C; run the same command again to go on from what was saved"
    else:
        return
    print(message, file=sys.stderr)
    sys.exit(EXIT_STATUS)
