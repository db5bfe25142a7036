"""Our own files: records survive the disk, and a broken one is one sentence that names file, line and field."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minigpt.runs.errors import UserError
from rlhf.bad_records import BadRecords
from rlhf.chat_format import Turn, user_prompt
from rlhf.data_formats.formats import read_demonstrations, read_rankings
from rlhf.records import Demonstration, Ranking, pairs, write_demonstrations, write_rankings

TALK = (Turn("user", "Where does a cow live?"), Turn("assistant", "On a farm."), Turn("user", "And what does it eat?"))
GOOD = '{"prompt": "Hello?", "responses": ["a", "b"], "ranks": [0, 1]}'


def said(path, content: str | bytes, read=read_rankings) -> str:
    """The error that reading this content raises, without the folder of the file."""
    path = path / "mine.jsonl"
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    with pytest.raises(UserError) as error:
        read(path, BadRecords())
    assert "\n" not in str(error.value), "an error is one sentence on one line"
    return str(error.value).replace(str(path), "mine.jsonl")


# ---- round trips ----


def test_demonstrations_survive_the_disk(tmp_path):
    items = [
        Demonstration(user_prompt("What does a cow eat?"), "A cow eats grass."),
        Demonstration(TALK, 'Grass: "green",\nfresh. 草 🐄'),
        Demonstration(user_prompt("<|end|>"), "a\u2028b\x0bc\x0cd\x1ce\x85f\r\ng\th"),
    ]
    path = tmp_path / "new" / "d.jsonl"
    write_demonstrations(path, items)
    found = read_demonstrations(path, BadRecords())
    assert found == items, "a line was cut at another character than \\n"
    assert [item.source for item in found] == [f"{path}, line {number}" for number in (1, 2, 3)]
    raw = path.read_bytes()
    assert raw.count(b"\n") == len(items)
    assert "草".encode() in raw, "text is readable in the file, not escaped"


def test_rankings_survive_the_disk(tmp_path):
    items = [
        Ranking(TALK, ("Grass.", "Meat.", ""), (0, 2, 1), (True, False, True), (1.0, 0.0, 0.25)),
        Ranking(user_prompt("Hello?"), ("a", "b"), (0, 0), (True, True)),
        Ranking(user_prompt("Hello?"), ("a<|user|>", "b"), (0, 1), (True, True), sampled=True),
    ]
    write_rankings(tmp_path / "r.jsonl", items)
    assert read_rankings(tmp_path / "r.jsonl", BadRecords()) == items


texts = st.text(st.characters(exclude_categories=["Cs"])).filter(lambda text: bool(text.strip()))


@given(
    prompt=texts,
    responses=st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=2, max_size=4),
    numbers=st.randoms(use_true_random=False),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_survives_the_disk(tmp_path, prompt, responses, numbers):
    k = len(responses)
    ranks, ended = tuple(numbers.randrange(k) for _ in responses), tuple(numbers.random() < 0.5 for _ in responses)
    items = [Ranking(user_prompt(prompt), tuple(responses), ranks, ended, tuple(numbers.random() for _ in responses))]
    write_rankings(tmp_path / "r.jsonl", items)
    assert read_rankings(tmp_path / "r.jsonl", BadRecords()) == items


def test_what_may_be_left_out_and_added(tmp_path):
    (tmp_path / "r.jsonl").write_text(f"\n{GOOD}\n   \n" + GOOD.replace("}", ', "author": "me"}'), encoding="utf-8")
    first, second = read_rankings(tmp_path / "r.jsonl", BadRecords())
    assert first == second
    assert first.ended == (True, True)
    assert first.gold is None


@pytest.mark.parametrize("content", [b"\xef\xbb\xbf%s\n%s", b"%s\r\n%s\r\n", b"\xef\xbb\xbf%s\r\n\r\n%s"])
def test_byte_order_mark_and_windows_line_ends(tmp_path, content):
    (tmp_path / "r.jsonl").write_bytes(content.replace(b"%s", GOOD.encode()))
    assert [ranking.responses for ranking in read_rankings(tmp_path / "r.jsonl", BadRecords())] == [("a", "b")] * 2


# ---- pairs ----


def test_pairs_are_those_of_a_double_loop_over_different_ranks_and_texts():
    ranking = Ranking(TALK, ("a", "b", "c", "a", "d"), (1, 0, 1, 3, 4), (True,) * 5)
    expected = set()
    for better in range(5):
        for worse in range(5):
            if ranking.ranks[better] < ranking.ranks[worse]:
                expected.add((better, worse))
    assert (0, 3) in expected
    expected.remove((0, 3))  # "a" and "a"
    assert sorted(pairs(ranking)) == sorted(expected), "a tie became a pair, or better and worse are exchanged"
    assert not list(pairs(Ranking(TALK, ("a", "b"), (0, 0), (True, True)))), "a tie is no pair"


# ---- broken lines ----


def ranking(**changes) -> str:
    data = {**json.loads(GOOD), **changes}
    return json.dumps({field: value for field, value in data.items() if value != "missing"})


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "mine.jsonl has no records; expected one JSON object a line."),
        (" \n\n", "mine.jsonl has no records; expected one JSON object a line."),
        ((GOOD + "\n") * 2 + "caf\xe9", "mine.jsonl, line 3: not valid JSON (Expecting value at column 1)."),
        (
            (GOOD + "\n").encode() * 2 + b"caf\xe9",
            "mine.jsonl, line 3: not UTF-8 text (byte 4 of the line is 0xe9); save the file as UTF-8.",
        ),
        (
            (GOOD + "\n") * 16 + "{",
            "mine.jsonl, line 17: not valid JSON (Expecting property name enclosed in double quotes at column 2).",
        ),
        (GOOD + "\r\n\r\nx", "mine.jsonl, line 3: not valid JSON (Expecting value at column 1)."),
        (ranking(prompt="missing"), 'mine.jsonl, line 1: the field "prompt" is missing.'),
        (ranking(prompt=7), 'mine.jsonl, line 1: "prompt" must be a text or a list of messages, got 7.'),
        (
            ranking(prompt=["Hello?"]),
            "mine.jsonl, line 1: \"prompt\" must be a text or a list of messages, got ['Hello?'].",
        ),
        (ranking(prompt=" "), "mine.jsonl, line 1: turn 1 has no text."),
        (ranking(prompt=[]), "mine.jsonl, line 1: the prompt is empty; expected at least one user turn."),
        (
            ranking(prompt=[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]),
            "mine.jsonl, line 1: the last turn is by the assistant; a prompt ends with a user turn.",
        ),
        (ranking(responses="missing"), "mine.jsonl, line 1: the fields ['prompt', 'ranks'] are those of no format "),
        (
            ranking(responses=None),
            'mine.jsonl, line 1: "responses" must be a list of texts, one for each response, got None.',
        ),
        (
            ranking(responses=["a", 1]),
            "mine.jsonl, line 1: \"responses\" must be a list of texts, one for each response, got ['a', 1].",
        ),
        (ranking(responses=[], ranks=[]), "mine.jsonl, line 1: 0 response; a ranking needs at least two."),
        (ranking(responses=["a"], ranks=[0]), "mine.jsonl, line 1: 1 response; a ranking needs at least two."),
        (ranking(ranks="missing"), 'mine.jsonl, line 1: expected either "ranks" or "scores" beside "responses".'),
        (ranking(scores=[1, 2]), 'mine.jsonl, line 1: expected either "ranks" or "scores" beside "responses".'),
        (ranking(ranks=[0]), "mine.jsonl, line 1: 2 responses but 1 ranks; expected one for each."),
        (ranking(ranks=[0, 1, 2]), "mine.jsonl, line 1: 2 responses but 3 ranks; expected one for each."),
        (
            ranking(ranks=[0, True]),
            'mine.jsonl, line 1: "ranks" must be a list of whole numbers, one for each response, got [0, True].',
        ),
        (
            ranking(ranks=[0, 1.0]),
            'mine.jsonl, line 1: "ranks" must be a list of whole numbers, one for each response, got [0, 1.0].',
        ),
        (ranking(ranks=[1, 2]), "mine.jsonl, line 1: ranks [1, 2]; expected 0 for the best up to 1."),
        (ranking(ranks=[-1, 0]), "mine.jsonl, line 1: ranks [-1, 0]; expected 0 for the best up to 1."),
        (ranking(ranks="missing", scores=[0]), "mine.jsonl, line 1: 2 responses but 1 scores; expected one for each."),
        (
            ranking(ranks="missing", scores=["7", "8"]),
            "mine.jsonl, line 1: \"scores\" must be a list of numbers, one for each response, got ['7', '8'].",
        ),
        (
            ranking(ranks="missing", scores=[0, float("nan")]),
            "mine.jsonl, line 1: scores [0, nan]; expected finite numbers.",
        ),
        (ranking(ended=[True]), "mine.jsonl, line 1: 2 responses but 1 ended; expected one for each."),
        (
            ranking(ended=[1, 0]),
            'mine.jsonl, line 1: "ended" must be a list of true and false, one for each response, got [1, 0].',
        ),
        (ranking(gold=[]), "mine.jsonl, line 1: 2 responses but 0 gold; expected one for each."),
        (
            ranking(gold=[0.5, False]),
            'mine.jsonl, line 1: "gold" must be a list of numbers, one for each response, got [0.5, False].',
        ),
        (
            ranking(gold=[0, float("nan")]),
            "mine.jsonl, line 1: gold [0, nan]; expected the gold labeler's totals, from 0 to 1.",
        ),
        (
            ranking(sampled="yes"),
            "mine.jsonl, line 1: sampled 'yes'; expected true if a model wrote the responses, else false.",
        ),
        (ranking(gold=[0, 1.5]), "mine.jsonl, line 1: gold [0, 1.5]; expected the gold labeler's totals, from 0 to 1."),
    ],
)
def test_a_broken_ranking_is_one_sentence(tmp_path, content, sentence):
    assert said(tmp_path, content).startswith(sentence)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ('{"prompt": "a", "response": "b"}\n{"prompt": "a"}', 'mine.jsonl, line 2: the field "response" is missing.'),
        (
            '{"prompt": "a", "response": " "}',
            "mine.jsonl, line 1: the answer is empty; a demonstration must say something.",
        ),
        ('{"prompt": "a", "response": ["b"]}', "mine.jsonl, line 1: \"response\" must be a text, got ['b']."),
        ('{"response": "b"}', 'mine.jsonl, line 1: the field "prompt" is missing.'),
    ],
)
def test_a_broken_demonstration_is_one_sentence(tmp_path, content, sentence):
    assert said(tmp_path, content, read_demonstrations) == sentence
