"""The checks of each exercise: short functions, in the order in which a student should meet them.

Every check isolates one mechanism by its input, and compares with the specification or with numbers worked out by hand.
None imports a solution.
"""

from tutorials.exercises.checks import (
    ch00,
    ch02,
    ch02_more,
    ch03,
    ch03_more,
    ch04,
    ch04_more,
    ch04_window,
    ch06,
    ch06_more,
    ch08,
    ch08_more,
    ch14,
    ch14_more,
    ch15,
    ch15_more,
    ch15_ties,
    ch16,
    ch16_more,
    ch17,
    ch17_more,
    ch18,
    ch18_more,
    ch19,
    ch19_more,
)
from tutorials.exercises.judging import Check

CHECKS: dict[str, tuple[Check, ...]] = {
    **ch00.CHECKS,
    **ch02.CHECKS,
    **ch02_more.CHECKS,
    **ch03.CHECKS,
    **ch03_more.CHECKS,
    **ch04.CHECKS,
    **ch04_window.CHECKS,
    **ch04_more.CHECKS,
    **ch06.CHECKS,
    **ch06_more.CHECKS,
    **ch08.CHECKS,
    **ch08_more.CHECKS,
    **ch14.CHECKS,
    **ch14_more.CHECKS,
    **ch15.CHECKS,
    **ch15_more.CHECKS,
    **ch15_ties.CHECKS,
    **ch16.CHECKS,
    **ch16_more.CHECKS,
    **ch17.CHECKS,
    **ch17_more.CHECKS,
    **ch18.CHECKS,
    **ch18_more.CHECKS,
    **ch19.CHECKS,
    **ch19_more.CHECKS,
}
