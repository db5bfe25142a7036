"""The judge's handle on a student's function: a call of it is computed in another process, which can be stopped.

with StudentProcess(box=folder) as process:
    attention = Subject(process, folder / "ch04_attention.py", "causal_attention")
    attention(queries, keys, values)          # computed over there; [B,H,T,D] as ever
"""

from __future__ import annotations

import ast
import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from tutorials.exercises.worker import LONGEST, Worker, decode, encode, pull_back

if TYPE_CHECKING:
    from torch import Tensor

WORKER = Path(__file__).with_name("worker.py")
PRELOAD = ("torch.testing", "minigpt.model")  # what exercises import besides torch
START_SECONDS = 180.0  # importing torch takes two seconds on a quiet machine and many more on a busy one
BUDGET = 120.0  # seconds for everything that one process is asked, later starts included
LONGEST_LINE = 50_000_000  # bytes of one message
MOST_REFUSED = 10  # attempts that are kept


class StudentError(Exception):
    """The student's code raised an exception: its type, its text and its line."""

    def __init__(self, kind: str, text: str, line: int | None) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind, self.text, self.line = kind, text, line


class StudentStoppedError(Exception):
    """The student's process is no more: it took too long, or it ended. The text says which."""


class Transport(Protocol):
    """A way to a worker: takes a request there and brings back the answer."""

    refused: list[str]  # what the worker was not allowed to do

    def request(self, message: Mapping[str, Any], functions: Sequence[Callable[..., Any]]) -> Mapping[str, Any]:
        """The worker's answer; `functions` are called where it asks for them."""


def answer(message: Mapping[str, Any], functions: Sequence[Callable[..., Any]]) -> dict[str, Any]:
    """The value of a judge's function for the arguments that a student's code passed to it, or its gradient."""
    try:
        function, arguments = functions[message["ask"]], list(map(decode, message["arguments"]))
        if "gradient" in message:
            return {"value": encode(pull_back(function, arguments, decode(message["gradient"])))}
        return {"value": encode(function(*arguments))}
    except Exception as error:  # the arguments are the student's: they are told
        return {"error": f"the function that you were given cannot work with these arguments: {error}"}


class InThisProcess:
    """A worker without a process of its own, for code that we wrote ourselves: a thousand checks take seconds."""

    def __init__(self) -> None:
        self.refused: list[str] = []
        self.answers: list[Mapping[str, Any]] = []
        self.worker = Worker(self._ask, lambda: self.answers.pop())

    def use(self, file: Path, name: str, function: Callable[..., Any]) -> None:
        """`function` in place of what the file holds."""
        self.worker.functions[str(file), name] = function

    def request(self, message: Mapping[str, Any], functions: Sequence[Callable[..., Any]]) -> Mapping[str, Any]:
        self.functions = functions
        return self.worker.handle(message)

    def _ask(self, message: Mapping[str, Any]) -> None:
        self.answers.append(answer(message, self.functions))


