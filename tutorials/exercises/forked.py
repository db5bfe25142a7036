"""A student's process that starts as a copy of this one (fork), in which torch is already imported.

A fresh Python spends its first second on `import torch`; a student who checks a function twenty times an hour should
wait for that once a check, not twice. The copy cannot change its parent: what runs in it is as far away as in a process
of its own, and only numbers come back. A class is graded with fresh processes behind fences (grading/sandbox.py).
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tutorials.exercises import worker
from tutorials.exercises.subject import StudentProcess

POLL_SECONDS = 0.01


class Child:
    """A forked process with the part of subprocess.Popen's interface that StudentProcess uses."""

    def __init__(self, pid: int, stdin: int, stdout: int) -> None:
        self.pid, self.stdin, self.stdout = pid, os.fdopen(stdin, "wb"), os.fdopen(stdout, "rb")
        self.status: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        """The exit status, a negative signal number if a signal ended it. Raises subprocess.TimeoutExpired."""
        ends = None if timeout is None else time.monotonic() + timeout
        while self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
            elif ends is not None and time.monotonic() > ends:
                raise subprocess.TimeoutExpired("a student's code", timeout)
            else:
                time.sleep(POLL_SECONDS)
        return self.status


class ForkedProcess(StudentProcess):
    """StudentProcess without a start of its own. Only where fork is safe with torch loaded: on Linux."""

    def _spawn(self, environment: dict[str, str]) -> Any:
        from_judge, to_student = os.pipe()
        from_student, to_judge = os.pipe()
        sys.stdout.flush()  # or the copy would print what is still waiting here
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            self._become_worker(from_judge, to_judge, environment)
        os.close(from_judge)
        os.close(to_judge)
        return Child(pid, to_student, from_student)

    def _become_worker(self, requests: int, answers: int, environment: dict[str, str]) -> None:
        """The rest of the copy's life. Never returns: the judge's code must not run a second time."""
        try:
            os.setsid()
            os.dup2(requests, 0)
            os.dup2(answers, 1)
            os.closerange(3, max(requests, answers) + 64)  # other pipes, so that the end of one is noticed
            os.environ.clear()
            os.environ.update(environment)
            os.chdir(self.box)
            worker.main(*self._arguments())
        finally:
            os._exit(0)


def can_fork() -> bool:
    """True where a copy of a process with torch in it works: macOS's libraries do not survive it, Windows has none."""
    return sys.platform == "linux"


def start_process(box: Path, library: Path, *, seconds: float, preload: tuple[str, ...]) -> StudentProcess:
    """The student's own process on their own machine: forked where that works, else a fresh one."""
    kind = ForkedProcess if can_fork() else StudentProcess
    return kind(box, library, seconds=seconds, preload=preload)
