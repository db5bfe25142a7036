"""Records survive the disk, and a broken line is one sentence that names the file, the line and the field."""

import json

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from minigpt.errors import UserError
from rlhf.conversation import Turn, user_prompt
from rlhf.records import (
    Demonstration,
    Ranking,
    read_demonstrations,
    read_rankings,
    write_demonstrations,
    write_rankings,
)

TALK = (Turn("user", "Where does a cow live?"), Turn("assistant", "On a farm."), Turn("user", "And what does it eat?"))
GOOD = '{"prompt": "Hello?", "responses": ["a", "b"], "ranks": [0, 1]}'


def said(path, content: str | bytes, read=read_rankings) -> str:
    """The error that reading this content raises, without the folder of the file."""
    path = path / "mine.jsonl"
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    with pytest.raises(UserError) as error:
        read(path)
    assert "\n" not in str(error.value), "an error is one sentence on one line"
    return str(error.value).replace(str(path), "mine.jsonl")


# ---- round trips ----


def test_demonstrations_survive_the_disk(tmp_path):
    items = [
        Demonstration(user_prompt("What does a cow eat?"), "A cow eats grass."),
        Demonstration(TALK, 'Grass: "green",\nfresh. 草 🐄'),
        Demonstration(user_prompt("<|end|>"), "a\u2028b\x0bc\x0cd\x1ce\x85f\r\ng\th"),
    ]
    write_demonstrations(tmp_path / "new" / "d.jsonl", items)
    assert read_demonstrations(tmp_path / "new" / "d.jsonl") == items, "a line was cut at another character than \\n"
    raw = (tmp_path / "new" / "d.jsonl").read_bytes()
    assert raw.count(b"\n") == len(items)
    assert "草".encode() in raw, "text is readable in the file, not escaped"


def test_rankings_survive_the_disk(tmp_path):
    items = [
        Ranking(TALK, ("Grass.", "Meat.", ""), (0, 2, 1), (True, False, True), (1.0, 0.0, 0.25)),
        Ranking(user_prompt("Hello?"), ("a", "b"), (0, 0), (True, True)),
    ]
    write_rankings(tmp_path / "r.jsonl", items)
    assert read_rankings(tmp_path / "r.jsonl") == items


texts = st.text(st.characters(exclude_categories=["Cs"])).filter(lambda text: bool(text.strip()))


@given(prompt=texts, responses=st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=2, max_size=4),
       numbers=st.randoms(use_true_random=False))  # fmt: skip
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_survives_the_disk(tmp_path, prompt, responses, numbers):
    k = len(responses)
    ranks, ended = tuple(numbers.randrange(k) for _ in responses), tuple(numbers.random() < 0.5 for _ in responses)
    items = [Ranking(user_prompt(prompt), tuple(responses), ranks, ended, tuple(numbers.random() for _ in responses))]
    write_rankings(tmp_path / "r.jsonl", items)
    assert read_rankings(tmp_path / "r.jsonl") == items


def test_what_may_be_left_out_and_added(tmp_path):
    (tmp_path / "r.jsonl").write_text(f"\n{GOOD}\n   \n" + GOOD.replace("}", ', "author": "me"}'), encoding="utf-8")
    first, second = read_rankings(tmp_path / "r.jsonl")
    assert first == second
    assert first.ended == (True, True)
    assert first.gold is None


@pytest.mark.parametrize("content", [b"\xef\xbb\xbf%s\n%s", b"%s\r\n%s\r\n", b"\xef\xbb\xbf%s\r\n\r\n%s"])
def test_byte_order_mark_and_windows_line_ends(tmp_path, content):
    (tmp_path / "r.jsonl").write_bytes(content.replace(b"%s", GOOD.encode()))
    assert [ranking.responses for ranking in read_rankings(tmp_path / "r.jsonl")] == [("a", "b")] * 2


# ---- broken lines ----