class StudentProcess:
    """worker.py in a process of its own, with a time limit for each request. Started at the first request."""

    def __init__(
        self,
        box: Path,
        library: Path,
        *,
        seconds: float,
        secret: Sequence[Path] = (),
        quiet: bool = False,
        wrapper: Sequence[str] = (),
        preload: Sequence[str] = PRELOAD,
    ) -> None:
        """`box`: the folder it may write to. `library`: where its imports of the package are found. `secret`: folders
        that it may not read. `quiet` drops what it prints. `wrapper`: a command to start it with. `preload`: modules
        that it imports before anything is forbidden."""
        self.box, self.library, self.secret, self.quiet = box, library, secret, quiet
        self.seconds, self.wrapper, self.preload = seconds, wrapper, preload
        self.ends: float | None = None  # when the budget is used up; counted from the first start
        self.refused: list[str] = []
        self.process: subprocess.Popen[bytes] | None = None

    def request(self, message: Mapping[str, Any], functions: Sequence[Callable[..., Any]]) -> Mapping[str, Any]:
        if self.ends is not None and time.monotonic() > self.ends:
            raise StudentStoppedError(f"not tried: the {BUDGET:.0f} s for all exercises together are over")
        if self.process is None:
            self._start()
        if self.ends is None:
            self.ends = time.monotonic() + BUDGET  # the first start costs a student nothing
        deadline = min(time.monotonic() + self.seconds, self.ends)
        self._send(message)
        while "ask" in (reply := self._receive(deadline)):
            self._send(answer(reply, functions))
        return reply

    def _start(self) -> None:
        home = self.box / "home"
        home.mkdir(exist_ok=True)
        kept = ("PATH", "SYSTEMROOT", "LANG", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")  # and no token, no key
        environment = {name: os.environ[name] for name in kept if name in os.environ}
        environment |= {name: str(home) for name in ("HOME", "USERPROFILE", "TMPDIR", "TEMP", "TMP")}
        environment |= {"OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"}
        self.process = self._spawn(environment)
        self.lines: queue.Queue[bytes] = queue.Queue(maxsize=100)
        threading.Thread(target=_read_lines, args=(self.process.stdout, self.lines), daemon=True).start()
        late = f"Python did not start within {START_SECONDS:.0f} s: the machine is too busy, try again"
        self._receive(time.monotonic() + START_SECONDS, late)

    def _arguments(self) -> list[str]:
        """The arguments of worker.main."""
        return [str(self.box), str(self.library), ",".join(self.preload), *map(str, self.secret)]

    def _spawn(self, environment: dict[str, str]) -> subprocess.Popen[bytes]:
        """A fresh Python that runs worker.py."""
        return subprocess.Popen(
            [*self.wrapper, sys.executable, "-I", str(WORKER), *self._arguments()],
            cwd=self.box,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if self.quiet else None,
            start_new_session=True,
        )

    def _send(self, message: Mapping[str, Any]) -> None:
        with contextlib.suppress(OSError):  # it has ended: what it says, or does not say, comes next
            self.process.stdin.write((json.dumps(message) + "\n").encode("utf-8"))
            self.process.stdin.flush()

    def _receive(self, deadline: float, late: str = "") -> Mapping[str, Any]:
        """The next message that is an answer. Raises StudentStoppedError, with `late` where none comes in time."""
        while True:
            try:
                line = self.lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                self.close()
                never = f"no answer within {self.seconds:g} s: is there a loop that never ends?"
                raise StudentStoppedError(late or never) from None
            try:
                message = json.loads(line)
            except ValueError:
                message = None
            if not isinstance(message, dict):
                status = self.close()
                raise StudentStoppedError(f"your code ended the whole process (exit status {status})")
            if "refused" not in message:
                return message
            if len(self.refused) < MOST_REFUSED:
                self.refused.append(str(message["refused"])[:LONGEST])

    def close(self) -> int | None:
        """End the process and whatever it started; its exit status."""
        process, self.process = self.process, None
        if process is None:
            return None
        process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.2)
        if hasattr(os, "killpg"):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        status = process.wait()
        process.stdout.close()
        return status

    def __enter__(self) -> StudentProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _read_lines(stream: Any, lines: queue.Queue[bytes]) -> None:
    """Into the queue, line by line; an empty one at the end. A thread, because a pipe cannot be read with a time limit
    on every system."""
    with contextlib.suppress(OSError, ValueError):
        while line := stream.readline(LONGEST_LINE):
            lines.put(line)
    lines.put(b"")


class Subject:
    """One function of a student, with what they wrote down about it."""

    def __init__(
        self,
        transport: Transport,
        file: Path,
        function: str,
        answers: Mapping[str, Any] | None = None,
        measured: Mapping[str, Any] | None = None,
        text: str = "",
        original: str = "",
        exercise: str = "",
        ban: Sequence[str] = (),
    ) -> None:
        """`answers`: their part of answers.toml. `measured`: what `plug` measured for them. `text` and `original`:
        their file, and for a bug hunt the file that was handed out. `exercise`: its number. `ban`: names of functions
        that must not be called on the way, however the code reaches them."""
        self.transport, self.file, self.function = transport, file, function
        self.answers, self.measured = answers or {}, measured or {}
        self.text, self.original, self.exercise, self.ban = text, original, exercise, list(ban)
        self.last_arguments: Sequence[Any] = ()
        self.memory: dict[str, Any] = {}  # what one check has found out and others need

    @property
    def parameters(self) -> list[str]:
        """The names of the function's parameters, as the student's file has them; none if they cannot be read."""
        with contextlib.suppress(SyntaxError, ValueError, RecursionError, MemoryError):
            for node in ast.parse(self.text).body:
                if isinstance(node, ast.FunctionDef) and node.name == self.function:
                    return [argument.arg for argument in node.args.posonlyargs + node.args.args]
        return []

    def load(self) -> None:
        """Import the file. Raises StudentError or StudentStoppedError."""
        self._request("load", ())

    def __call__(self, *arguments: Any) -> Any:
        """The function's value."""
        return decode(self._request("call", arguments)["value"])

    def arguments_after(self, *arguments: Any) -> list[Any]:
        """The arguments as they are after the call; None for one that is a function."""
        return [None if part is None else decode(part) for part in self._request("call", arguments)["arguments_after"]]

    def gradients(self, *arguments: Any) -> list[Tensor] | Any:
        """∂/∂argument of a weighted sum of the output; see worker.gradients. Not a list if there is no gradient."""
        return decode(self._request("gradients", arguments)["value"])

    def _request(self, do: str, arguments: Sequence[Any]) -> Mapping[str, Any]:
        self.last_arguments = arguments
        functions = [argument for argument in arguments if callable(argument)]
        encoded = [{"callable": functions.index(a)} if callable(a) else encode(a) for a in arguments]
        message = {
            "do": do,
            "file": str(self.file),
            "function": self.function,
            "arguments": encoded,
            "ban": self.ban,
        }
        reply = self.transport.request(message, functions)
        if "error" in reply:
            error = reply["error"]
            raise StudentError(str(error["type"]), str(error["text"]), error["line"])
        return reply
