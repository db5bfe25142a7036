"""The comparison: columns side by side, and the blind rounds, whose writers must not leak."""

import random
from collections import Counter

import pytest

from rlhf.evaluation.win_rate import win_rate
from rlhf.web.blind import MOST_ROUNDS, Rounds, rates
from rlhf.web.store.verdicts import Count, counts
from tests.rlhf.web.conftest import TEACHER
from tests.rlhf.web.pages.conftest import events_of

STAGES = ["base", "sft", "ppo"]


def asked(**fields):
    return {"stages": STAGES, "prompt": "The cat?", "max_new_tokens": 8, "seed": 5, **fields}


def blind_round(person, **fields):
    """The number of a round, and its two answers."""
    events = events_of(person.tell("/compare/blind", asked(**fields)))
    answers = {event["column"]: event for event in events if event["kind"] == "answer"}
    return events[0]["round"], [answers[0], answers[1]]


def alone(person, stage):
    events = events_of(person.tell("/compare/answers", asked(stages=[stage], max_new_tokens=20)))
    return next(event["text"] for event in events if event["kind"] == "answer")


def test_every_stage_answers_in_its_column_as_it_does_alone(person):
    events = events_of(person.tell("/compare/answers", asked(max_new_tokens=20)))
    found = {event["column"]: event["text"] for event in events if event["kind"] == "answer"}
    assert found == {number: alone(person, stage) for number, stage in enumerate(STAGES)}
    assert len(set(found.values())) == 3


def test_several_samples_of_each(person):
    events = events_of(person.tell("/compare/answers", asked(samples=3)))
    answers = {(event["column"], event["sample"]) for event in events if event["kind"] == "answer"}
    assert answers == {(column, sample) for column in range(3) for sample in range(3)}


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"stages": []}, "choose 1 to 6"),
        ({"stages": ["ppo"] * 7}, "choose 1 to 6"),
        ({"stages": "ppo"}, "choose 1 to 6"),
        ({"stages": ["ppo", "/etc"]}, "there is no stage"),
        ({"samples": 9}, "samples: expected"),
        ({"prompt": " "}, "the prompt is empty"),
        ({"prompt": 7}, "the prompt is empty"),
        ({"prompt": "x" * 4001}, "4001 characters"),
    ],
)
def test_what_makes_no_sense_is_refused(person, fields, sentence):
    response = person.tell("/compare/answers", asked(**fields))
    assert (response.status_code, sentence in response.json()["error"]) == (400, True), response.text


def test_a_suggested_prompt_is_one_of_the_toy_world(person):
    assert person.get("/compare/prompt").json()["prompt"].strip()


# ---- Blind -------------------------------------------------------------------------------------------------------


def test_a_blind_round_shows_two_texts_and_nothing_that_names_their_writers(person):
    response = person.tell("/compare/blind", asked())
    events = events_of(response)
    assert {key for event in events for key in event} <= {
        "round", "column", "kind", "sample", "text", "ended", "score", "before"
    }  # fmt: skip
    assert [event["score"] for event in events if event["kind"] == "answer"] == [None, None]
    for stage in STAGES:
        assert f'"{stage}"' not in response.text


def test_a_failure_in_a_blind_round_does_not_name_the_stage(with_models, browser):
    app = with_models()
    (app.state.config.run_dir / "ppo" / "checkpoint.pt").write_bytes(b"nothing")
    events = events_of(browser(app).tell("/compare/blind", asked(stages=["sft", "ppo"])))
    failed = [event for event in events if event["kind"] == "failed"]
    assert len(failed) == 1
    assert "ppo" not in failed[0]["sentence"]


def test_every_pair_of_the_stages_is_drawn_in_either_order_equally_often():
    rounds, seen = Rounds(random.Random(0)), Counter()
    for _ in range(3000):
        seen[rounds.begin(1, "The cat?", STAGES).stages] += 1
    assert set(seen) == {(a, b) for a in STAGES for b in STAGES if a != b}
    assert all(400 < count < 600 for count in seen.values()), seen  # 500 expected, standard deviation 20


def test_the_answers_are_shown_in_the_order_that_was_drawn(with_models, browser):
    app = with_models()
    person = browser(app)
    texts = {stage: alone(person, stage) for stage in STAGES}
    for _ in range(3):
        number, answers = blind_round(person, max_new_tokens=20)
        drawn = app.state.rounds._of[number].stages
        assert [answer["text"] for answer in answers] == [texts[stage] for stage in drawn]