def ranking(**changes) -> str:
    data = {**json.loads(GOOD), **changes}
    return json.dumps({field: value for field, value in data.items() if value != "missing"})


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "mine.jsonl has no records; expected one JSON object a line."),
        (" \n\n", "mine.jsonl has no records; expected one JSON object a line."),
        (b"caf\xe9", "mine.jsonl is not UTF-8 text (byte 3); save it as UTF-8."),
        (GOOD + "\n{", "mine.jsonl, line 2: not valid JSON "
                       "(Expecting property name enclosed in double quotes at column 2)."),
        (GOOD + "\r\n\r\nx", "mine.jsonl, line 3: not valid JSON (Expecting value at column 1)."),
        ("[1]", "mine.jsonl, line 1: expected a JSON object, got list."),
        ("[" * 100_000, "mine.jsonl, line 1: a number is too long, or lists are nested too deeply."),
        ('{"a": ' + "9" * 5000 + "}", "mine.jsonl, line 1: a number is too long, or lists are nested too deeply."),
        (ranking(prompt="\ud800"), "mine.jsonl, line 1: half of a surrogate pair is not a character; write the whole."),
        (ranking(prompt="missing"),
         'mine.jsonl, line 1: "prompt" must be a string or a list of messages, got NoneType.'),
        (ranking(prompt=7), 'mine.jsonl, line 1: "prompt" must be a string or a list of messages, got int.'),
        (ranking(prompt=["Hello?"]), 'mine.jsonl, line 1: "prompt" must be a string or a list of messages, got list.'),
        (ranking(prompt=" "), "mine.jsonl, line 1: turn 1 has no text."),
        (ranking(prompt=[]), "mine.jsonl, line 1: the prompt is empty; expected at least one user turn."),
        (ranking(prompt=[{"role": "user"}]),
         'mine.jsonl, line 1: "content" must be a text that is not empty, got None.'),
        (ranking(prompt=[{"role": 1, "content": "a"}]),
         'mine.jsonl, line 1: "role" must be a text that is not empty, got 1.'),
        (ranking(prompt=[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]),
         "mine.jsonl, line 1: the last turn is by the assistant; a prompt ends with a user turn."),
        (ranking(prompt=[{"role": "system", "content": "a"}]),
         "mine.jsonl, line 1: turn 1 is by 'system'; expected 'user', as turns alternate."),
        (ranking(prompt=[{"role": "user", "content": "a"}] * 2),
         "mine.jsonl, line 1: turn 2 is by 'user'; expected 'assistant', as turns alternate."),
        (ranking(responses="missing"),
         'mine.jsonl, line 1: "responses" must be a list with one value for each response, got None.'),
        (ranking(responses=["a", 1]),
         "mine.jsonl, line 1: \"responses\" must be a list with one value for each response, got ['a', 1]."),
        (ranking(responses=["a"], ranks=[0]), "mine.jsonl, line 1: 1 response; a ranking needs at least two."),
        (ranking(ranks=[0]), "mine.jsonl, line 1: 2 responses but 1 ranks; expected one for each."),
        (ranking(ranks=[0, 1, 2]), "mine.jsonl, line 1: 2 responses but 3 ranks; expected one for each."),
        (ranking(ranks=[0, True]),
         'mine.jsonl, line 1: "ranks" must be a list with one value for each response, got [0, True].'),
        (ranking(ranks=[0, 1.0]),
         'mine.jsonl, line 1: "ranks" must be a list with one value for each response, got [0, 1.0].'),
        (ranking(ranks=[1, 2]), "mine.jsonl, line 1: ranks [1, 2]; expected 0 for the best up to 1 for the worst."),
        (ranking(ranks=[-1, 0]), "mine.jsonl, line 1: ranks [-1, 0]; expected 0 for the best up to 1 for the worst."),
        (ranking(ended=[True]), "mine.jsonl, line 1: 2 responses but 1 ended; expected one for each."),
        (ranking(ended=[1, 0]),
         'mine.jsonl, line 1: "ended" must be a list with one value for each response, got [1, 0].'),
        (ranking(gold=[]), "mine.jsonl, line 1: 2 responses but 0 gold; expected one for each."),
        (ranking(gold=[0.5, False]),
         'mine.jsonl, line 1: "gold" must be a list with one value for each response, got [0.5, False].'),
        (ranking(gold=[0, float("nan")]),
         "mine.jsonl, line 1: gold [0, nan]; expected the gold labeler's totals, from 0 to 1."),
        (ranking(gold=[0, 1.5]), "mine.jsonl, line 1: gold [0, 1.5]; expected the gold labeler's totals, from 0 to 1."),
    ],
)  # fmt: skip
def test_a_broken_ranking_is_one_sentence(tmp_path, content, sentence):
    assert said(tmp_path, content) == sentence


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ('{"prompt": "a"}', 'mine.jsonl, line 1: "response" must be a text that is not empty, got None.'),
        ('{"prompt": "a", "response": " "}',
         "mine.jsonl, line 1: \"response\" must be a text that is not empty, got ' '."),
        ('{"prompt": "a", "response": ["b"]}',
         "mine.jsonl, line 1: \"response\" must be a text that is not empty, got ['b']."),
    ],
)  # fmt: skip
def test_a_broken_demonstration_is_one_sentence(tmp_path, content, sentence):
    assert said(tmp_path, content, read_demonstrations) == sentence


def test_a_missing_file_and_a_folder(tmp_path):
    for path in (tmp_path / "absent.jsonl", tmp_path):
        with pytest.raises(UserError, match="cannot read") as error:
            read_rankings(path)
        assert str(path) in str(error.value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
near_rankings = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("prompt", "response", "responses", "ranks", "ended", "gold"), json_values)
).map(lambda data: json.dumps(data).encode())


@pytest.mark.parametrize("read", [read_demonstrations, read_rankings])
@given(content=st.binary(max_size=80) | st.text(max_size=80).map(lambda text: text.encode("utf-8", "surrogatepass"))
       | near_rankings)  # fmt: skip
@example(content=b'{"prompt": "a", "responses": ["a", "b"], "ranks": [0, 1], "gold": [0, 1' + b"0" * 400 + b"]}")
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_records_or_a_user_error(tmp_path, read, content):
    path = tmp_path / "fuzz.jsonl"
    path.write_bytes(content)
    try:
        assert read(path)
    except UserError as error:
        assert str(path) in str(error)  # noqa: PT017  (either outcome is right)
