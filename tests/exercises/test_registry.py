"""The register is whole, and what is wrong in one is said."""

import pytest

from minigpt.runs.errors import UserError
from tutorials.exercises.checks import CHECKS
from tutorials.exercises.plugs import ABOUT_MEASUREMENTS, PLUGS
from tutorials.exercises.registry import REGISTER, ROOT, find_exercise, load_register, score

EXERCISES = load_register()


def test_every_exercise_has_checks_with_a_sentence_a_plug_and_its_files():
    assert list(EXERCISES) == list(CHECKS) == list(PLUGS) or set(EXERCISES) == set(CHECKS) == set(PLUGS)
    for exercise in EXERCISES.values():
        assert (ROOT / exercise.file).is_file()
        assert not exercise.original or (ROOT / exercise.original).is_file()
        names = [check.__name__ for check in CHECKS[exercise.id]]
        assert len(set(names)) == len(names), "a check is known by its name"
        assert all(check.__doc__ for check in CHECKS[exercise.id])
    every = {check.__name__ for checks in CHECKS.values() for check in checks}
    assert set(ABOUT_MEASUREMENTS) <= every


def test_at_least_half_of_the_points_are_for_more_than_rebuilding():
    points = {kind: sum(e.points for e in EXERCISES.values() if e.type == kind) for kind in "ABCD"}
    assert 2 * points["A"] <= sum(points.values())
    assert all(points.values())


def test_a_person_gives_points_for_predictions_only():
    assert {e.id for e in EXERCISES.values() if e.person_points} == {e.id for e in EXERCISES.values() if e.type == "C"}


def test_points_are_all_or_none_but_for_a_test_of_ones_own():
    attention, test, entropy = EXERCISES["4.1"], EXERCISES["4.4"], EXERCISES["4.5"]
    assert score(attention, {"a": True, "b": True}) == attention.points
    assert score(attention, {"a": True, "b": False}) == 0
    assert score(attention, {}) == 0
    assert score(entropy, {"a": True}) == entropy.points - entropy.person_points
    assert score(test, {"accepts_what_is_right": True, "x": True, "y": False}) == test.points // 2
    assert score(test, {"accepts_what_is_right": False, "x": True, "y": True}) == 0, "rejecting everything is no test"


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ('type = "A"', 'type = "E"', "expected one of A, B, C, D"),
        ("minutes = 25", 'minutes = "long"', "minutes is 'long'"),
        ("minutes = 25\n", "", "minutes missing"),
        ("minutes = 25", "minuts = 25", "did you mean minutes"),
        ('needs = ["0.1"]', 'needs = ["7.7"]', "needs 7.7"),
        ('id = "4.2"', 'id = "4.1"', "two exercises have the id 4.1"),
        ("difficulty = 2", "difficulty = 9", "from 1 to 5"),
        ("person_points = 2", "person_points = 8", "person_points"),
        ("[[exercise]]", "[[exercise", "no register"),
    ],
)
def test_a_mistake_in_the_register_is_one_sentence(tmp_path, before, after, expected):
    text = REGISTER.read_text(encoding="utf-8")
    assert before in text
    path = tmp_path / "exercises.toml"
    path.write_text(text.replace(before, after, 1), encoding="utf-8")
    with pytest.raises(UserError, match=expected) as error:
        load_register(path)
    assert "\n" not in str(error.value).replace(") ", "")


def test_a_missing_register_and_an_unknown_exercise_are_one_sentence(tmp_path):
    with pytest.raises(UserError, match="is missing"):
        load_register(tmp_path / "none.toml")
    with pytest.raises(UserError, match=r"no exercise '15\.11' \(did you mean 15\.1\?\)"):
        find_exercise(EXERCISES, "15.11")