def test_a_verdict_counts_for_the_right_stage_and_once(with_models, browser):
    app = with_models()
    person = browser(app)
    texts = {alone(person, stage): stage for stage in STAGES}
    for _ in range(4):
        number, answers = blind_round(person, max_new_tokens=20)
        first, second = (texts[answer["text"]] for answer in answers)
        before = {(count.stage_a, count.stage_b): count for count in counts(app.state.store)}
        for winner in ("second", "second", "first"):  # sent again, and then changed: the first one counts
            person.tell("/compare/verdict", {"round": number, "winner": winner})
        after = {(count.stage_a, count.stage_b): count for count in counts(app.state.store)}
        pair = tuple(sorted((first, second)))
        old = before.get(pair, Count(*pair, 0, 0, 0))
        won = second == pair[0]
        assert after[pair] == Count(*pair, old.wins + won, old.losses + (not won), old.ties)
    shown = person.get("/compare/results").json()
    assert [one["verdict"] for one in shown["rounds"]] == ["second"] * 4
    assert sum(pair["wins"] + pair["losses"] for pair in shown["own"]) == 4


@pytest.mark.parametrize(("number", "winner"), [("x", "first"), (None, "first"), (7, "tie"), (True, "first")])
def test_an_unknown_round_is_refused(person, number, winner):
    response = person.tell("/compare/verdict", {"round": number, "winner": winner})
    assert (response.status_code, "not known any more" in response.json()["error"]) == (400, True)


def test_an_unknown_verdict_is_refused(person):
    number, _ = blind_round(person)
    assert "a verdict is one of" in person.tell("/compare/verdict", {"round": number, "winner": "a"}).json()["error"]


def test_nobody_decides_the_round_of_somebody_else(with_models, browser):
    app = with_models(classroom=True, join_code="JOINME", teacher_code=TEACHER)
    ada, ben = browser(app), browser(app)
    ada.join("Ada")
    ben.join("Ben")
    number, _ = blind_round(ada)
    assert ben.tell("/compare/verdict", {"round": number, "winner": "first"}).status_code == 400
    assert ada.tell("/compare/verdict", {"round": number, "winner": "first"}).json() == {"decided": 1}
    assert ben.get("/compare/results").json()["rounds"] == []
    assert len(ben.get("/compare/results").json()["all"]) == 1


def test_a_blind_round_needs_two_different_stages(person):
    for stages in (["ppo"], ["ppo", "ppo"], "ppo", [1, 2]):
        response = person.tell("/compare/blind", asked(stages=stages))
        assert "choose two stages" in response.json()["error"]


def test_the_rates_are_those_of_the_evaluation():
    found = rates([Count("ppo", "sft", 7, 2, 3)])
    expected = win_rate([1] * 7 + [0] * 2 + [5] * 3, [0] * 7 + [1] * 2 + [5] * 3).as_dict()
    assert found[0]["first"] == "ppo"
    assert (found[0]["wins"], found[0]["losses"], found[0]["ties"]) == (7, 2, 3)
    assert found[0]["rate"] == pytest.approx(7 / 9)
    assert (found[0]["low"], found[0]["high"]) == pytest.approx((expected["low"], expected["high"]), abs=0.12)


def test_the_rounds_of_a_person_who_is_deleted_are_forgotten(with_models, browser):
    app = with_models(classroom=True, join_code="JOINME", teacher_code=TEACHER)
    ada, ben, teacher = browser(app), browser(app), browser(app)
    ada.join("Ada")
    ben.join("Ben")
    teacher.join("Ms T", TEACHER)
    for person in (ada, ben):
        blind_round(person)
    ada.submit("/me/delete", page="/me")
    numbers = {one.person_id for one in app.state.rounds._of.values()}
    assert len(numbers) == 1
    teacher.submit("/teacher/delete", page="/teacher", person=numbers.pop())
    assert app.state.rounds._of == {}


def test_old_rounds_are_forgotten_before_the_memory_fills():
    rounds = Rounds(random.Random(0))
    for number in range(MOST_ROUNDS + 10):
        rounds.begin(1, str(number), ["a", "b"])
    assert len(rounds._of) == MOST_ROUNDS
    assert next(iter(rounds._of.values())).prompt == "10"
