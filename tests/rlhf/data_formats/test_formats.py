"""The record is the same in every format; a file holds one format; and any bytes are records or a UserError.

The writers below say each format as its own project documents it, so that reading is not checked against itself.
"""

import copy
import gzip
import json
import math

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from minigpt.runs.errors import UserError
from rlhf.bad_records import BadRecords
from rlhf.chat_format import Turn, check_prompt, user_prompt
from rlhf.data_formats.formats import read_demonstrations, read_rankings
from rlhf.records import Demonstration, Ranking

TALK = (Turn("user", "Where does a cow live?"), Turn("assistant", "On a farm."), Turn("user", "And what does it eat?"))
SHORT = user_prompt("What does a cow eat?")


def read(folder, records: list, reader=read_rankings, skip: BadRecords | None = None):
    """The records that the reader makes of a file with these lines: objects as JSON, bytes as they are."""
    lines = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in records]
    (folder / "mine.jsonl").write_bytes(b"\n".join(lines))
    return reader(folder / "mine.jsonl", skip or BadRecords())


def refused(folder, records: list, reader=read_rankings) -> str:
    with pytest.raises(UserError) as error:
        read(folder, records, reader)
    assert "\n" not in str(error.value), "an error is one sentence on one line"
    return str(error.value).replace(str(folder / "mine.jsonl"), "mine.jsonl")


# ---- Writers -----------------------------------------------------------------------------------------------------


def chat(turns, answer=None, names=("user", "assistant"), keys=("role", "content")):
    spoken = [*turns, *([] if answer is None else [Turn("assistant", answer)])]
    return [{keys[0]: names[turn.role == "assistant"], keys[1]: turn.text} for turn in spoken]


def hh_text(turns, answer):
    return "".join(
        f"\n\n{'Assistant' if turn.role == 'assistant' else 'Human'}: {turn.text}"
        for turn in (*turns, Turn("assistant", answer))
    )


def one_text(turns):
    """For formats that have no turns."""
    return "\n".join(turn.text for turn in turns)


PAIR_WRITERS = {
    "ours, ranks": lambda t, c, r: {"prompt": chat(t), "responses": [r, c], "ranks": [1, 0]},
    "ours, scores": lambda t, c, r: {"prompt": chat(t), "responses": [r, c], "scores": [-1.5, 3]},
    "TRL, explicit, messages": lambda t, c, r: {
        "prompt": chat(t),
        "chosen": chat((), c),
        "rejected": chat((), r),
        "margin": 1.0,
    },
    "TRL, implicit, messages": lambda t, c, r: {"chosen": chat(t, c), "rejected": chat(t, r)},
    "TRL, prompt repeated": lambda t, c, r: {
        "prompt": chat(t),
        "chosen": chat(t, c),
        "rejected": chat(t, r),
        "messages": chat(t, c),
    },
    "HH-RLHF": lambda t, c, r: {"chosen": hh_text(t, c), "rejected": hh_text(t, r)},
}
ANSWER_WRITERS = {
    "ours": lambda t, a: {"prompt": chat(t), "response": a},
    "TRL, messages": lambda t, a: {"prompt": chat(t), "completion": chat((), a)},
    "ChatML": lambda t, a: {"messages": chat(t, a)},
    "ShareGPT": lambda t, a: {"conversations": chat(t, a, ("human", "gpt"), ("from", "value"))},
}

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
spoken = words.filter(lambda text: bool(text.strip()))
talks = (
    st.integers(0, 2)
    .flatmap(lambda n: st.lists(spoken, min_size=2 * n + 1, max_size=2 * n + 1))
    .map(lambda texts: tuple(Turn(("user", "assistant")[index % 2], text) for index, text in enumerate(texts)))
)
many = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def as_pair(turns, chosen, rejected) -> Ranking:
    return Ranking(turns, (chosen, rejected), (0, 1), (True, True))


def in_order(ranking: Ranking) -> Ranking:
    """The same with the better answer first: ours may have it anywhere."""
    best = ranking.ranks.index(min(ranking.ranks))
    responses = (ranking.responses[best], ranking.responses[1 - best])
    return Ranking(ranking.turns, responses, tuple(sorted(ranking.ranks)), ranking.ended)


@pytest.mark.parametrize("name", list(PAIR_WRITERS))
@given(turns=talks, chosen=words, rejected=words)
@many
def test_a_pair_is_the_same_record_in_every_format(tmp_path, name, turns, chosen, rejected):
    if chosen == rejected:
        return
    (found,) = read(tmp_path, [PAIR_WRITERS[name](turns, chosen, rejected)])
    assert in_order(found) == as_pair(turns, chosen, rejected)


