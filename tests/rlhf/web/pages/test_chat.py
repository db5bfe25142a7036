"""The chat over HTTP: what is streamed, and what is refused with a sentence."""

import json

import pytest

from tests.rlhf.web.pages.conftest import events_of


def asked(text="The cat?", **fields):
    return {"stage": "ppo", "turns": [{"role": "user", "text": text}], "max_new_tokens": 8, "seed": 3, **fields}


def test_the_page_offers_the_trained_stages(person):
    page = person.get("/chat").text
    assert [name for name in ("base", "sft", "ppo", "dpo") if f'value="{name}"' in page] == ["base", "sft", "ppo"]


def test_an_answer_is_streamed_token_by_token_with_probabilities_and_a_score(person):
    events = events_of(person.tell("/chat/answer", asked(temperature=0.7)))
    assert events[0] == {"column": 0, "kind": "begun", "forgotten": 0}
    assert events[-1] == {"column": 0, "kind": "done"}
    pieces = [event for event in events if event["kind"] == "piece"]
    answer = events[-2]
    assert "".join(piece["text"] for piece in pieces).strip() == answer["text"]
    assert isinstance(answer["score"], float)
    for token in (token for piece in pieces for token in piece["tokens"]):
        shares = [choice["probability"] for choice in token["alternatives"]]
        assert len(shares) == 5
        assert shares == sorted(shares, reverse=True)
        assert 0 < token["chosen"]["sampled"] <= 1


def test_the_same_seed_gives_the_same_answer_and_another_one_another(person):
    def answer(seed):
        return events_of(person.tell("/chat/answer", asked(seed=seed, max_new_tokens=20)))[-2]["text"]

    assert answer(3) == answer(3)
    assert answer(3) != answer(4)


def test_the_turns_before_are_part_of_the_question(person):
    def answer(turns):
        return events_of(person.tell("/chat/answer", asked(temperature=0, turns=turns)))[-2]["text"]

    last = {"role": "user", "text": "What?"}
    before = [{"role": "user", "text": "The cat?"}, {"role": "assistant", "text": "Wool is white."}]
    assert answer([last]) != answer([*before, last])


def test_a_question_that_does_not_fit_fails_with_a_sentence(person):
    events = events_of(person.tell("/chat/answer", asked("W" * 200)))
    assert events[-1]["kind"] == "failed"
    assert "shorten it" in events[-1]["sentence"]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"stage": "pop"}, "did you mean ppo"),
        ({"stage": "../tiny/ppo"}, "there is no stage"),
        ({"stage": ["ppo"]}, "there is no stage"),
        ({"stage": None}, "there is no stage"),
        ({"turns": "The cat?"}, "a conversation is a list"),
        ({"turns": [{"role": 1}]}, "a turn is"),
        ({"turns": [{"role": "user"}]}, "your message is empty"),
        ({"turns": []}, "empty"),
        ({"turns": [{"role": "assistant", "text": "x"}]}, "by 'assistant'"),
        ({"turns": [{"role": "system", "text": "x"}]}, "by 'system'"),
        ({"turns": [{"role": "user", "text": "x" * 5000}]}, "5000 characters"),
        ({"turns": [{"role": "user", "text": "x"}] * 99}, "at most 60"),
        ({"temperature": -0.1}, "temperature: expected a number"),
        ({"temperature": "1"}, "temperature: expected a number"),
        ({"temperature": True}, "temperature: expected a number"),
        ({"top_p": 0}, "top_p: expected"),
        ({"top_k": 1.5}, "top_k: expected a whole number"),
        ({"max_new_tokens": 100_000}, "max_new_tokens: expected"),
        ({"seed": 2**70}, "seed: expected"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_sentence(person, fields, sentence):
    response = person.tell("/chat/answer", asked(**fields))
    assert response.status_code == 400
    assert sentence in response.json()["error"]


@pytest.mark.parametrize("body", ["", "[]", "null", "{", '{"temperature": NaN}', "\ud800", "[" * 20000])
def test_a_body_that_is_no_object_is_refused(person, body):
    headers = {"X-CSRF-Token": person.token("/me"), "Accept": "application/json", "Content-Type": "application/json"}
    response = person.post("/chat/answer", content=body.encode("utf-8", "surrogatepass"), headers=headers)
    assert response.status_code == 400, response.text
    assert response.json()["error"]


def test_numbers_that_are_not_finite_are_refused(person):
    headers = {"X-CSRF-Token": person.token("/me"), "Accept": "application/json", "Content-Type": "application/json"}
    for number in (float("nan"), float("inf")):
        response = person.post("/chat/answer", content=json.dumps(asked(temperature=number)), headers=headers)
        assert "temperature: expected a number" in response.json()["error"]


def test_half_of_a_surrogate_pair_is_refused(person):
    headers = {"X-CSRF-Token": person.token("/me"), "Accept": "application/json", "Content-Type": "application/json"}
    body = json.dumps(asked("a\ud800b"))  # as JSON allows it
    response = person.post("/chat/answer", content=body, headers=headers)
    assert "a character that does not exist" in response.json()["error"]


def test_an_empty_answer_does_not_end_the_conversation(person):
    turns = [{"role": "user", "text": "A?"}, {"role": "assistant", "text": ""}, {"role": "user", "text": "B?"}]
    assert events_of(person.tell("/chat/answer", asked(turns=turns)))[-1]["kind"] == "done"
