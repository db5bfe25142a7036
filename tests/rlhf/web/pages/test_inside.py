"""Look inside over HTTP."""

import pytest

from tests.rlhf.web.pages.conftest import events_of


def asked(**fields):
    return {"stage": "ppo", "text": "What does the cat do?", **fields}


def test_the_result_comes_as_an_event(person):
    events = events_of(person.tell("/inside/look", asked(silent=[[0, 1]], each=True)))
    assert [event["kind"] for event in events] == ["result", "done"]
    value = events[0]["value"]
    assert {"tokens", "whole", "without", "attention", "each"} <= set(value)
    assert value["silent"] == [[0, 1]]


def test_a_text_that_is_too_long_for_the_model_fails_with_a_sentence(person):
    events = events_of(person.tell("/inside/look", asked(text="W" * 500)))
    assert events[-1]["kind"] == "failed"
    assert "shorten it" in events[-1]["sentence"]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"stage": "../x"}, "there is no stage"),
        ({"text": ""}, "the text is empty"),
        ({"text": "x" * 3000}, "2000 is the most"),
        ({"begun": 7}, "the answer is empty"),
        ({"silent": "all"}, "a list"),
        ({"silent": [[0]]}, "a head is"),
        ({"silent": [[0, True]]}, "a head is"),
        ({"silent": [[0, 0]] * 65}, "at most 64"),
    ],
)
def test_what_makes_no_sense_is_refused(person, fields, sentence):
    response = person.tell("/inside/look", asked(**fields))
    assert (response.status_code, sentence in response.json()["error"]) == (400, True), response.text


def test_the_page_begins_with_the_sentence_of_chapter_04(person):
    assert "The monkey ate the banana" in person.get("/inside").text
