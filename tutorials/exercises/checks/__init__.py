"""The checks of each exercise: short functions, in the order in which a student should meet them.

Every check isolates one mechanism by its input, and compares with the specification or with numbers worked out by hand.
None imports a solution.
"""

from tutorials.exercises.checks import (
    ch00,
    ch01,
    ch01_more,
    ch02,
    ch02_more,
    ch04,
    ch04_more,
    ch04_window,
    ch15,
    ch15_more,
    ch15_ties,
    ch16,
    ch16_more,
    ch17,
    ch17_more,
    ch18,
    ch18_more,
)
from tutorials.exercises.judging import Check

CHECKS: dict[str, tuple[Check, ...]] = {
    **ch00.CHECKS,
    **ch01.CHECKS,
    **ch01_more.CHECKS,
    **ch02.CHECKS,
    **ch02_more.CHECKS,
    **ch04.CHECKS,
    **ch04_window.CHECKS,
    **ch04_more.CHECKS,
    **ch15.CHECKS,
    **ch15_more.CHECKS,
    **ch15_ties.CHECKS,
    **ch16.CHECKS,
    **ch16_more.CHECKS,
    **ch17.CHECKS,
    **ch17_more.CHECKS,
    **ch18.CHECKS,
    **ch18_more.CHECKS,
}
