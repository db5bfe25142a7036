"""A student's code in its own process: what comes back, and that nothing it does reaches the judge."""

import json
import sys
import textwrap
import time

import pytest
import torch

from tutorials.exercises.registry import ROOT
from tutorials.exercises.subject import StudentError, StudentProcess, StudentStoppedError, Subject
from tutorials.exercises.worker import Other, decode, encode
from tutorials.grading.sandbox import find_sandbox

CODE = """
    import torch
    from math import sqrt as borrowed

    def double(x):
        print("students print")
        return 2 * x

    def in_place(x):
        x.add_(1)
        return [x, 1, "text", True]

    def nothing(x):
        return None

    def wrong(x):
        y = x
        return y[99]

    def leaves(x):
        raise SystemExit(0)

    def endless(x):
        while True:
            pass

    def hungry(x):
        return torch.zeros(2_500_000_000)

    def hungry_list(x):
        return [0] * 2_500_000_000

    def writes(x):
        with open("@OUTSIDE@/written.txt", "w") as file:
            file.write("x")

    def writes_from_c(x):
        torch.save(x, "@OUTSIDE@/written.pt")  # no Python in between, so nothing that watches Python sees it

    def writes_inside(x):
        with open("inside.txt", "w") as file:
            file.write("x")
        return x

    def reads(x):
        with open("@SECRET@") as file:
            return file.read()

    def connects(x):
        import socket
        socket.create_connection(("127.0.0.1", 9))

    def starts(x):
        import subprocess
        subprocess.run(["true"])

    def quits(x):
        import os
        os._exit(3)

    def asks(x, function):
        return function(x) + function(2 * x)

    def follows(x, function):
        x = x.clone().requires_grad_()
        y = function(x, x)
        (y * torch.tensor([1.0, 10.0])).sum().backward()
        return x.grad

    def asks_nonsense(x, function):
        return function("no tensor")

    def speaks_out_of_turn(x):
        import os
        for number in range(3, 30):
            try:
                os.write(number, b'[1, 2, 3]\\n')
            except OSError:
                pass
        return x
"""
X = torch.tensor([1.0, 2.0])


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    """One process for all tests; it starts again after those that end it. Limits are short: the tests wait for them."""
    box, outside = tmp_path_factory.mktemp("box"), tmp_path_factory.mktemp("outside")
    secret = outside / "secret.txt"
    secret.write_text("the answer", encoding="utf-8")
    code = textwrap.dedent(CODE).replace("@OUTSIDE@", outside.as_posix()).replace("@SECRET@", secret.as_posix())
    (box / "student.py").write_text(code, encoding="utf-8")
    with StudentProcess(box, ROOT, seconds=4.0, secret=[outside], quiet=True) as process:
        yield lambda name: Subject(process, box / "student.py", name)


def test_values_survive_the_journey():
    values = [X, torch.tensor([[1, 2], [3, 4]]), torch.tensor([True]), torch.tensor(0.1, dtype=torch.float64)]
    values += [0.1, 3, "x", True, [1, [2.5, X]], torch.zeros(0, 3), torch.tensor([float("nan"), float("inf")])]
    for value in values:
        there_and_back = decode(json.loads(json.dumps(encode(value))))
        assert type(there_and_back) is type(value)
        if isinstance(value, torch.Tensor):
            torch.testing.assert_close(there_and_back, value, rtol=0, atol=0, equal_nan=True)
        elif not isinstance(value, list):
            assert there_and_back == value
    assert repr(decode(encode(None))) == "NoneType"
    assert isinstance(decode(encode(torch.zeros(2000, 2000))), Other), "too large to be an answer"


def test_the_answer_comes_back_whatever_is_printed(student):
    torch.testing.assert_close(student("double")(X), 2 * X)


def test_arguments_show_what_was_done_to_them(student):
    after = student("in_place").arguments_after(X)
    torch.testing.assert_close(after[0], X + 1)
    torch.testing.assert_close(X, torch.tensor([1.0, 2.0])), "the judge's own tensor is another one"


