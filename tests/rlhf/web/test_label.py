"""Labelling through HTTP: who gets what, what is kept, and what is refused."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from rlhf.web.labels.summary import summarise
from rlhf.web.store import rankings
from rlhf.web.store.rankings import dense
from tests.rlhf.web.conftest import JOIN, label_of, new_key


@pytest.fixture
def make_class(make_app):
    return lambda **settings: make_app(
        classroom=True, join_code=JOIN, known_share=0.0, requests_per_second=1e6, **settings
    )


def next_item(person, more=True):
    return person.tell("/label/next", {"more": more}).json()["item"]


def rank_all(person, more=True):
    """Labels until nothing is left; the items that were shown."""
    seen = []
    item = next_item(person, more)
    while item:
        seen.append(item)
        answer = person.tell("/label", {**label_of(item), "more": more})
        assert answer.status_code == 200, answer.text
        item = answer.json()["item"]
    return seen


# ---- Handing out -------------------------------------------------------------------------------------------------


def test_each_prompt_goes_to_as_many_people_as_asked_and_to_nobody_twice(make_class, people_in):
    app = make_class(overlap=2)
    for person in people_in(app, "Ada", "Bob", "Cy"):
        ids = [item["id"] for item in rank_all(person)]
        assert len(ids) == len(set(ids))
    counts = app.state.store.rows("SELECT item_id, count(*) AS n FROM rankings GROUP BY item_id")
    assert [row["n"] for row in counts] == [2] * 6


def test_two_windows_of_one_person_have_the_same_prompt(make_class, people_in):
    (ada,) = people_in(make_class(), "Ada")
    assert next_item(ada) == next_item(ada)


def test_many_people_at_once_get_no_prompt_too_often(make_class, people_in):
    app = make_class(overlap=2)
    people = people_in(app, *"ABCDEFGH")
    tokens = [person.token("/me") for person in people]

    def ask(person, token):
        headers = {"X-CSRF-Token": token, "Accept": "application/json"}
        for _ in range(4):
            item = person.post("/label/next", json={"more": True}, headers=headers).json()["item"]
            if item:
                person.post("/label", json={**label_of(item), "more": True}, headers=headers)

    with ThreadPoolExecutor(len(people)) as pool:
        list(pool.map(ask, people, tokens))
    counts = app.state.store.rows("SELECT count(*) AS n FROM assignments GROUP BY item_id")
    assert max(row["n"] for row in counts) <= 2, "two people were handed an item that only one more was to get"
    assert sum(row["n"] for row in counts) == 12


def test_prompts_that_somebody_has_ranked_come_first(make_class, people_in):
    ada, bob = people_in(make_class(overlap=2, per_person=3), "Ada", "Bob")
    assert {item["id"] for item in rank_all(ada, more=False)} == {item["id"] for item in rank_all(bob, more=False)}


def test_the_order_of_the_answers_is_drawn_for_each_person(make_class, people_in):
    app = make_class(overlap=2)
    ada, bob = people_in(app, "Ada", "Bob", ordinary=12)
    shown = [{item["id"]: [a["text"] for a in item["answers"]] for item in rank_all(person)} for person in (ada, bob)]
    assert shown[0].keys() == shown[1].keys()
    assert any(shown[0][number] != shown[1][number] for number in shown[0]), "12 items of 4! orders, never different"
    # whatever the order on the page, the ranks are kept in that of the item
    assert {label.ranks for label in rankings.every(app.state.store)} == {(3, 2, 1, 0)}


def test_an_item_whose_person_has_gone_away_goes_to_another(make_class, people_in):
    app = make_class(overlap=1)
    ada, bob = people_in(app, "Ada", "Bob", ordinary=1)
    assert next_item(ada)
    assert next_item(bob) is None
    app.state.store.connection.execute("UPDATE assignments SET given = given - 3600")
    assert next_item(bob)


def test_what_was_skipped_goes_to_another(make_class, people_in):
    ada, bob = people_in(make_class(overlap=1), "Ada", "Bob", ordinary=1)
    state = ada.tell("/label", label_of(next_item(ada), outcome="skipped")).json()
    assert state["item"] is None
    assert state["ranked"] == 0
    assert next_item(bob)


def test_known_pairs_are_mixed_in_for_everybody_and_look_like_any_other(make_app, people_in):
    app = make_app(classroom=True, join_code=JOIN, known_share=0.25, requests_per_second=1e6, overlap=2)
    ada, bob = people_in(app, "Ada", "Bob", ordinary=12, known=3, answers=2)
    seen = rank_all(ada)
    assert {json.dumps(sorted(item)) for item in seen} == {'["answers", "id", "prompt"]'}, (
        "a known pair looks different"
    )
    known = [item["id"] > 12 for item in seen]
    assert sum(known) >= 2
    assert not all(known[-sum(known) :]), "they stand at the end"
    known_of_bob = [item["id"] > 12 for item in rank_all(bob)]
    assert sum(known_of_bob) >= 2, "pairs that Ada has ranked are not given to Bob"
    by_name = {person.name: person for person in summarise(app.state.store, 2).people}
    assert by_name["Ada"].known_right == by_name["Ada"].known == sum(known)
    assert by_name["Bob"].known_right == by_name["Bob"].known == sum(known_of_bob)


# ---- What is kept ------------------------------------------------------------------------------------------------


def test_a_label_that_is_sent_again_counts_once(make_class, people_in):
    app = make_class()
    (ada,) = people_in(app, "Ada")
    label = label_of(next_item(ada))
    first, again = (ada.tell("/label", label).json() for _ in range(2))
    assert first["ranked"] == again["ranked"] == 1
    assert first["item"] == again["item"]
    assert len(rankings.every(app.state.store)) == 1


def test_a_second_window_cannot_rank_the_same_prompt_again(make_class, people_in):
    app = make_class()
    (ada,) = people_in(app, "Ada")
    item = next_item(ada)
    ada.tell("/label", label_of(item))
    answer = ada.tell("/label", label_of(item, ranks=[1, 1, 1, 1]))
    assert answer.status_code == 400
    assert "already" in answer.json()["error"]
    assert [label.ranks for label in rankings.every(app.state.store)] == [(3, 2, 1, 0)]


def test_ties_all_bad_and_reasons_are_kept(make_class, people_in):
    app = make_class()
    (ada,) = people_in(app, "Ada")
    state = ada.tell("/label", label_of(next_item(ada), ranks=[2, 2, 2, 1], reason="honest")).json()
    ada.tell("/label", label_of(state["item"], outcome="all_bad"))
    tied, bad = rankings.every(app.state.store)
    assert sorted(tied.ranks) == [0, 1, 1, 1]
    assert tied.reason == "honest"
    assert tied.seconds == 1.5
    assert (bad.outcome, bad.ranks) == ("all_bad", (0, 0, 0, 0))


def test_ranks_are_counts_of_better_answers():
    assert dense([1, 3, 3, 9]) == (0, 1, 1, 3)
    assert dense([2, 2]) == (0, 0)


def test_undo_opens_the_last_prompt_again_and_once(make_class, people_in):
    app = make_class()
    (ada,) = people_in(app, "Ada")
    first = next_item(ada)
    second = ada.tell("/label", label_of(first)).json()["item"]
    ada.tell("/label", label_of(second))
    undo = {"key": new_key()}
    for _ in range(2):  # the same request twice
        state = ada.tell("/label/undo", undo).json()
        assert state["item"] == second, "undo takes back the last label only, and shows it as it was"
        assert state["ranked"] == 1
    assert ada.tell("/label", label_of(second, ranks=[1, 1, 1, 1])).json()["ranked"] == 2
    assert len(rankings.every(app.state.store)) == 2


def test_a_label_that_was_taken_back_does_not_come_back_when_it_is_sent_again(make_class, people_in):
    app = make_class()
    (ada,) = people_in(app, "Ada")
    label = label_of(next_item(ada))
    ada.tell("/label", label)
    ada.tell("/label/undo", {"key": new_key()})
    ada.tell("/label", label)
    assert rankings.every(app.state.store) == []


def test_nothing_to_undo_is_said(make_class, people_in):
    (ada,) = people_in(make_class(), "Ada")
    assert "nothing to undo" in ada.tell("/label/undo", {"key": new_key()}).json()["error"]


def test_agreement_is_shown_only_to_those_who_have_finished(make_class, people_in):
    app = make_class(per_person=3)
    ada, bob = people_in(app, "Ada", "Bob")
    rank_all(ada, more=False)
    state = bob.tell("/label/next", {}).json()
    for _ in range(3):
        assert "agreement" not in state
        state = bob.tell("/label", label_of(state["item"])).json()
    assert state["item"] is None
    assert state["agreement"] == {"agreement": 1.0, "pairs": 18, "people": 1}
    assert bob.tell("/label/next", {"more": True}).json()["item"], "who likes ranks more"


# ---- What is refused ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"ranks": [1, 2, 3]},
        {"ranks": [1, 2, 3, 4, 5]},
        {"ranks": [1, 2, 3, 10]},
        {"ranks": [1, 2, 3, 0]},
        {"ranks": [1, 2, 3, True]},
        {"ranks": [1, 2, 3, 1.5]},
        {"ranks": "1234"},
        {"item": 999},
        {"item": "1"},
        {"item": -1},
        {"item": 2**70},
        {"outcome": "best"},
        {"outcome": ["ranked"]},
        {"reason": "because"},
        {"seconds": -1},
        {"seconds": "soon"},
        {"key": ""},
        {"key": "x" * 1000},
        {"key": 7},
    ],
)
def test_a_label_that_is_none_is_refused_and_nothing_kept(make_class, people_in, change):
    app = make_class()
    (ada,) = people_in(app, "Ada")
    label = {**label_of(next_item(ada)), **change}
    answer = ada.tell("/label", label)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]
    assert rankings.every(app.state.store) == []
    assert app.state.store.rows("SELECT * FROM receipts") == [], "a corrected label under this key would be lost"


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b"[" * 5000])
def test_what_is_no_json_object_is_refused(make_class, people_in, body):
    (ada,) = people_in(make_class(), "Ada")
    headers = {"X-CSRF-Token": ada.token("/me"), "Content-Type": "application/json", "Accept": "application/json"}
    assert ada.post("/label", content=body, headers=headers).status_code == 400


def test_an_item_of_somebody_else_cannot_be_ranked(make_class, people_in):
    app = make_class(overlap=1)
    ada, bob = people_in(app, "Ada", "Bob")
    item = next_item(ada)
    assert next_item(bob)["id"] != item["id"]
    assert "not given to you" in bob.tell("/label", label_of(item)).json()["error"]
    assert rankings.every(app.state.store) == []


def test_nobody_who_ranks_sees_a_grade(make_class, people_in):
    (ada,) = people_in(make_class(), "Ada")
    text = ada.tell("/label/next", {}).text
    for word in ("gold", "score", "known"):
        assert word not in text
