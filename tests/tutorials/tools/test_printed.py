"""Outputs that count as the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutorials.tools.printed import difference, keep_the_same

SAME = [
    ("loss 0.123", "loss 0.124"),
    ("loss 0.123", "loss 0.122"),
    ("loss 0.12", "loss 0.1249"),
    ("0.00", "-0.00"),
    ("−0.50", "-0.5"),
    ("[-0.50, 0.25]", "[-0.49,  0.26]"),
    ("1.2e-07", "1.3e-07"),
    ("a   b", "a b"),
    ("a \nb\n\n", "a\nb"),
    ("12.5% of", "12.6% of"),
    ("took 0.5s", "took 0.6s"),
    ("loss … nats", "loss 1.5 of 2 nats"),
    ("a … b … c", "a b c"),
    ("start\n…\nend", "start\n1\n2\nend"),
    ("start\n…", "start"),
    ("…", "anything\nat all"),
    ("1,234.5", "1,234.4"),
]
DIFFERENT = [
    ("loss 0.123", "loss 0.125"),
    ("loss 0.123", "loss 0.121"),
    ("3 of 4", "3 of 5"),
    ("3", "3.0"),
    ("0.5", "-0.5"),
    ("tensor([1., 2.])", "tensor([1., 3.])"),
    ("torch 2.13.0", "torch 2.13.1"),
    ("1e-05", "2e-05"),
    ("1,234.5", "1,235.5"),
    ("x1", "x2"),
    ("True", "False"),
    ("nan", "0.5"),
    ("0.5", "inf"),
    ("a b", "a b c"),
    ("a\nb", "a"),
    ("a", "a\nb"),
    ("a … c", "a b d"),
    ("start\n…\nend", "start\n1\nfinish"),
    ("a", ""),
    ("", "a"),
    ("v2", "v3"),
    ("[0.1]", "(0.1)"),
    ("0.5 0.5", "0.5"),
]


@pytest.mark.parametrize(("page", "printed"), SAME)
def test_the_same_to_the_digits_shown(page, printed):
    assert difference(page, printed) == ""


@pytest.mark.parametrize(("page", "printed"), DIFFERENT)
def test_not_the_same(page, printed):
    assert difference(page, printed) != ""


@given(st.integers(-10_000, 10_000), st.integers(1, 6), st.integers(-3, 3))
def test_a_number_may_be_one_off_in_its_last_digit_and_no_more(units, digits, off):
    """Against whole numbers: the page shows `units` of the last digit."""
    page, printed = (f"{number / 10**digits:.{digits}f}" for number in (units, units + off))
    assert (difference(page, printed) == "") == (abs(off) <= 1)


def test_the_message_marks_the_first_line_that_differs():
    assert difference("a 1.0\nb 2.0\nc", "a 1.0\nb 2.3") == (
        "the page says\n  a 1.0\n> b 2.0\n  c\nthe block above prints\n  a 1.0\n> b 2.3"
    )
    assert difference("a", "a\nb").startswith("the page says\n  a\n> (nothing)\n")


def test_what_is_still_right_stays_as_it_was_written():
    assert keep_the_same("loss … 0.12\n", "loss a 0.123\n") == "loss … 0.12\n"
    assert keep_the_same("loss 0.12\n", "loss 0.14\n") == "loss 0.14\n"