def test_a_function_can_be_passed_and_is_computed_by_the_judge(student):
    calls = []
    torch.testing.assert_close(student("asks")(X, lambda x: calls.append(x) or x + 1), 3 * X + 2)
    assert len(calls) == 2
    with pytest.raises(StudentError, match="cannot work with these arguments"):
        student("asks_nonsense")(X, lambda x: x.shape)


def test_a_function_that_was_passed_has_a_gradient(student):
    """∂/∂x of x³ weighted with 1 and 10, through both of its arguments: a test of a student's may compare gradients."""
    torch.testing.assert_close(student("follows")(X, lambda a, b: a * a * b), 3 * X**2 * torch.tensor([1.0, 10.0]))


def test_an_exception_comes_with_its_line(student):
    with pytest.raises(StudentError, match="IndexError") as error:
        student("wrong")(X)
    assert error.value.line == 1 + textwrap.dedent(CODE).split("\n").index("    return y[99]")


def test_an_exit_is_an_error_like_others(student):
    with pytest.raises(StudentError, match="SystemExit"):
        student("leaves")(X)


def test_a_borrowed_function_is_not_the_students(student):
    with pytest.raises(StudentError, match="not a function that was written in this file"):
        student("borrowed").load()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory of a process")
@pytest.mark.parametrize("name", ["hungry", "hungry_list"])
def test_memory_has_a_limit(student, name):
    with pytest.raises(StudentError, match=r"(can't allocate memory|MemoryError)"):
        student(name)(X)


@pytest.mark.parametrize("name", ["writes", "reads", "connects", "starts"])
def test_what_no_exercise_needs_is_refused_and_reported(student, name):
    subject = student(name)
    with pytest.raises(StudentError, match="refused while checking"):
        subject(X)
    assert subject.transport.refused, "the teacher is told"
    torch.testing.assert_close(student("writes_inside")(X), X)


@pytest.mark.skipif(not find_sandbox().read_only, reason="this system lets nobody fence a process in")
def test_the_fence_of_the_system_holds_where_python_sees_nothing(tmp_path):
    box, outside = tmp_path / "box", tmp_path / "outside"
    box.mkdir(), outside.mkdir()
    code = textwrap.dedent(CODE).replace("@OUTSIDE@", outside.as_posix())
    (box / "student.py").write_text(code, encoding="utf-8")
    with StudentProcess(box, ROOT, seconds=4.0, quiet=True, wrapper=find_sandbox().wrapper(box)) as process:
        torch.testing.assert_close(Subject(process, box / "student.py", "writes_inside")(X), X)
        with pytest.raises(StudentError, match="Read-only file system"):
            Subject(process, box / "student.py", "writes_from_c")(X)
    assert not list(outside.iterdir())
    assert (box / "inside.txt").exists()


def test_an_endless_loop_is_stopped_and_the_next_question_is_answered(student):
    started = time.monotonic()
    with pytest.raises(StudentStoppedError, match="no answer within 4 s"):
        student("endless")(X)
    assert time.monotonic() - started < 12
    torch.testing.assert_close(student("double")(X), 2 * X)


def test_all_answers_together_have_a_limit_too(tmp_path):
    """Each answer just in time would otherwise take an hour."""
    (tmp_path / "student.py").write_text("def f(x):\n    return x\n", encoding="utf-8")
    with StudentProcess(tmp_path, ROOT, seconds=4.0, quiet=True) as process:
        subject = Subject(process, tmp_path / "student.py", "f")
        torch.testing.assert_close(subject(X), X)
        process.ends = time.monotonic() - 1
        with pytest.raises(StudentStoppedError, match="for all exercises together are over"):
            subject(X)


def test_a_process_that_ends_is_noticed(student):
    with pytest.raises(StudentStoppedError, match="exit status 3"):
        student("quits")(X)


def test_what_is_not_an_answer_ends_the_process(student):
    with pytest.raises(StudentStoppedError, match="ended the whole process"):
        student("speaks_out_of_turn")(X)
