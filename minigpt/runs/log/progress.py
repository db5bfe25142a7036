"""Progress of long work: a bar in a terminal, a plain line every ten seconds in a log file."""

import os
import sys
import time
from types import TracebackType

from tqdm import tqdm

from minigpt.runs.files import is_main

SECONDS_BETWEEN_LINES = 10.0


def _columns() -> int:
    """The width of the terminal; 0 where it has none, as over some serial lines."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns
    except (OSError, AttributeError, ValueError):
        return 0


class Progress:
    """Steps done, rate, time left and a note: `with Progress("sft", 150) as progress: ... progress.update("loss 2.1")`.

    Both forms go to stderr, so that stdout stays free for results. A bar redraws its line with carriage returns, which
    in a file would become one endless line; there, whole lines are written, and seldom. Of several processes
    (`distributed`) only the first one writes.
    """

    def __init__(self, name: str, steps: int, done: int = 0, unit: str = "step") -> None:
        self.name, self.steps, self.start, self.done, self.unit = name, steps, done, done, unit
        # a dumb terminal, such as a shell within an editor, shows what a log file would
        self.terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self.silent = not is_main()
        sized = self.terminal and _columns() > 0
        self.bar = tqdm(
            total=steps,
            initial=done,
            desc=name,
            unit=unit,
            dynamic_ncols=sized,
            ncols=None if sized else 80,
            nrows=None if sized else 24,
            disable=self.silent or not self.terminal,
        )
        self.started = self.printed = time.monotonic()

    def update(self, note: str = "", count: int = 1) -> None:
        """`count` more steps are done; `note` says how they went."""
        self.done += count
        self.bar.set_postfix_str(note, refresh=False)
        self.bar.update(count)
        now = time.monotonic()
        due = now - self.printed >= SECONDS_BETWEEN_LINES or self.done == self.steps
        if due and not (self.terminal or self.silent):
            self.printed = now
            meter = tqdm.format_meter(
                self.done,
                self.steps,
                now - self.started,
                ncols=0,
                prefix=self.name,
                unit=self.unit,
                postfix=note,
                initial=self.start,
            )
            print(meter, file=sys.stderr, flush=True)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.bar.close()
