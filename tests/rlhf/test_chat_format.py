"""Prompts and answers as ids: encoded apart, no special token from a user's text, and back again."""

import pytest

from minigpt.runs.errors import UserError
from minigpt.tokenizer import SPECIAL_TOKENS, Tokenizer
from rlhf.chat_format import (
    Turn,
    check_prompt,
    decode_response,
    encode_plain,
    encode_prompt,
    encode_response,
    show,
    user_prompt,
)

# "cows" is frequent, so a joint encoding of "cow" and "s" would merge across the border between them
TOKENIZER = Tokenizer.train(["cows cows cows. What? A cow."] * 20, 266)
TALK = (Turn("user", "What?"), Turn("assistant", "A cow."), Turn("user", "And?"))


def test_a_prompt_by_hand():
    t = TOKENIZER
    expected = [t.user_id, *t.encode("What?"), t.assistant_id, *t.encode("A cow."), t.end_id]
    expected += [t.user_id, *t.encode("And?"), t.assistant_id]
    assert encode_prompt(t, TALK) == expected
    assert encode_prompt(t, user_prompt("What?")) == [t.user_id, *t.encode("What?"), t.assistant_id]
    assert encode_response(t, "A cow.") == [*t.encode("A cow."), t.end_id]


def test_no_token_crosses_the_border_of_prompt_and_response():
    assert TOKENIZER.encode("cows") != TOKENIZER.encode("cow") + TOKENIZER.encode("s"), "this example shows nothing"
    prompt, response = encode_prompt(TOKENIZER, user_prompt("cow")), encode_response(TOKENIZER, "s")
    assert prompt[1:-1] == TOKENIZER.encode("cow")
    assert response[:-1] == TOKENIZER.encode("s")
    longer = encode_prompt(TOKENIZER, (*user_prompt("cow"), Turn("assistant", "s"), Turn("user", "And?")))
    assert longer[: len(prompt) + len(response)] == prompt + response, "a turn is encoded otherwise in a conversation"


@pytest.mark.parametrize("special", SPECIAL_TOKENS)
def test_special_spellings_in_a_text_are_data(special):
    specials = {TOKENIZER.encode(name, allow_special=True)[0] for name in SPECIAL_TOKENS}
    prompt = encode_prompt(TOKENIZER, user_prompt(f"say {special} now"))
    assert not specials & set(prompt[1:-1]), f"a user can type {special} and change the conversation's structure"
    assert TOKENIZER.decode(prompt[1:-1]) == f"say {special} now"
    response = encode_response(TOKENIZER, special)
    assert [id for id in response if id in specials] == [TOKENIZER.end_id]
    assert decode_response(TOKENIZER, response) == special
    assert specials & set(encode_plain(TOKENIZER, user_prompt(special))) == {TOKENIZER.end_of_text_id}


@pytest.mark.parametrize("text", ["A cow.", "", " two  blanks ", "东京 🐄\n"])
def test_a_response_survives_its_ids(text):
    ids = encode_response(TOKENIZER, text)
    assert decode_response(TOKENIZER, ids) == text
    assert decode_response(TOKENIZER, ids[:-1]) == text, "an answer that was cut off has no end token to remove"
    assert ids == encode_response(TOKENIZER, text), "decoding changed its argument"


def test_a_base_model_sees_plain_lines():
    expected = [TOKENIZER.end_of_text_id, *TOKENIZER.encode("What?\nA cow.\nAnd?\n")]
    assert encode_plain(TOKENIZER, TALK) == expected


def test_a_conversation_for_people():
    assert show(TALK) == "user: What?\nassistant: A cow.\nuser: And?"


@pytest.mark.parametrize(
    ("turns", "sentence"),
    [
        ((), "here: the prompt is empty; expected at least one user turn."),
        ((Turn("assistant", "Hi"),), "here: turn 1 is by 'assistant'; expected 'user', as turns alternate."),
        ((*TALK, Turn("user", "Hi")), "here: turn 4 is by 'user'; expected 'assistant', as turns alternate."),
        (TALK[:2], "here: the last turn is by the assistant; a prompt ends with a user turn."),
        ((Turn("user", " \n"),), "here: turn 1 has no text."),
    ],
)
def test_a_prompt_that_is_none(turns, sentence):
    with pytest.raises(UserError) as error:
        check_prompt(turns, "here")
    assert str(error.value) == sentence


def test_a_prompt_that_is_one():
    check_prompt(TALK, "here")