@pytest.mark.parametrize("name", list(ANSWER_WRITERS))
@given(turns=talks, answer=spoken)
@many
def test_a_demonstration_is_the_same_record_in_every_format(tmp_path, name, turns, answer):
    found = read(tmp_path, [ANSWER_WRITERS[name](turns, answer)], read_demonstrations)
    assert found == [Demonstration(turns, answer)]


# ---- One format at a time ----------------------------------------------------------------------------------------


def test_texts_of_trl_keep_their_blanks(tmp_path):
    data = {"prompt": "The sky is", "chosen": " blue.", "rejected": " green."}
    expected = as_pair(user_prompt("The sky is"), " blue.", " green.")
    assert read(tmp_path, [data]) == [expected]
    completion = {"prompt": "The sky is", "completion": " blue."}
    assert read(tmp_path, [completion], read_demonstrations) == [Demonstration(expected.turns, " blue.")]


@pytest.mark.parametrize(
    ("chosen", "rejected", "prompt"),
    [
        ("The sky is blue.", "The sky is green.", "The sky is"),  # the example in TRL's documentation
        ("The sky is blue.", "The sky is black.", "The sky is"),  # TRL itself cuts within the word: "The sky is bl"
        ("The sky is", "The sky is blue.", "The sky"),
        ("The sky is ", "The sky is blue.", "The sky is"),
        ("Why?\n\nSo.", "Why?\n\nNo.", "Why?"),
        ("a " * 200_000 + "b", "a " * 200_000 + "c", ("a " * 200_000).rstrip()),
        (" a" + " " * 200_000 + "b", " a" + " " * 200_000 + "c", " a"),
    ],
    ids=["trl", "word", "prefix", "blank", "lines", "many words", "many blanks"],
)
def test_two_texts_without_a_prompt_are_split_where_no_word_is_torn(tmp_path, chosen, rejected, prompt):
    (found,) = read(tmp_path, [{"chosen": chosen, "rejected": rejected}])
    assert found.turns == user_prompt(prompt)
    assert [prompt + answer for answer in found.responses] == [chosen, rejected], "a character is lost"


def test_equal_answers_are_a_tie(tmp_path):
    for write in PAIR_WRITERS.values():
        if "chosen" in write(SHORT, "a", "a"):
            (found,) = read(tmp_path, [write(SHORT, "Grass.", "Grass.")])
            assert found.ranks == (0, 0), "nobody can prefer one of two equal texts"
            assert found.turns == SHORT


def test_scores_become_ranks_and_equal_scores_ties(tmp_path):
    data = {"prompt": "a", "responses": list("abcde"), "scores": [3.5, 5, -1, 3.5, 4]}
    (found,) = read(tmp_path, [data])
    assert found.ranks == (2, 0, 4, 2, 1), "higher is better"
    big = {"prompt": "a", "responses": list("abc"), "scores": [10**400, 1e308, -(10**400)]}
    assert read(tmp_path, [big])[0].ranks == (0, 1, 2)


@pytest.mark.parametrize(
    ("data", "prompt"),
    [
        (
            {"instruction": "Add {1}.", "input": "2 {x}", "output": "3"},
            "Below is an instruction that describes a task, paired with an input that provides further context. "
            "Write a response that appropriately completes the request.\n\n### Instruction:\nAdd {1}.\n\n"
            "### Input:\n2 {x}\n\n"
            "### Response:",
        ),
        (
            {"instruction": "Say 3.", "input": "", "output": "3"},
            "Below is an instruction that describes a task. Write a response that appropriately completes the request."
            "\n\n### Instruction:\nSay 3.\n\n### Response:",
        ),
        (
            {"instruction": "Say 3.", "output": "3"},
            "Below is an instruction that describes a task. Write a response that appropriately completes the request."
            "\n\n### Instruction:\nSay 3.\n\n### Response:",
        ),
    ],
)
def test_alpaca_with_the_words_of_stanford(tmp_path, data, prompt):
    assert read(tmp_path, [data], read_demonstrations) == [Demonstration(user_prompt(prompt), "3")]


