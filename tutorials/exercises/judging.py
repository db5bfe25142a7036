"""Tools of the checks: draw inputs, compare, and say what is wrong so that a person can mend it.

A check is a function `check(subject, draw)`. It calls the student's function on inputs that leave one mechanism to look
at, and raises `CheckError` if the answer is not what it must be. Its name and its first sentence are what students see.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from tutorials.exercises.mistakes import likely_mistake, shape_and_numbers
from tutorials.exercises.showing import beside, first_difference, show
from tutorials.exercises.subject import StudentError, StudentStoppedError, Subject
from tutorials.exercises.work import Outcome

NAN = "NaN comes from a softmax over nothing, from 0 times infinity, or from 0 divided by 0"
LARGE = "a constant where a size belongs, a table that is too short, or a case of its own for small inputs"


class CheckError(Exception):
    """A wrong answer. `what` is one sentence; `expected`, `got`, `given` are shown; `likely` names the mistake."""

    def __init__(
        self,
        what: str,
        *,
        likely: str = "",
        expected: Any = None,
        got: Any = None,
        given: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(what)
        self.what, self.likely, self.expected, self.got, self.given = what, likely, expected, got, given or {}

    def report(self) -> str:
        """The whole message, several lines."""
        lines = [self.what]
        lines += [beside("given     ", f"{name} = ", show(value)) for name, value in self.given.items()]
        if self.expected is not None:
            matrix = first_difference(self.expected, self.got)
            lines += [beside("expected  ", "", show(self.expected, matrix))]
            lines += [beside("got       ", "", show(self.got, matrix))]
        elif self.got is not None:
            lines.append(beside("got       ", "", show(self.got)))
        if self.likely:
            lines.append(f"likely:   {self.likely}")
        return "\n".join(lines)


class Draw:
    """Random inputs, a function of the seed and the check's name: the same ones at every run of the same seed."""

    def __init__(self, seed: str, check: str) -> None:
        digest = hashlib.sha256(f"{seed} {check}".encode()).digest()
        self.random = random.Random(digest)
        self.generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "little"))

    def size(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return self.random.randint(low, high)

    def sizes(self, count: int, low: int = 2, high: int = 6) -> list[int]:
        """Different whole numbers: with equal ones, two axes could change places and nobody would see it."""
        return self.random.sample(range(low, high + 1), count)

    def normal(self, *shape: int) -> Tensor:
        """N(0, 1)."""
        return torch.randn(shape, generator=self.generator)

    def whole(self, *shape: int, low: int = -9, high: int = 9) -> Tensor:
        """Whole numbers as floats, easy to follow by hand."""
        return torch.randint(low, high + 1, shape, generator=self.generator).float()


Check = Callable[[Subject, Draw], None]


def run_checks(subject: Subject, checks: Sequence[Check], seed: str) -> list[Outcome]:
    """All checks of an exercise, in order. After one that never answered, the others are not tried."""
    outcomes: list[Outcome] = []
    for check in checks:
        if outcomes and outcomes[-1].kind == "stopped":
            outcomes.append(dataclasses.replace(outcomes[-1], check=check.__name__))
        else:
            outcomes.append(run_check(subject, check, seed))
    return outcomes


def run_check(subject: Subject, check: Check, seed: str) -> Outcome:
    """The outcome of one check. Raises nothing, whatever a student's code sends back."""
    name = check.__name__
    try:
        check(subject, Draw(seed, name))
    except CheckError as error:
        return Outcome(name, error.report())
    except StudentError as error:
        return Outcome(name, explain(error, subject), "unwritten" if error.kind == "NotImplementedError" else "raised")
    except StudentStoppedError as stopped:
        return Outcome(name, str(stopped), "stopped")
    except Exception as error:  # a worker that sends nonsense has been tampered with
        return Outcome(name, f"your function's answer could not be read ({type(error).__name__}: {error})", "raised")
    return Outcome(name, "")


def explain(error: StudentError, subject: Subject) -> str:
    """An exception of the student's code in words: an answer like any other, only that no number came back."""
    where = f" (line {error.line})" if error.line else ""
    if error.kind == "NotImplementedError":
        return f"not written yet{where}"
    if "can't allocate memory" in error.text or error.kind == "MemoryError":
        return f"your code asked for more memory than there is for a check{where}: {error.text}"
    code = subject.text.splitlines()
    line = code[error.line - 1].strip() if error.line and error.line <= len(code) else ""
    lines = [f"your code raised {error.kind}{where}: {error.text}"]
    lines += [f"code      {line}"] if line else []
    lines += [
        beside("given     ", f"{name}: ", shape_and_numbers(value))
        for name, value in zip(subject.parameters, subject.last_arguments, strict=False)
    ]
    likely = likely_mistake(error.kind, error.text, line, subject.exercise)
    return "\n".join([*lines, f"likely:   {likely}"] if likely else lines)


# ---- Comparing -----------------------------------------------------------------------------------------------------


def expect_tensor(got: Any, shape: Sequence[int], axes: str, dtype: torch.dtype, what: str) -> None:
    """`got` is a tensor with this shape and type; `axes` names the axes, as in "B H T D"."""
    if not isinstance(got, Tensor):
        if isinstance(got, (list, tuple)):
            likely = "torch.stack makes one tensor of several, torch.tensor one of numbers"
            raise CheckError(f"{what} must be a tensor, and it is a list or a tuple of {len(got)}", likely=likely)
        kind = repr(got) if repr(got) != "NoneType" else "None: is the return missing?"
        raise CheckError(f"{what} must be a tensor, and it is {kind}")
    named = ", ".join(f"{axis} = {size}" for axis, size in zip(axes.split(), shape, strict=True))
    if tuple(got.shape) != tuple(shape):
        raise CheckError(
            f"{what} must have the shape [{','.join(axes.split())}]",
            expected=list(shape),
            got=list(got.shape),
            likely=f"an axis is missing, added or elsewhere ({named})" if named else "sum or average what is left",
        )
    if got.dtype != dtype:
        asked = "boolean, True or False" if dtype == torch.bool else f"of the type {dtype}"
        raise CheckError(
            f"{what} must be {asked}",
            expected=str(dtype),
            got=str(got.dtype),
            likely="a tensor was created or converted with a type of its own",
        )


def close(got: Any, expected: Any, rtol: float, atol: float) -> bool:
    """Equal within the tolerance, and in shape and type; NaN equals nothing. For numbers as well."""
    if isinstance(expected, Tensor) != isinstance(got, Tensor):
        return False
    if not isinstance(expected, Tensor):
        number = type(got) in (int, float) and type(expected) in (int, float)
        return number and abs(got - expected) <= atol + rtol * abs(expected)
    try:
        torch.testing.assert_close(got, expected, rtol=rtol, atol=atol)
    except AssertionError:
        return False
    return True


def another_kind(got: Any, expected: Any) -> str:
    """What is returned instead of a number or a tensor, where the message could show the same digits twice; or ""."""
    if repr(got) == "NoneType":
        return "None came back: is the return missing, in one of the branches perhaps?"
    if isinstance(got, Tensor) and not isinstance(expected, Tensor):
        return "a tensor came back where a plain number is asked for: .item() makes one of it"
    if isinstance(expected, (int, float)) and isinstance(got, bool):
        return f"{got} came back where a number is asked for: int() or float() makes one of it"
    if isinstance(expected, Tensor) and not isinstance(got, Tensor):
        return f"a {type(got).__name__} came back where a tensor is asked for"
    if isinstance(got, Tensor) and got.dtype != expected.dtype:
        return f"the numbers are of another type: {got.dtype} came back, and {expected.dtype} is asked for"
    return ""


def expect_close(
    got: Any,
    expected: Any,
    what: str,
    *,
    likely: str = "",
    not_finite: str = NAN,
    given: Mapping[str, Any] | None = None,
    mistakes: Mapping[str, Any] | None = None,
    rtol: float = 1e-4,
    atol: float = 1e-5,
) -> None:
    """`got` is `expected`, or CheckError is raised. `mistakes` maps a mistake to what it would have given: if that is
    what was got, the message says so instead of guessing. `not_finite`: the guess where NaN or infinity was got."""
    if close(got, expected, rtol, atol):
        return
    for mistake, value in (mistakes or {}).items():
        if close(got, value, rtol, atol):
            likely = f"{mistake} (that gives exactly your numbers)"
            break
    else:
        likely = another_kind(got, expected) or (likely if is_finite(got) else not_finite)
    raise CheckError(what, expected=expected, got=got, likely=likely, given=given)


def is_finite(value: Any) -> bool:
    """False for a number, or a tensor with a number, that is NaN or infinite; True for whatever is no number."""
    if isinstance(value, Tensor):
        return bool(value.isfinite().all())
    return not isinstance(value, float) or math.isfinite(value)


def expect_close_when_large(got: Any, expected: Tensor, axes: str, sizes: str) -> None:
    """`got` is `expected` for sizes at which a constant, a table of fixed length or a special case would show.

    Small cases have named the likely mistake before; this one gives the verdict. Its message shows the first place that
    is wrong, and not thousands of numbers.
    """
    expect_tensor(got, expected.shape, axes, expected.dtype, "the result")
    wrong = ~torch.isclose(got, expected, rtol=1e-4, atol=1e-5)
    if not wrong.any():
        return
    place = tuple(wrong.nonzero()[0].tolist())
    named = ", ".join(f"{axis.lower()} = {index}" for axis, index in zip(axes.split(), place, strict=True))
    raise CheckError(
        f"the small cases are right, and with {sizes} {int(wrong.sum())} of {wrong.numel()} numbers are not"
        + (f"; the first is at {named}" if named else ""),
        expected=float(expected[place]),
        got=float(got[place]),
        likely=LARGE if is_finite(got) else NAN,
    )


def expect_unchanged(subject: Subject, *arguments: Any, names: str) -> None:
    """The function leaves its arguments as they are."""
    copies = [argument.clone() if isinstance(argument, Tensor) else argument for argument in arguments]
    after = subject.arguments_after(*arguments)
    for name, before, now in zip(names.split(), copies, after, strict=True):
        same = torch.equal(before, now) if isinstance(before, Tensor) else before == now
        if not same:
            raise CheckError(
                f"{name} must stay as it was: whoever calls the function still needs it",
                expected=before,
                got=now,
                likely="an operation in place: a method that ends in _, +=, or an assignment to a part of a tensor",
            )


def expect_gradients(
    subject: Subject, arguments: Sequence[Any], spec: Callable[..., Tensor], names: str, *, likely: str
) -> None:
    """The gradients of the function are those of the specification."""
    got = subject.gradients(*[a.clone() if isinstance(a, Tensor) else a for a in arguments])
    if not isinstance(got, list):
        what = "a gradient must flow through the result, or nothing is learned"
        raise CheckError(what, likely="detach, item, no_grad, or a tensor made of numbers")
    inputs = [a.clone().requires_grad_() if isinstance(a, Tensor) and a.is_floating_point() else a for a in arguments]
    output = spec(*inputs)
    weights = torch.arange(output.numel(), dtype=output.dtype).reshape(output.shape).cos()
    floats = [a for a in inputs if isinstance(a, Tensor) and a.is_floating_point()]
    expected = torch.autograd.grad((output * weights).sum(), floats)
    for name, mine, right in zip(names.split(), got, expected, strict=True):
        expect_close(mine, right, f"the gradient for {name} must be that of the specification", likely=likely)


def changed_lines(before: str, after: str) -> int:
    """The number of lines of code that differ; blank lines and comments do not count."""

    def code(text: str) -> list[str]:
        return [line for line in map(str.strip, text.splitlines()) if line and not line.startswith("#")]

    matcher = difflib.SequenceMatcher(a=code(before), b=code(after), autojunk=False)
    return sum(max(i2 - i1, j2 - j1) for tag, i1, i2, j1, j2 in matcher.get_opcodes() if tag != "equal")


def expect_small_fix(subject: Subject, most: int = 3) -> None:
    """The file differs from what was handed out, in at most `most` lines of code."""
    lines = changed_lines(subject.original, subject.text)
    if lines == 0:
        raise CheckError("the file is as it was handed out: the mistake is still in it")
    if lines > most:
        raise CheckError(
            f"{lines} lines of code are changed, and the mistake is one idea",
            expected=f"{most} lines at most",
            got=lines,
            likely="start again from bugs/originals/ and change only what is wrong",
        )
