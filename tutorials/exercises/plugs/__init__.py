"""`plug`: the real training, with the student's function in the place of the package's. A file for each chapter.

A function that passes its checks is still only a function. Here it pretrains a model, or trains a reward model, beside
the package's own: the same data, the same seeds, and so nearly the same numbers. At most a minute each.
"""

from __future__ import annotations

from collections.abc import Callable

from tutorials.exercises.plugs import (
    ch00,
    ch01,
    ch02,
    ch03,
    ch04,
    ch05,
    ch06,
    ch07,
    ch08,
    ch09,
    ch14,
    ch15,
    ch16,
    ch17,
    ch18,
    ch19,
)
from tutorials.exercises.registry import Exercise

# Checks of type C that can only pass after the measurement.
ABOUT_MEASUREMENTS = (
    "the_perplexities_are_in_answers",
    "the_reason_for_the_perplexities",
    "the_reason_for_the_sizes",
    "the_sizes_are_in_answers",
    "the_sides_are_in_answers",
    "the_reason_for_the_sides",
    "the_rates_are_in_answers",
    "the_reason_for_the_rates",
    "what_was_measured_is_written",
    "the_reason_is_a_sentence",
    "the_damages_are_in_answers",
    "the_reason_for_the_damage",
    "what_is_kept_is_in_answers",
    "the_reason_for_the_base",
    "what_was_measured_is_in_answers",
    "the_reason_is_given",
    "the_variances_are_in_answers",
    "the_reason_for_the_variance",
    "the_spreads_are_in_answers",
    "the_reason_for_the_spread",
    "the_shares_are_in_answers",
    "the_reason_for_the_shares",
    "the_ends_are_in_answers",
    "the_reason_for_the_ends",
    "the_alarms_are_in_answers",
    "the_reason_for_the_alarms",
    "the_chances_are_in_answers",
    "the_reason_for_the_chances",
)

PLUGS: dict[str, Callable[[Exercise], None]] = {
    **ch00.PLUGS,
    **ch01.PLUGS,
    **ch02.PLUGS,
    **ch03.PLUGS,
    **ch04.PLUGS,
    **ch05.PLUGS,
    **ch06.PLUGS,
    **ch07.PLUGS,
    **ch08.PLUGS,
    **ch09.PLUGS,
    **ch14.PLUGS,
    **ch15.PLUGS,
    **ch16.PLUGS,
    **ch17.PLUGS,
    **ch18.PLUGS,
    **ch19.PLUGS,
}