def test_of_a_chat_the_last_answer_is_learned_and_the_system_message_is_the_users(tmp_path):
    messages = [{"role": "system", "content": "Be brief."}, *chat(TALK, "Grass.")]
    (found,) = read(tmp_path, [{"messages": messages}], read_demonstrations)
    assert found.response == "Grass."
    assert [turn.text for turn in found.turns] == ["Be brief.\n\nWhere does a cow live?", *(t.text for t in TALK[1:])]


def test_of_rankings_the_first_best_answer_is_a_demonstration(tmp_path):
    data = {"prompt": "a", "responses": ["x", "y", "z"], "ranks": [1, 0, 0]}
    assert read(tmp_path, [data], read_demonstrations) == [Demonstration(user_prompt("a"), "y")]
    for name, write in PAIR_WRITERS.items():
        found = read(tmp_path, [write(TALK, "Grass.", "Meat.")], read_demonstrations)
        assert found == [Demonstration(TALK, "Grass.")], name
    said = refused(tmp_path, [{**data, "ended": [True, False, True]}], read_demonstrations)
    assert said == "mine.jsonl, line 1: the best answer was cut off, so that it cannot show how an answer ends."


def test_every_format_may_be_compressed(tmp_path):
    path = tmp_path / "mine.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(PAIR_WRITERS["HH-RLHF"](TALK, "Grass.", "Meat.")).encode()))
    (found,) = read_rankings(path, BadRecords())
    assert found == as_pair(TALK, "Grass.", "Meat.")
    assert found.source == f"{path}, line 1"


# ---- What is refused ---------------------------------------------------------------------------------------------

PREFERENCE, HH = PAIR_WRITERS["TRL, explicit, messages"], PAIR_WRITERS["HH-RLHF"]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"prompt": "a", "chosen": "b"}, 'the field "rejected" is missing.'),
        ({"rejected": "b"}, 'the field "chosen" is missing.'),
        ({"chosen": "\n\nHuman: a\n\nAssistant: b"}, 'the field "rejected" is missing.'),
        ({"prompt": "a", "chosen": "b", "rejected": 1}, '"rejected" must be a text or a list of messages, got 1.'),
        ({"prompt": None, "chosen": "b", "rejected": "c"}, '"prompt" must be a text or a list of messages, got None.'),
        ({"prompt": "", "chosen": "b", "rejected": "c"}, "turn 1 has no text."),
        ({"chosen": "b", "rejected": chat((), "c")}, "\"chosen\" must be a text or a list of messages, got 'b'."),
        (
            {"chosen": "yes", "rejected": "yawn"},
            '"chosen" and "rejected" do not begin alike; give the "prompt" in its own field.',
        ),
        (
            {"chosen": "", "rejected": ""},
            '"chosen" and "rejected" do not begin alike; give the "prompt" in its own field.',
        ),
        ({"chosen": chat((), "b"), "rejected": chat((), "c")}, "the prompt is empty; expected at least one user turn."),
        (
            {"chosen": [], "rejected": []},
            'after the prompt, "chosen" must be one turn of the assistant; here these speak: nobody.',
        ),
        (
            {"chosen": chat(TALK, "b"), "rejected": chat(SHORT, "c")},
            'after the prompt, "chosen" must be one turn of the assistant; here these speak: user, assistant, user, '
            "assistant.",
        ),
        (
            {"prompt": "a", "response": "b"},
            "demonstrations (prompt, response) rank nothing; they are for `python -m rlhf.stage1_sft "
            "--demonstrations`, and here answers that somebody compared are needed.",
        ),
        ({**PREFERENCE(SHORT, "b", "c"), "id": [1]}, '"id" must be a text or a whole number, got [1].'),
        ({**PREFERENCE(SHORT, "b", "c"), "id": True}, '"id" must be a text or a whole number, got True.'),
    ],
)
def test_a_broken_preference_is_one_sentence(tmp_path, data, sentence):
    assert refused(tmp_path, [data]) == f"mine.jsonl, line 1: {sentence}"


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (
            {"prompt": "a", "completion": "b", "label": False},
            '"label" is false: this answer was rejected, and stage 1 would imitate it; --skip-bad leaves such records '
            "out.",
        ),
        ({"prompt": "a", "completion": ""}, "the answer is empty; a demonstration must say something."),
        ({"completion": "b"}, 'the field "prompt" is missing.'),
        ({"instruction": "a"}, 'the field "output" is missing.'),
        ({"instruction": "a", "input": 3, "output": "b"}, '"input" must be a text, got 3.'),
        ({"instruction": " ", "output": "b"}, '"instruction" is empty.'),
        (
            {"messages": chat(TALK)},
            "the conversation must end with an answer of the assistant: that is what is learned.",
        ),
        ({"messages": []}, "the conversation must end with an answer of the assistant: that is what is learned."),
        ({"messages": "a"}, "\"messages\" must be a text or a list of messages, got 'a'."),
        ({"prompt": "a", "chosen": "", "rejected": "b"}, "the answer is empty; a demonstration must say something."),
    ],
)
def test_a_broken_demonstration_of_another_project_is_one_sentence(tmp_path, data, sentence):
    assert refused(tmp_path, [data], read_demonstrations) == f"mine.jsonl, line 1: {sentence}"


