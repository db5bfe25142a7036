"""Every reader is fuzzed: whatever is changed in a file of any format, no traceback, no hang, little memory."""

import copy
import csv
import gzip
import io
import json
import time
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minigpt.runs.errors import UserError
from rlhf.bad_records import BadRecords
from rlhf.chat_format import check_prompt
from rlhf.data_formats.formats import FORMATS, format_of, read_demonstrations, read_rankings

QUESTION, ANSWER = {"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}
CALL = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}
PARTS = {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]}
RANKER = {"value": {"ranker": {"_": [], "rank": ["x", "y"]}}}
RECORDS = [
    {"prompt": [PARTS, QUESTION, CALL, {"role": "tool", "content": "4"}], "response": "4"},
    {"prompt": "Why?", "completion": [ANSWER]},
    {"instruction": "Why?", "input": None, "output": "So.", "system": "Be kind.", "history": [["a", "b"]]},
    {"instruction": "Why?", "context": "c", "response": "So."},
    {"query": "Why?", "response": "So.", "history": [["a", "b"]], "id": 3},
    {"messages": [QUESTION, ANSWER]},
    {"conversations": [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "So."}]},
    {"prompt": "Why?", "responses": ["a", "b"], "ranks": [0, 1], "ended": [True, False], "gold": [0.5, 0]},
    {"prompt": "Why?", "responses": ["a", "b"], "scores": [0.5, -3], "sampled": True},
    {"prompt": "Why?", "chosen": ANSWER, "rejected": [ANSWER]},
    {"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "\n\nHuman: a\n\nAssistant: c"},
    {"chosen": [QUESTION, ANSWER], "rejected": [QUESTION, {**ANSWER, "content": "No."}]},
    {"instruction": "Why?", "chosen": "a", "rejected": "b"},
    {"conversations": [QUESTION], "chosen": ANSWER, "rejected": ANSWER},
    {"messages": [QUESTION, ANSWER], "rejected_response": "b"},
    {"messages": [QUESTION, ANSWER], "rejected_messages": [QUESTION, ANSWER]},
    {"chosen_messages": [QUESTION, ANSWER], "rejected_messages": [QUESTION, ANSWER]},
    {"conversation": [{"human": "Why?", "assistant": "So."}], "system": "Be kind."},
    {
        "instruction": "Why?",
        "completions": [
            {"response": "a", "overall_score": 1},
            {"response": "b", "annotations": {"x": {"Rating": "2"}}},
        ],
    },
    {"conversation_a": [QUESTION, ANSWER], "conversation_b": [QUESTION, ANSWER], "winner": "tie (bothbad)"},
    {
        "prompt": '["a"]',
        "response_a": '["b"]',
        "response_b": ["c"],
        "winner_model_a": 1,
        "winner_model_b": 0,
        "winner_tie": 0,
    },
    {
        "fields": {"prompt": "a", "x": "b", "y": "c"},
        "responses": [{"values": {"q": {"value": [{"value": "x", "rank": 1}, {"value": "y", "rank": 1}]}}}],
    },
    {"fields": {"prompt": "a", "x": "b", "y": "c"}, "responses": {"q": [{"value": ["x", "y"]}]}},
    {
        "data": {"prompt": "a", "items": [{"id": "x", "body": "b"}, {"id": "y", "body": "c"}]},
        "annotations": [{"result": [RANKER]}],
    },
    {"data": {"prompt": "a", "x": "b", "y": "c"}, "annotations": [{"result": [{"value": {"selected": "left"}}]}]},
]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


def test_every_format_is_fuzzed():
    seen = {format_of(record).name for record in RECORDS}
    assert seen >= {each.name for each in FORMATS} - {"chat preferences (messages, chosen, rejected)"}


def places(value, path=()):
    """Every place in a JSON value, as keys and indices from the top."""
    yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from places(child, (*path, key))


@st.composite
def mutated(draw):
    """A record of any format in which up to two values are others, or are missing."""
    data = copy.deepcopy(draw(st.sampled_from(RECORDS)))
    for _ in range(draw(st.integers(0, 2))):
        found = [place for place in places(data) if place]
        if not found:
            break
        *path, last = draw(st.sampled_from(found))
        holder = data
        for key in path:
            holder = holder[key]
        if draw(st.booleans()):
            holder[last] = draw(json_values)
        else:
            del holder[last]
    return data


