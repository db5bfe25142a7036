"""The comparisons and messages of the checks, and the ways in which graders are known to be fooled."""

import pytest
import torch

from tutorials.exercises.judging import (
    CheckError,
    Draw,
    changed_lines,
    expect_close,
    expect_close_when_large,
    expect_gradients,
    expect_tensor,
    expect_unchanged,
    run_check,
)
from tutorials.exercises.showing import show
from tutorials.exercises.subject import InThisProcess, Subject


def subject_of(function, tmp_path):
    """A Subject for a function of this file."""
    transport = InThisProcess()
    transport.use(tmp_path / "student.py", "function", function)
    return Subject(transport, tmp_path / "student.py", "function")


@pytest.mark.parametrize(
    "got",
    [
        torch.zeros(3),
        torch.tensor(1.0),
        torch.ones(1, 3),
        torch.ones(3, dtype=torch.float64),
        torch.tensor([1.0, 1.0, float("nan")]),
        torch.tensor([1.0, 1.0, 0.95]),
        1.0,
        None,
    ],
    ids=["zeros", "scalar", "axis added", "dtype", "nan", "five percent off", "number", "nothing"],
)
def test_what_is_not_equal_in_value_shape_and_type_is_rejected(got):
    with pytest.raises(CheckError):
        expect_close(got, torch.ones(3), "must be ones")
    expect_close(torch.ones(3) + 1e-6, torch.ones(3), "must be ones")


def test_nan_does_not_equal_nan_even_where_it_is_expected():
    nan = torch.tensor([float("nan")])
    with pytest.raises(CheckError):
        expect_close(nan, nan, "must stay the same")
    with pytest.raises(CheckError):
        expect_close(float("nan"), float("nan"), "must stay the same")


@pytest.mark.parametrize("got", [True, "1", torch.tensor(1.0), [1.0]])
def test_a_number_must_be_a_number(got):
    with pytest.raises(CheckError):
        expect_close(got, 1.0, "must be 1")


def test_a_known_mistake_is_named_and_an_unknown_one_is_guessed():
    mistakes = {"the sign": torch.tensor(-1.0)}
    with pytest.raises(CheckError) as error:
        expect_close(torch.tensor(-1.0), torch.tensor(1.0), "must be 1", mistakes=mistakes, likely="something else")
    assert error.value.report().splitlines() == [
        "must be 1",
        "expected  1",
        "got       -1",
        "likely:   the sign (that gives exactly your numbers)",
    ]
    with pytest.raises(CheckError) as error:
        expect_close(torch.tensor(7.0), torch.tensor(1.0), "must be 1", mistakes=mistakes, likely="something else")
    assert "likely:   something else" in error.value.report()


@pytest.mark.parametrize(
    ("got", "expected", "likely"),
    [
        (torch.tensor(1.0), 1.0, ".item()"),
        (type("NoneType", (), {"__repr__": lambda self: "NoneType"})(), 1.0, "return"),
        (torch.tensor(1.0, dtype=torch.float64), torch.tensor(1.0), "float64 came back"),
    ],
)
def test_the_right_number_of_the_wrong_kind_is_called_that(got, expected, likely):
    """The digits are the same, so only the message can say what is wrong."""
    with pytest.raises(CheckError) as error:
        expect_close(got, expected, "must be 1", likely="something else")
    assert likely in error.value.likely


def test_a_list_of_tensors_is_not_printed_but_named():
    with pytest.raises(CheckError) as error:
        expect_tensor([torch.zeros(40), torch.zeros(40)], (2, 40), "B T", torch.float32, "the output")
    assert error.value.what.endswith("a list or a tuple of 2")
    assert "torch.stack" in error.value.likely


def test_the_message_about_a_shape_names_the_axes():
    with pytest.raises(CheckError) as error:
        expect_tensor(torch.zeros(3, 2), (2, 3), "B T", torch.float32, "the output")
    assert "[B,T]" in error.value.report()
    assert "B = 2, T = 3" in error.value.report()


def test_a_small_matrix_is_shown_row_by_row_and_a_long_list_is_cut():
    assert show(torch.tensor([[[[1.0, -0.5], [10.0, 2 / 3]]]])) == "[     1    -0.5]\n[    10  0.6667]"
    assert show(torch.tensor(2.0)) == "2"
    assert show(-0.00001) == "0"
    assert show(torch.zeros(0, 3)) == "[]"
    assert show(torch.zeros(50, 50)).count("\n") == 8, "eight rows, and … for the others"
    assert all(len(line) <= 100 for line in show(torch.full((50, 50), -1 / 3)).splitlines())
    several = show(torch.full((2, 3, 4, 5), 1 / 3))
    assert several.startswith("[2,3,4,5], the first of its 6 matrices:\n[0.3333  ")
    assert max(map(len, several.split())) < 12, "no number of seventeen digits"