def test_a_broken_message_is_counted(tmp_path):
    said = refused(tmp_path, [{"conversations": [*chat(TALK, "b"), {"from": "gpt"}]}], read_demonstrations)
    assert said == 'mine.jsonl, line 1, message 5: the field "value" is missing.'


def test_fields_of_no_format_name_the_formats_there_are(tmp_path):
    said = refused(tmp_path, [{"prompt": "a", "respones": ["b"]}])
    assert said.startswith("mine.jsonl, line 1: the fields ['prompt', 'respones'] are those of no format known here: ")
    for known in ("responses", "chosen, rejected", "completion", "instruction", "messages", "conversations"):
        assert known in said
    assert "minigpt.pretrain" in refused(tmp_path, [{"text": "Once."}], read_demonstrations)


def test_a_file_holds_one_format(tmp_path):
    first, second = PREFERENCE(SHORT, "a", "b"), HH(SHORT, "a", "b")
    said = refused(tmp_path, [first, first, second])
    assert said == (
        "mine.jsonl, line 3: this is one of HH-RLHF transcripts (chosen, rejected), but the file began with "
        "preferences (prompt, chosen, rejected); a file holds one format."
    )
    bad = BadRecords(skip=True)
    assert len(read(tmp_path, [{"text": "a"}, {"chosen": "x"}, first, second, first], skip=bad)) == 2
    assert bad.count == 3, "a bad line decided the format of the file"


@pytest.mark.parametrize(
    ("data", "missing"),
    [
        (PAIR_WRITERS["ours, ranks"](SHORT, "a", "b"), "prompt"),
        (PREFERENCE(SHORT, "a", "b"), "prompt"),
        (PAIR_WRITERS["TRL, implicit, messages"](SHORT, "a", "b"), "chosen"),
        (HH(SHORT, "a", "b"), "chosen"),
        (ANSWER_WRITERS["ours"](SHORT, "a"), "prompt"),
        (ANSWER_WRITERS["TRL, messages"](SHORT, "a"), "prompt"),
        ({"instruction": "a", "output": "b"}, "instruction"),
        (ANSWER_WRITERS["ChatML"](SHORT, "a"), "messages"),
        (ANSWER_WRITERS["ShareGPT"](SHORT, "a"), "conversations"),
    ],
)
def test_a_record_without_its_telling_field_is_told_what_is_missing(tmp_path, data, missing):
    said = refused(tmp_path, [data, {"author": "me"}], read_demonstrations)
    assert said == f'mine.jsonl, line 2: the field "{missing}" is missing.'


def test_an_id_that_stands_twice_is_named_with_both_its_lines(tmp_path):
    records = [{**PREFERENCE(SHORT, "a", "b"), "id": identity} for identity in ("x", 7, "7", None, None, "y", 7)]
    said = refused(tmp_path, records)
    assert said == 'mine.jsonl, line 7: the "id" 7 is taken by mine.jsonl, line 2.'
    bad = BadRecords(skip=True)
    refused_first = {"chosen": 1, "rejected": 1, "prompt": "a", "id": "x"}
    assert len(read(tmp_path, [refused_first, *records], skip=bad)) == 6
    assert bad.count == 2, "the id of a line that was left out is free"


def test_skip_bad_leaves_out_exactly_the_bad_lines(tmp_path):
    good = [{"prompt": f"question {n}", "responses": ["a", "b"], "ranks": [n % 2, 1]} for n in range(6)]
    records = [
        b"\xef\xbb\xbf{",
        good[0],
        b'{"prompt": "caf\xe9"}',
        good[1],
        {"prompt": "a"},
        b"",
        good[2],
        {**good[0], "responses": ["a"]},
        {**good[0], "prompt": ["x"]},
        good[3],
        b"[" * 10_000,
        good[4],
        good[5],
        b"\x00",
    ]
    bad = BadRecords(skip=True)
    found = read(tmp_path, records, skip=bad)
    assert [ranking.turns[0].text for ranking in found] == [f"question {n}" for n in range(6)]
    assert bad.count == 7
    assert [int(ranking.source.rsplit(" ", 1)[1]) for ranking in found] == [2, 4, 7, 10, 12, 13]


