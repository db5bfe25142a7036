"""The student's side of a check: a process that loads their file, calls their functions, and sends back what they give.

    judge ── {"do": "call", "function": …, "arguments": […]} ──►  worker: their code runs here
    judge ◄── {"value": …, "arguments_after": […]}           ──   and only numbers come back

The judge never runs a student's code. An endless loop, a crash or a trick stays in this process, and what comes back
is compared with numbers that the judge has computed. Messages are JSON, one a line, because a pickle from a
stranger can run code while it is read.

This file needs nothing of the project, so that it can run alone: `python -I worker.py BOX LIBRARY PRELOAD SECRET…`.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

MEMORY = 2 * 2**30  # bytes that a student's code may take beyond what Python and torch have taken already
LARGEST = 1_000_000  # numbers in one tensor of a message
LONGEST = 500  # characters of an error message

Send = Callable[[Mapping[str, Any]], None]
Receive = Callable[[], Mapping[str, Any]]


# ---- Values as JSON ----------------------------------------------------------------------------------------------


class Other:
    """Stands for a value that no exercise returns: None, an array, an object. All that is kept of it is its type."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __repr__(self) -> str:
        return self.kind


def encode(value: Any) -> Any:
    """A tensor, number, text or list of them as JSON. Numbers keep every bit: Python writes a float so that it can be
    read back exactly."""
    import torch

    if isinstance(value, torch.Tensor):
        if value.numel() > LARGEST:
            return {"other": f"a tensor of {value.numel():,} numbers"}
        numbers = value.detach().cpu().flatten().tolist()
        return {"tensor": numbers, "shape": list(value.shape), "dtype": str(value.dtype).removeprefix("torch.")}
    if isinstance(value, (list, tuple)):
        return {"list": [encode(part) for part in value]}
    if type(value) in (bool, int, float, str):
        return {"plain": value}
    return {"other": type(value).__name__}


def decode(data: Mapping[str, Any]) -> Any:
    """The value that `encode` wrote."""
    import torch

    if "tensor" in data:
        return torch.tensor(data["tensor"], dtype=getattr(torch, data["dtype"])).reshape(data["shape"])
    if "list" in data:
        return [decode(part) for part in data["list"]]
    return data["plain"] if "plain" in data else Other(str(data["other"]))


# ---- Running a student's code ------------------------------------------------------------------------------------