def test_of_several_matrices_the_first_that_differs_is_shown():
    right = torch.zeros(3, 2, 2)
    wrong = right.clone()
    wrong[1, 0, 1] = 5.0
    with pytest.raises(CheckError) as error:
        expect_close(wrong, right, "must be 0")
    assert "number 2 of its 3 matrices" in error.value.report(), "the first matrix is right: it shows no difference"
    assert "[0  5]" in error.value.report().replace(".0", "")


@pytest.mark.parametrize(
    ("got", "expected", "likely"),
    [
        (torch.tensor(2), 2, "a plain number is asked for"),
        (True, 1, "True came back where a number is asked for"),
        ([1.0, 2.0], torch.tensor([1.0, 2.0]), "a list came back where a tensor is asked for"),
        (torch.tensor([1.0], dtype=torch.float64), torch.tensor([1.0]), "and torch.float32 is asked for"),
    ],
)
def test_the_right_value_of_another_kind_is_not_called_a_wrong_value(got, expected, likely):
    with pytest.raises(CheckError) as error:
        expect_close(got, expected, "must be equal", likely="a guess about the value")
    assert likely in error.value.report()


class Raising:
    """A transport whose student raises this error."""

    refused = ()

    def __init__(self, kind, text, line=None):
        self.error = {"type": kind, "text": text, "line": line}

    def request(self, message, functions):
        return {"error": self.error}


SOURCE = (
    "def f(hidden, lengths):\n    rows = torch.arange(3)\n    return hidden[rows, lengths] @ keys.T\n"
    "    return hidden / hidden.square().mean(dim=-1).sqrt()\n    return hidden @ qkv_weight.T\n"
)


def report_of(kind, text, line, exercise):
    subject = Subject(Raising(kind, text, line), "f.py", "f", text=SOURCE, exercise=exercise)
    return run_check(subject, lambda s, draw: s(torch.zeros(3, 4, 2), torch.tensor([2, 4, 1])), "seed").report


def test_an_exception_names_the_line_the_arguments_and_the_likely_mistake():
    report = report_of("IndexError", "index 4 is out of bounds for dimension 1 with size 4", 3, "15.2")
    assert report.splitlines() == [
        "your code raised IndexError (line 3): index 4 is out of bounds for dimension 1 with size 4",
        "code      return hidden[rows, lengths] @ keys.T",
        "given     hidden: [3,4,2]",
        "given     lengths: [3] = 2, 4, 1",
        "likely:   a length counts from 1 and an index from 0: the last real token of a row with 4 tokens stands in "
        "column 3",
    ]


@pytest.mark.parametrize(
    ("kind", "text", "line", "likely"),
    [
        ("RuntimeError", "mat1 and mat2 shapes cannot be multiplied (3x4 and 3x4)", 3, "transpose(-2, -1)"),
        ("RuntimeError", "mat1 and mat2 shapes cannot be multiplied (3x4 and 3x4)", 2, "product of matrices"),
        ("RuntimeError", "The size of tensor a (3) must match the size of tensor b (4)", 2, "the axis that differs"),
        ("RuntimeError", "The size of tensor a (3) must match the size of tensor b (4)", 4, "keepdim"),
        ("RuntimeError", "mat1 and mat2 shapes cannot be multiplied (3x4 and 3x4)", 5, "product of matrices"),
        ("RuntimeError", "view size is not compatible with input tensor's size and stride", 2, "a transpose"),
        ("TypeError", "'float' object cannot be interpreted as an integer", 2, "//"),
        ("TypeError", "~ (operator.invert) is only implemented on integer and Boolean-type tensors", 2, "torch.bool"),
        ("TypeError", "cross_entropy_loss(): argument 'input' must be Tensor, not list", 2, "torch.stack"),
        ("IndexError", "Target -1 is out of bounds.", 2, "ignore_index"),
        ("ValueError", "Expected input batch_size (3) to match target batch_size (5).", 2, "a row of scores"),
        ("IndexError", "list index out of range", 2, "n − 1"),
        ("TypeError", "'NoneType' object is not subscriptable", 2, "None"),
        ("NameError", "name 'math' is not defined", 2, "missing import"),
        ("ZeroDivisionError", "division by zero", 2, "0 pairs"),
        ("TypeError", "'<' not supported between instances of 'Tensor' and 'torch.return_types.min'", 2, ".values"),
        ("ValueError", "math domain error", 2, "logarithm of 0"),
        ("IndexError", "index 4 is out of bounds for dimension 1 with size 4", 2, "n − 1"),
        ("KeyError", "((tensor(8), None), tensor(4))", 2, "tolist()"),
    ],
)
def test_the_usual_exceptions_have_a_likely_mistake(kind, text, line, likely):
    assert likely in report_of(kind, text, line, "4.1").splitlines()[-1]