# ---- Any bytes ---------------------------------------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
FIELDS = (
    "prompt",
    "response",
    "responses",
    "ranks",
    "scores",
    "ended",
    "gold",
    "sampled",
    "chosen",
    "rejected",
    "completion",
    "label",
    "instruction",
    "input",
    "output",
    "messages",
    "conversations",
    "id",
    "role",
    "content",
    "from",
    "value",
)
near_messages = st.lists(
    st.dictionaries(
        st.sampled_from(FIELDS[-4:]),
        json_values | st.sampled_from(["user", "assistant", "human", "gpt", "system"]),
        max_size=4,
    ),
    max_size=3,
)
near_records = st.dictionaries(st.sampled_from(FIELDS), json_values | near_messages | st.text("ab \n"), max_size=5)
VALID = [
    *(write(TALK, "Grass.", "Meat.") for write in PAIR_WRITERS.values()),
    *(write(TALK, "Grass.") for write in ANSWER_WRITERS.values()),
    {"instruction": "Say 3.", "input": "", "output": "3"},
    {"chosen": "The sky is blue", "rejected": "The sky is red"},
    {"prompt": "a", "responses": ["b", "c"], "ranks": [0, 1], "ended": [True, False], "gold": [0.5, 0], "id": 3},
]


def places(value, path=()):
    """Every place in a JSON value, as keys and indices from the top."""
    yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from places(child, (*path, key))


@st.composite
def mutated(draw):
    """A valid record in which one value is another, or one is missing, or some bytes are."""
    data = copy.deepcopy(draw(st.sampled_from(VALID)))
    *path, last = draw(st.sampled_from([place for place in places(data) if place]))
    holder = data
    for key in path:
        holder = holder[key]
    if draw(st.booleans()):
        holder[last] = draw(json_values)
    else:
        del holder[last]
    line = json.dumps(data).encode()
    if draw(st.booleans()):
        start, end = sorted((draw(st.integers(0, len(line))), draw(st.integers(0, len(line)))))
        line = line[:start] + draw(st.binary(max_size=4)) + line[end:]
    return line


files = st.lists(
    st.binary(max_size=40)
    | near_records.map(lambda data: json.dumps(data).encode())
    | mutated()
    | st.text(max_size=40).map(lambda text: text.encode("utf-8", "surrogatepass")),
    max_size=4,
).map(b"\n".join)
whole_or_cut = st.tuples(files, st.integers(0, 60)).map(lambda made: gzip.compress(made[0])[: 80 - made[1]])


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("reader", [read_demonstrations, read_rankings])
@given(content=files | whole_or_cut)
@example(content=b'{"prompt": "a", "responses": ["a", "b"], "ranks": [0, 1], "gold": [0, 1' + b"0" * 400 + b"]}")
@example(content=b'{"prompt": "a", "responses": ["a", "b"], "scores": [0, 1' + b"0" * 400 + b"]}")
@example(content=b'{"prompt": ' + b"[" * 300 + b"]" * 300 + b', "response": "a"}')
@example(content=b"\x1f\x8b")
@example(content=b"PAR1")
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_records_or_a_user_error(tmp_path, reader, skip, content):
    path = tmp_path / "fuzz.jsonl"
    path.write_bytes(content)
    bad = BadRecords(skip)
    try:
        found = reader(path, bad)
    except UserError as error:
        assert str(path) in str(error)  # noqa: PT017  (either outcome is right)
        assert "\n" not in str(error)  # noqa: PT017
        parquet = "is Parquet" in str(error)  # by its first bytes; without pyarrow, refused as a whole
        assert not skip or parquet or "nothing is left" in str(error) or "has no records" in str(error)  # noqa: PT017
        return
    assert found
    assert skip or bad.count == 0
    for record in found:
        check_prompt(record.turns, "what was read")
        if isinstance(record, Ranking):
            assert len(record.responses) == len(record.ranks) == len(record.ended) >= 2
            assert all(isinstance(rank, int) and 0 <= rank < len(record.ranks) for rank in record.ranks)
            assert record.gold is None or all(math.isfinite(total) for total in record.gold)
        else:
            assert record.response.strip()
