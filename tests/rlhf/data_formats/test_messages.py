"""Messages become turns that alternate, and no word of them is lost."""

import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minigpt.runs.errors import UserError
from rlhf.chat_format import Turn
from rlhf.data_formats.messages import read_answer, read_messages, read_turns


def say(*words: str) -> list[dict[str, str]]:
    """Messages from "user: Hi", "assistant: Ho", ..."""
    return [dict(zip(("role", "content"), each.split(": ", 1), strict=True)) for each in words]


def turns_of(*words: str) -> list[tuple[str, str]]:
    return [(turn.role, turn.text) for turn in read_messages(say(*words), "prompt", "here")]


def test_a_text_is_what_the_user_says():
    assert read_turns("Hi", "prompt", "here") == (Turn("user", "Hi"),)
    assert read_turns(say("user: Hi"), "prompt", "here") == (Turn("user", "Hi"),)


def test_sharegpt_has_other_names_for_the_same():
    messages = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Ho"}]
    assert read_messages(messages, "conversations", "here") == (Turn("user", "Hi"), Turn("assistant", "Ho"))


def test_a_system_message_stands_before_the_users_first_words():
    expected = [("user", "Be kind.\n\nHi"), ("assistant", "Ho"), ("user", "Why?")]
    assert turns_of("system: Be kind.", "user: Hi", "assistant: Ho", "user: Why?") == expected
    assert turns_of("system: ", "user: Hi") == [("user", "Hi")], "an empty system message says nothing"


def test_messages_of_one_speaker_in_a_row_are_one_turn():
    assert turns_of("user: Hi", "user: Why?", "assistant: a", "assistant: b", "assistant: c") == [
        ("user", "Hi\n\nWhy?"),
        ("assistant", "a\n\nb\n\nc"),
    ]


@given(st.lists(st.tuples(st.sampled_from(["user", "assistant"]), st.text(max_size=5)), max_size=6))
@settings(max_examples=200, deadline=None)
def test_turns_alternate_and_join_what_itertools_groups(said):
    messages = [{"role": role, "content": text} for role, text in said]
    expected = [
        Turn(role, "\n\n".join(text for _, text in group))
        for role, group in itertools.groupby(said, key=lambda each: each[0])
    ]
    if any(turn.role == "user" for turn in expected) and expected[0].role == "assistant":
        del expected[0]  # a greeting
    assert list(read_messages(messages, "prompt", "here")) == expected


def test_what_the_assistant_says_before_the_first_question_is_left_out():
    """As FastChat does with ShareGPT's conversations; an answer alone stays."""
    assert turns_of("assistant: Hello!", "user: Hi", "assistant: Ho") == [("user", "Hi"), ("assistant", "Ho")]
    assert turns_of("system: Be kind.", "assistant: Hello!", "user: Hi") == [("user", "Be kind.\n\nHi")]
    assert turns_of("assistant: Hello!") == [("assistant", "Hello!")]


def test_a_developer_is_a_system_and_several_of_them_are_joined():
    assert turns_of("system: Be kind.", "developer: Be brief.", "user: Hi") == [("user", "Be kind.\n\nBe brief.\n\nHi")]


def test_calls_of_tools_and_their_answers_are_read():
    """The example of OpenAI's guide to fine-tuning with tools."""
    call = {"name": "get_current_weather", "arguments": '{"location": "San Francisco, USA", "format": "celsius"}'}
    messages = [
        {"role": "user", "content": "What is the weather in San Francisco?"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "call_id", "type": "function", "function": call}]},
        {"role": "tool", "tool_call_id": "call_id", "content": "21 degrees"},
        {"role": "assistant", "content": "It is 21 degrees."},
    ]
    turns = read_messages(messages, "messages", "here")
    assert [turn.role for turn in turns] == ["user", "assistant", "user", "assistant"]
    assert json.loads(turns[1].text) == call
    assert turns[2].text == "21 degrees"
    named = [{"role": "assistant", "content": "One moment.", "tool_calls": [{"name": "f", "arguments": {}}]}]
    assert read_messages(named, "messages", "here")[0].text == 'One moment.\n{"name": "f", "arguments": {}}'