def as_csv(records: list[dict], separator: str) -> bytes:
    names = list(dict.fromkeys(name for record in records for name in record))
    file = io.StringIO()
    writer = csv.writer(file, delimiter=separator)
    writer.writerow(names)
    for record in records:
        cells = [record.get(name, "") for name in names]
        writer.writerow([cell if isinstance(cell, str) else json.dumps(cell) for cell in cells])
    return file.getvalue().encode("utf-8", "surrogatepass")


WRITERS = {
    "lines.jsonl": lambda records: b"\n".join(json.dumps(record).encode() for record in records),
    "list.json": lambda records: json.dumps(records).encode(),
    "indented.json": lambda records: json.dumps(records, indent=2).encode(),
    "several lines.json": lambda records: b"\n".join(json.dumps(record, indent=1).encode() for record in records),
    "comma.csv": lambda records: as_csv(records, ","),
    "semicolon.csv": lambda records: as_csv(records, ";"),
}


@pytest.mark.parametrize("reader", [read_demonstrations, read_rankings])
@pytest.mark.parametrize("name", list(WRITERS))
@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_change_gives_records_or_a_sentence(tmp_path, name, reader, data):
    content = WRITERS[name](data.draw(st.lists(mutated(), min_size=1, max_size=3)))
    if data.draw(st.booleans()):
        start, end = sorted(data.draw(st.integers(0, len(content))) for _ in range(2))
        content = content[:start] + data.draw(st.binary(max_size=4)) + content[end:]
    if data.draw(st.booleans()):
        content = gzip.compress(content)[: len(content) + data.draw(st.integers(0, 60))]
    path = tmp_path / name
    path.write_bytes(content)
    skip = data.draw(st.booleans())
    try:
        found = reader(path, BadRecords(skip))
    except UserError as error:
        assert str(path) in str(error)  # noqa: PT017  (either outcome is right)
        assert "\n" not in str(error)  # noqa: PT017
        return
    assert found
    for record in found:
        check_prompt(record.turns, "what was read")


def inflated(value, text: str):
    """The same record with every longer text in it replaced by a long one."""
    if isinstance(value, dict):
        return {key: inflated(child, text) for key, child in value.items()}
    if isinstance(value, list):
        return [inflated(child, text) for child in value]
    if isinstance(value, str) and "Assistant:" in value:
        return value + text
    return text if value in ("Why?", "So.", "b", "c") else value


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: "-".join(record)[:40])
def test_a_long_record_takes_a_multiple_of_its_line_and_no_more(tmp_path, record):
    path = tmp_path / "long.jsonl"
    path.write_text(json.dumps(inflated(record, "word é " * 30_000)) + "\n", encoding="utf-8")
    reader = read_demonstrations if format_of(record).build.__module__.endswith("demonstrations") else read_rankings
    tracemalloc.start()
    started = time.process_time()
    try:
        reader(path, BadRecords(skip=True))
    except UserError:
        pass  # a text in a wrong place: it must be cheap all the same
    finally:
        seconds, peak = time.process_time() - started, tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 30 * path.stat().st_size, f"{peak / path.stat().st_size:.0f} times the line"
    assert seconds < 10, "quadratic in the length of a text?"


@pytest.mark.parametrize(
    "line",
    [
        {"prompt": "a", "responses": ["b"] * 50_000, "scores": list(range(50_000))},
        {"prompt": "a", "responses": ["b"] * 50_000, "ranks": list(range(50_000))},
        {"messages": [QUESTION, ANSWER] * 25_000},
        {"query": "a", "response": "b", "history": [["a", "b"]] * 50_000},
        {
            "fields": {str(n): "a" for n in range(20_000)},
            "responses": {"q": [{"value": [str(n) for n in range(1, 20_000)]}]},
        },
    ],
    ids=["scores", "ranks", "messages", "history", "fields"],
)
def test_many_answers_or_turns_are_no_hang(tmp_path, line):
    path = tmp_path / "many.jsonl"
    path.write_text(json.dumps(line), encoding="utf-8")
    started = time.process_time()
    assert read_demonstrations(path, BadRecords())
    assert time.process_time() - started < 10, "quadratic in the number of answers or turns?"