def test_what_max_returns_is_named_where_max_is_called():
    source = "def f(p, limit):\n    return p.masked_fill(p < limit * p.max(-1, keepdim=True), 0)\n"
    text = "can't multiply sequence by non-int of type 'float'"
    subject = Subject(Raising("TypeError", text, 2), "f.py", "f", text=source, exercise="8.2")
    report = run_check(subject, lambda s, draw: s(torch.zeros(2, 3), 0.5), "seed").report
    assert ".values" in report.splitlines()[-1]
    assert ".values" not in report_of("TypeError", text, 2, "8.2"), "line 2 calls no max: another mistake"


def test_large_cases_say_where_the_first_wrong_number_is():
    right = torch.zeros(2, 40)
    wrong = right.clone()
    wrong[1, 30:] = 1.0
    expect_close_when_large(right, right, "B T", "T = 40")
    with pytest.raises(CheckError) as error:
        expect_close_when_large(wrong, right, "B T", "T = 40")
    assert error.value.what == (
        "the small cases are right, and with T = 40 10 of 80 numbers are not; the first is at b = 1, t = 30"
    )
    with pytest.raises(CheckError, match="shape"):
        expect_close_when_large(right[0], right, "B T", "T = 40")
    with pytest.raises(CheckError):
        expect_close_when_large(right / 0, right, "B T", "T = 40")


def test_the_guess_for_infinity_is_made_only_where_there_is_one():
    for got, expected in ((torch.tensor(2.0), "a cut"), (torch.tensor(float("inf")), "an overflow")):
        with pytest.raises(CheckError) as error:
            expect_close(got, torch.tensor(1.0), "must be 1", likely="a cut", not_finite="an overflow")
        assert error.value.likely == expected


def test_draws_are_a_function_of_seed_and_check():
    assert torch.equal(Draw("a", "check").normal(3), Draw("a", "check").normal(3))
    assert not torch.equal(Draw("a", "check").normal(3), Draw("b", "check").normal(3))
    assert not torch.equal(Draw("a", "check").normal(3), Draw("a", "another").normal(3))
    for seed in range(50):
        assert len(set(Draw(str(seed), "c").sizes(4))) == 4, "axes of equal size hide a transpose"


def test_an_argument_that_was_changed_is_noticed(tmp_path):
    expect_unchanged(subject_of(lambda x, n: x * n, tmp_path), torch.ones(2), 2, names="x n")
    with pytest.raises(CheckError, match="x must stay"):
        expect_unchanged(subject_of(lambda x, n: x.mul_(n), tmp_path), torch.ones(2), 2, names="x n")


@pytest.mark.parametrize(
    "wrong", [lambda x: x.detach() * x, lambda x: torch.tensor((x * x).tolist()), lambda x: (x * x).detach()]
)
def test_a_gradient_that_is_cut_is_noticed(wrong, tmp_path):
    x = torch.tensor([1.0, 2.0, 3.0])
    expect_gradients(subject_of(lambda x: x * x, tmp_path), [x], lambda x: x**2, "x", likely="")
    with pytest.raises(CheckError, match="gradient"):
        expect_gradients(subject_of(wrong, tmp_path), [x], lambda x: x**2, "x", likely="")


def test_changed_lines_counts_code_only():
    before = "a = 1\nb = 2\nc = 3\n"
    assert changed_lines(before, before) == 0
    assert changed_lines(before, "# why\na = 1\n\n  b = 2\nc = 3\n") == 0
    assert changed_lines(before, "a = 1\nb = 5\nc = 3\n") == 1
    assert changed_lines(before, "b = 2\nc = 3\nd = 4\n") == 2