def test_content_in_parts_is_joined():
    parts = [{"type": "text", "text": "What is "}, {"type": "text", "text": "this?"}]
    assert read_messages([{"role": "user", "content": parts}], "prompt", "here") == (Turn("user", "What is this?"),)


def test_one_message_is_a_list_of_one_and_a_message_has_either_names():
    assert read_answer({"role": "assistant", "content": "So."}, "chosen", "here", PROMPT) == "So."
    assert read_answer({"from": "gpt", "value": "So."}, "chosen", "here", PROMPT) == "So."
    mixed = [{"role": "user", "content": "Hi"}, {"from": "gpt", "value": "Ho"}]
    assert read_messages(mixed, "prompt", "here") == (Turn("user", "Hi"), Turn("assistant", "Ho"))


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (7, 'here: "prompt" must be a text or a list of messages, got 7.'),
        (["Hi"], "here: \"prompt\" must be a text or a list of messages, got ['Hi']."),
        ([{"content": "Hi"}], 'here, message 1: the field "role" is missing.'),
        ([{"role": "user"}], 'here, message 1: the field "content" is missing.'),
        ([*say("user: Hi"), {"role": "user", "content": None}], 'here, message 2: "content" must be a text, got None.'),
        ([{"role": 1, "content": "a"}], 'here, message 1: "role" must be a text, got 1.'),
        (
            say("narrator: 42"),
            "here, message 1: the speaker is 'narrator'; expected one of user, human, assistant, gpt, function_call, "
            "tool_call, system, developer, tool, function, tool_response, observation.",
        ),
        (
            say("user: Hi", "system: Be kind."),
            "here: a system message must stand before all others; put what it says into a user message.",
        ),
        (say("system: a"), "here: after a system message, the user must speak."),
        (say("system: a", "assistant: b"), "here: after a system message, the user must speak."),
        (
            [{"role": "user", "content": [{"type": "image_url", "image_url": "a.png"}]}],
            'here, message 1: a part of "content" is \'image_url\'; only parts of type "text" can be read.',
        ),
        (
            [{"role": "user", "content": [3]}],
            'here, message 1: a part of "content" is 3; only parts of type "text" can be read.',
        ),
        (
            [{"role": "assistant", "content": "a", "tool_calls": 3}],
            'here, message 1: "tool_calls" must be a list, got 3.',
        ),
    ],
)
def test_what_are_no_messages(value, sentence):
    with pytest.raises(UserError) as error:
        read_messages(value, "prompt", "here")
    assert str(error.value) == sentence


PROMPT = (Turn("user", "Hi"), Turn("assistant", "Ho"), Turn("user", "Why?"))


def test_an_answer_is_a_text_or_one_turn_that_may_follow_a_copy_of_the_prompt():
    said = say("user: Hi", "assistant: Ho", "user: Why?", "assistant: So.")
    assert read_answer(" So.", "chosen", "here", PROMPT) == " So.", "the blank belongs to the answer"
    assert read_answer(said[3:], "chosen", "here", PROMPT) == "So."
    assert read_answer(said, "chosen", "here", PROMPT) == "So."
    assert read_answer(say("assistant: "), "chosen", "here", PROMPT) == ""


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (None, 'here: "chosen" must be a text or a list of messages, got None.'),
        ([], 'here: after the prompt, "chosen" must be one turn of the assistant; here these speak: nobody.'),
        (
            say("user: Hi"),
            'here: after the prompt, "chosen" must be one turn of the assistant; here these speak: user.',
        ),
        (
            say("assistant: a", "user: b", "assistant: c"),
            'here: after the prompt, "chosen" must be one turn of the assistant; here these speak: user, assistant.',
        ),
        (
            say("user: another prompt", "assistant: a"),
            'here: after the prompt, "chosen" must be one turn of the assistant; here these speak: user, assistant.',
        ),
    ],
)
def test_what_is_no_answer(value, sentence):
    with pytest.raises(UserError) as error:
        read_answer(value, "chosen", "here", PROMPT)
    assert str(error.value) == sentence