class Worker:
    """Answers requests. `send` and `receive` reach the judge while a function runs that was given a function."""

    def __init__(self, send: Send, receive: Receive) -> None:
        self.send, self.receive = send, receive
        self.modules: dict[str, Any] = {}
        self.functions: dict[tuple[str, str], Callable[..., Any]] = {}

    def handle(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to a request: a value, or an error with its line in the student's file."""
        try:
            function = self.function(request["file"], request["function"])
            if request["do"] == "load":
                return {"value": encode(True)}
            arguments = [self.argument(data) for data in request["arguments"]]
            with warnings.catch_warnings(), watched(request.get("ban", ())):
                warnings.simplefilter("ignore", UserWarning)  # torch's, in the middle of a message about the mistake
                if request["do"] == "gradients":
                    return {"value": encode(gradients(function, arguments))}
                value = function(*arguments)
            after = [None if callable(argument) else encode(argument) for argument in arguments]
            return {"value": encode(value), "arguments_after": after}
        except BaseException as error:  # whatever a student's code raises, SystemExit and KeyboardInterrupt too
            return {"error": describe(error, request["file"])}

    def function(self, file: str, name: str) -> Callable[..., Any]:
        """The student's function. Raises ImportError if it was not written in the student's file."""
        if (file, name) not in self.functions:
            if file not in self.modules:
                spec = importlib.util.spec_from_file_location(f"student_{len(self.modules)}", file)
                module = importlib.util.module_from_spec(spec)
                spec.loader.exec_module(module)
                self.modules[file] = module
            function = getattr(self.modules[file], name)
            code = getattr(function, "__code__", None)
            if code is None or os.path.realpath(code.co_filename) != os.path.realpath(file):
                raise ImportError(f"{name} is not a function that was written in this file")
            self.functions[file, name] = function
        return self.functions[file, name]

    def argument(self, data: Mapping[str, Any]) -> Any:
        """An argument; one that is a function stays with the judge, who is asked for its values."""
        if "callable" not in data:
            return decode(data)

        def exchange(arguments: Sequence[Any], **more: Any) -> Any:
            self.send({"ask": data["callable"], "arguments": [encode(a) for a in arguments], **more})
            answer = self.receive()
            if "error" in answer:
                raise ValueError(answer["error"])
            return decode(answer["value"])

        return asked(exchange)


def asked(exchange: Callable[..., Any]) -> Callable[..., Any]:
    """A function that the judge computes, and whose gradient the judge computes as well: to the student's code it is an
    ordinary function of tensors."""
    import torch

    class Asked(torch.autograd.Function):
        @staticmethod
        def forward(context: Any, *arguments: Any) -> Any:
            context.arguments = arguments
            return exchange(arguments)

        @staticmethod
        def backward(context: Any, gradient: Any) -> tuple[Any, ...]:
            return tuple(exchange(context.arguments, gradient=encode(gradient)))

    def ask(*arguments: Any) -> Any:
        if any(isinstance(a, torch.Tensor) and a.requires_grad for a in arguments):
            return Asked.apply(*arguments)
        return exchange(arguments)

    return ask


def pull_back(function: Callable[..., Any], arguments: Sequence[Any], gradient: Any) -> list[Any]:
    """∂(gradient · function)/∂argument for every argument, all of them tensors."""
    import torch

    inputs = [argument.requires_grad_() for argument in arguments]
    with torch.enable_grad():  # a backward pass, from which this may be called, has it switched off
        output = function(*inputs)
    found = torch.autograd.grad(output, inputs, gradient, allow_unused=True)
    return [torch.zeros_like(i) if g is None else g for i, g in zip(inputs, found, strict=True)]


@contextlib.contextmanager
def watched(ban: Sequence[str]) -> Iterator[None]:
    """While it is open, a function of torch whose name holds one of `ban` raises, by whatever way the code found it.

    The text of the file was searched for these names before (own_work.py); this looks at what is really called.
    """
    from torch.overrides import TorchFunctionMode

    banned = [name.replace("_", "").lower() for name in ban]

    class Watched(TorchFunctionMode):
        def __torch_function__(self, function: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
            name = getattr(function, "__name__", "")
            if any(part in name.replace("_", "").lower() for part in banned):
                raise PermissionError(f"{name} is called; here you write that yourself")
            return function(*arguments, **(named or {}))

    if not banned:
        yield
        return
    with Watched():
        yield


def gradients(function: Callable[..., Any], arguments: list[Any]) -> list[Any]:
    """∂/∂argument of a weighted sum of the output, for each argument that is a tensor of floats.

    The weights are cos(0), cos(1), …: different ones, so that no two mistakes can cancel.
    """
    import torch

    inputs = [a.requires_grad_() for a in arguments if isinstance(a, torch.Tensor) and a.is_floating_point()]
    output = function(*arguments)
    if not isinstance(output, torch.Tensor) or not output.requires_grad:
        return Other("no gradient")
    weights = torch.arange(output.numel(), dtype=output.dtype).reshape(output.shape).cos()
    found = torch.autograd.grad((output * weights).sum(), inputs, allow_unused=True)
    return [torch.zeros_like(i) if g is None else g for i, g in zip(inputs, found, strict=True)]


def describe(error: BaseException, file: str) -> dict[str, Any]:
    """An error as its type, its text, and the last line of the student's file that was running."""
    line = getattr(error, "lineno", None) if isinstance(error, SyntaxError) else None
    for frame, number in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_filename == file:
            line = number
    return {"type": type(error).__name__, "text": str(error)[:LONGEST], "line": line}


# ---- The process -------------------------------------------------------------------------------------------------


def limit_resources() -> None:
    """A limit on memory where the system has one (Linux; macOS ignores it, Windows has none), and small files only."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))
        with open("/proc/self/statm", encoding="ascii") as file:
            taken = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, taken + MEMORY))


def guard(box: str, library: str, secret: Sequence[str], report: Callable[[str], None]) -> None:
    """Refuse, from now on, what no exercise needs: writing outside `box`, reading in the folders `secret` (where Python
    and the packages lie in one of them, these may be read), other programs, the network. Each attempt is reported.

    This watches Python, not the machine: code that wants to get past it can (torch.save writes from C, unseen). It
    catches accidents and simple tricks, and says so in words; the fences that hold are those of the operating system
    (tutorials/grading/sandbox.py).
    """
    refused = (
        "subprocess.",
        "socket.",
        "shutil.",
        "ctypes.dlopen",
        "os.system",
        "os.exec",
        "os.fork",
        "os.posix_spawn",
        "os.spawn",
        "os.startfile",
        "os.kill",
        "os.remove",
        "os.rename",
        "os.rmdir",
        "os.mkdir",
        "os.link",
        "os.symlink",
        "os.chmod",
        "os.chown",
        "os.truncate",
        "os.chdir",
    )
    writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

    def inside(path: object, folders: Sequence[str]) -> bool:
        real = os.path.realpath(os.fsdecode(path))
        return any(real.startswith(folder + os.sep) for folder in folders)

    boxes = [os.path.realpath(box)]
    public = [*boxes, *map(os.path.realpath, (library, sys.prefix, sys.base_prefix))]
    hidden = [os.path.realpath(folder) for folder in secret]

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and not isinstance(arguments[0], int):
            path, _, flags = arguments
            if flags & writing and not inside(path, boxes):
                stop(f"write {os.fsdecode(path)}")
            if inside(path, hidden) and not inside(path, public):
                stop(f"read {os.fsdecode(path)}")
        elif event.startswith(refused):
            stop(" ".join([event, *map(repr, arguments)])[:LONGEST])

    def stop(what: str) -> None:
        report(what)
        raise PermissionError(f"refused while checking: {what}")

    sys.addaudithook(watch)


def main(box: str, library: str, preload: str, *secret: str) -> None:
    """Answer requests until there are none. `preload`: modules to import before the guard stands, joined by commas."""
    # What students print goes to stderr, even from C: stdout is the line to the judge.
    requests, answers = os.fdopen(os.dup(0), encoding="utf-8"), os.dup(1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    sys.path.append(library)
    sys.dont_write_bytecode = True

    def send(message: Mapping[str, Any]) -> None:
        data = (json.dumps(message) + "\n").encode("utf-8")
        while data:
            data = data[os.write(answers, data) :]

    def receive() -> Mapping[str, Any]:
        return json.loads(requests.readline())

    import torch

    torch.set_num_threads(1)
    for module in preload.split(","):  # while they are imported, they do what the guard refuses
        with contextlib.suppress(ImportError, ValueError):  # ValueError: the name is empty
            importlib.import_module(module)
    limit_resources()
    guard(box, library, secret, lambda what: send({"refused": what}))
    worker = Worker(send, receive)
    send({"ready": True})
    for line in requests:
        send(worker.handle(json.loads(line)))
        sys.stdout.flush()
        sys.stderr.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
