"""The proof can fail: each of its parts notices what it is there for. And the solutions pass, on one seed."""

import math

import pytest

from tutorials.exercises.judging import run_checks
from tutorials.exercises.registry import load_register
from tutorials.exercises.subject import InThisProcess, Subject
from tutorials.exercises.work import PUBLIC_SEED, Outcome
from tutorials.grading import prove
from tutorials.grading.grade import UNSEEN
from tutorials.instructor.wrong import Wrong
from tutorials.instructor.wrong.ch04 import CAUSAL, mask_of, scores_of
from tutorials.instructor.wrong.universal import zeros

EXERCISES = load_register()


def outcomes_of(exercise, function):
    with prove.solved() as work:
        return prove.outcomes_of(EXERCISES[exercise], work, function, PUBLIC_SEED)


@pytest.mark.parametrize("number", EXERCISES)
def test_solutions_and_other_right_functions_pass(number):
    assert prove.solution_passes(number, seeds=1, allowed=math.inf) == [], (
        "make check-exercises also looks at the clock"
    )


def test_a_solution_that_takes_too_long_is_reported():
    (trouble,) = prove.solution_passes("0.1", seeds=1, allowed=0.0)
    assert "the checks took" in trouble


def test_stubs_fail_every_check():
    assert prove.stubs_fail(EXERCISES) == []


def test_a_right_function_among_the_wrong_ones_is_reported():
    right = Wrong("0.1", "right", "any_vocabulary", math.log)
    assert prove.complaints(right, outcomes_of("0.1", right.function)) == ["0.1, right passes every check"]


def test_a_wrong_function_that_is_caught_elsewhere_or_with_other_words_is_reported():
    wrong = next(wrong for wrong in CAUSAL if wrong.name == "no scale")
    outcomes = outcomes_of("4.1", wrong.function)
    assert prove.complaints(wrong, outcomes) == []
    (elsewhere,) = prove.complaints(Wrong("4.1", "x", "gradients_flow"), outcomes)
    assert "is caught by scores_are_divided_by_root_d, not by gradients_flow" in elsewhere
    (words,) = prove.complaints(Wrong("4.1", "x", wrong.caught_by, says="banana"), outcomes)
    assert "does not say 'banana'" in words


def test_the_fault_that_fools_public_graders_is_caught():
    """An answer of zeros, or one that is 5 % too small, passes where absolute tolerances are as large as the answer."""
    with prove.solved() as work:
        transport = InThisProcess()
        file = EXERCISES["15.1"].file
        solution = transport.worker.function(str(work.folder / file), "kwise_loss")
    for wrong in (zeros(solution), lambda *arguments: solution(*arguments) * 0.95):
        assert not all(outcome.passed for outcome in outcomes_of("15.1", wrong))


def test_the_diagnosis_names_a_mask_after_the_softmax():
    def after(queries, keys, values):
        return scores_of(queries, keys).softmax(-1).masked_fill(~mask_of(queries.shape[2]), 0.0) @ values

    first = next(outcome for outcome in outcomes_of("4.1", after) if not outcome.passed)
    assert "the mask comes after the softmax" in first.report
    assert "(that gives exactly your numbers)" in first.report


def test_our_own_test_of_exercise_4_4_catches_what_students_never_see():
    with prove.solved() as work:
        transport = InThisProcess()
        subject = Subject(transport, work.folder / EXERCISES["4.4"].file, "test_attention")
        outcomes = run_checks(subject, UNSEEN, PUBLIC_SEED)
    assert len(outcomes) >= 6
    assert all(outcome.passed for outcome in outcomes), [o.check for o in outcomes if not o.passed]


def test_a_report_of_trouble_fails_the_proof(capsys):
    assert prove.report("all is well", ["x fails"])
    assert "FAIL  all is well: no, 1 times" in capsys.readouterr().out
    assert not prove.report("all is well", [])


def test_failures_lists_what_failed():
    assert prove.failures("it", [Outcome("a", ""), Outcome("b", "bad")]) == ["it fails b:\nbad"]
