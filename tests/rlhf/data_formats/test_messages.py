"""Messages become turns that alternate, and no word of them is lost."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minigpt.runs.errors import UserError
from rlhf.chat_format import Turn
from rlhf.data_formats.messages import SHAREGPT, read_answer, read_messages, read_turns


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
    assert read_messages(messages, "conversations", "here", SHAREGPT) == (Turn("user", "Hi"), Turn("assistant", "Ho"))


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
    assert list(read_messages(messages, "prompt", "here")) == expected


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
            say("tool: 42"),
            "here, message 1: the speaker is 'tool'; expected one of user, human, assistant, gpt, system.",
        ),
        (
            say("user: Hi", "system: Be kind."),
            "here: a system message must be the first message, and the only one of its kind.",
        ),
        (
            say("system: a", "system: b", "user: Hi"),
            "here: a system message must be the first message, and the only one of its kind.",
        ),
        (say("system: a"), "here: after a system message, the user must speak first."),
        (say("system: a", "assistant: b"), "here: after a system message, the user must speak first."),
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
            'here: after the prompt, "chosen" must be one turn of the '
            "assistant; here these speak: assistant, user, assistant.",
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
