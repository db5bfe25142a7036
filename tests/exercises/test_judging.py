"""How checks compare and what they say: none of the ways in which graders are known to be fooled."""

import pytest
import torch

from tutorials.exercises.judging import (
    CheckError,
    Draw,
    changed_lines,
    expect_close,
    expect_gradients,
    expect_tensor,
    expect_unchanged,
    show,
)
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
    assert len(show(torch.zeros(50, 50))) <= 100


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
