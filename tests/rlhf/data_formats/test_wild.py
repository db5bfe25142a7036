"""Containers, variants and damage of the formats that people really have; test_real_lines.py has a line of each."""

import csv
import gzip
import json

import pytest

from minigpt.runs.errors import UserError
from rlhf.bad_records import BadRecords
from rlhf.chat_format import Turn, user_prompt
from rlhf.data_formats.demonstrations import ALPACA_BARE
from rlhf.data_formats.formats import read_demonstrations, read_rankings
from rlhf.records import Demonstration, Ranking


def written(folder, content, name="mine.jsonl"):
    path = folder / name
    data = content if isinstance(content, bytes) else json.dumps(content, ensure_ascii=False).encode()
    path.write_bytes(data)
    return path


def demonstration(folder, content, name="mine.jsonl"):
    (found,) = read_demonstrations(written(folder, content, name), BadRecords())
    return found


def ranking(folder, content, name="mine.jsonl"):
    (found,) = read_rankings(written(folder, content, name), BadRecords())
    return found


def pair(turns, chosen, rejected, ranks=(0, 1)):
    return Ranking(turns, (chosen, rejected), ranks, (True, True))


def said(*texts):
    return tuple(Turn(("user", "assistant")[index % 2], text) for index, text in enumerate(texts))


TIPS = {"instruction": "Give three tips for staying healthy.", "input": "", "output": "1.Eat a balanced diet."}
TIPS_RECORD = Demonstration(user_prompt(ALPACA_BARE.format(instruction=TIPS["instruction"])), TIPS["output"])

# ---- Demonstrations ----


@pytest.mark.parametrize("indent", [None, 4])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_alpacas_own_file_is_a_json_list(tmp_path, indent, pack):
    """tatsu-lab/stanford_alpaca, alpaca_data.json: indented by 4."""
    second = {**TIPS, "instruction": "What are the three primary colors?"}
    data = pack(json.dumps([TIPS, second], indent=indent).encode())
    first, other = read_demonstrations(written(tmp_path, data, "alpaca_data.json"), BadRecords())
    assert first == TIPS_RECORD
    assert "primary colors" in other.turns[0].text
    assert other.source.endswith("alpaca_data.json, record 2 (line 1)" if indent is None else "record 2 (line 7)")


@pytest.mark.parametrize("content", [json.dumps(TIPS, indent=2), "\ufeff" + json.dumps(TIPS, indent=2) + "\n\n"])
def test_objects_over_several_lines(tmp_path, content):
    assert demonstration(tmp_path, content.encode()) == TIPS_RECORD
    twice = (content + "\n" + json.dumps(TIPS, indent=2)).encode()
    assert read_demonstrations(written(tmp_path, twice), BadRecords()) == [TIPS_RECORD] * 2


def test_a_null_input_is_no_input(tmp_path):
    assert demonstration(tmp_path, {**TIPS, "input": None}) == TIPS_RECORD


def test_llama_factorys_alpaca_with_system_and_history(tmp_path):
    """hiyouga/LLaMA-Factory, data/README.md."""
    data = {**TIPS, "system": "Be kind.", "history": [["first instruction", "first response"]]}
    found = demonstration(tmp_path, data)
    assert found.turns == (*said("Be kind.\n\nfirst instruction", "first response"), *TIPS_RECORD.turns)
    with pytest.raises(UserError, match='"history" must be a list of pairs'):
        demonstration(tmp_path, {**TIPS, "history": [["a"]]})


def test_dolly(tmp_path):
    """databricks/databricks-dolly-15k, shortened."""
    data = {
        "instruction": "When did Virgin Australia start operating?",
        "context": "Virgin Australia commenced services on 31 August 2000 as Virgin Blue.",
        "response": "On 31 August 2000.",
        "category": "closed_qa",
    }
    found = demonstration(tmp_path, data)
    assert found == Demonstration(user_prompt(f"{data['instruction']}\n\n{data['context']}"), data["response"])
    assert demonstration(tmp_path, {**data, "context": ""}).turns == user_prompt(data["instruction"])


def test_minimind_and_others_write_conversations_with_role_and_content(tmp_path):
    data = {"conversations": [{"role": "user", "content": "你好"}, {"role": "assistant", "content": "你好!"}]}
    assert demonstration(tmp_path, data) == Demonstration(user_prompt("你好"), "你好!")


def test_a_sharegpt_that_begins_with_the_assistant(tmp_path):
    messages = [{"from": "gpt", "value": "Hello!"}, {"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Ho"}]
    assert demonstration(tmp_path, {"conversations": messages}) == Demonstration(user_prompt("Hi"), "Ho")


def test_ms_swift(tmp_path):
    """modelscope/ms-swift, docs/source_en/Customization/Custom-dataset.md, the query-response format."""
    data = {
        "system": "<system>",
        "query": "<query2>",
        "response": "<response2>",
        "history": [["<query1>", "<response1>"]],
    }
    found = demonstration(tmp_path, data)
    assert found == Demonstration(said("<system>\n\n<query1>", "<response1>", "<query2>"), "<response2>")


# ---- Rankings ----


def test_chosen_and_rejected_as_one_message(tmp_path):
    """hiyouga/LLaMA-Factory, data/README.md, the ShareGPT format of preferences; TRL's with objects for lists."""
    expected = pair(user_prompt("human instruction"), "chosen answer", "rejected answer")
    answers = {
        "chosen": {"from": "gpt", "value": "chosen answer"},
        "rejected": {"from": "gpt", "value": "rejected answer"},
    }
    assert (
        ranking(tmp_path, {"conversations": [{"from": "human", "value": "human instruction"}], **answers}) == expected
    )
    assert ranking(tmp_path, {"prompt": "human instruction", **answers}) == expected
    ours = {name: {"role": "assistant", "content": answer["value"]} for name, answer in answers.items()}
    question = [{"role": "user", "content": "human instruction"}]
    assert ranking(tmp_path, {"prompt": question, **ours}) == expected
    assert ranking(tmp_path, {"messages": question, **ours}) == expected


def test_alpacas_preferences(tmp_path):
    """hiyouga/LLaMA-Factory, data/README.md."""
    data = {"instruction": TIPS["instruction"], "input": "", "chosen": "good", "rejected": "bad"}
    assert ranking(tmp_path, data) == pair(TIPS_RECORD.turns, "good", "bad")


def test_ms_swifts_preferences(tmp_path):
    """modelscope/ms-swift, docs/source_en/Customization/Custom-dataset.md, the format of DPO."""
    question = {"role": "user", "content": "Tell me tomorrow's weather"}
    messages = [question, {"role": "assistant", "content": "Tomorrow's weather will be sunny"}]
    data = {"messages": messages, "rejected_response": "I don't know"}
    expected = pair(user_prompt(question["content"]), "Tomorrow's weather will be sunny", "I don't know")
    assert ranking(tmp_path, data) == expected
    old = {"query": question["content"], "response": messages[1]["content"], "rejected_response": "I don't know"}
    assert ranking(tmp_path, old) == expected


def test_ultrafeedback(tmp_path):
    """openbmb/UltraFeedback, shortened: four completions with an overall score each."""
    scores = [7.5, 8.0, 2, 8.0]
    completions = [
        {"model": f"m{n}", "principle": "helpfulness", "response": f"answer {n}", "overall_score": score}
        for n, score in enumerate(scores)
    ]
    found = ranking(tmp_path, {"source": "evol_instruct", "instruction": "Why?", "completions": completions})
    assert found.turns == user_prompt("Why?")
    assert (found.responses, found.ranks) == (("answer 0", "answer 1", "answer 2", "answer 3"), (2, 0, 3, 0))
    del completions[2]["overall_score"]
    with pytest.raises(UserError, match=r'line 1, completion 3: neither "overall_score" nor a rating'):
        ranking(tmp_path, {"instruction": "Why?", "completions": completions})


REPLIES = {"prompt": "Why?", "reply-1": "So.", "reply-2": "Because.", "reply-3": "No."}


@pytest.mark.parametrize(
    "responses",
    [
        # argilla 1: rg.FeedbackRecord, as its guide shows a response to a ranking question
        [
            {"status": "discarded", "values": {"rank": {"value": [{"rank": 1, "value": "reply-1"}]}}},
            {
                "status": "submitted",
                "values": {
                    "comment": {"value": "a text"},
                    "rank": {
                        "value": [
                            {"rank": 1, "value": "reply-2"},
                            {"rank": 2, "value": "reply-1"},
                            {"rank": 2, "value": "reply-3"},
                        ]
                    },
                },
            },
        ],
        # argilla 2: Record.to_dict(), ties have no place in it
        {"rank": [{"value": ["reply-2", "reply-1", "reply-3"], "user_id": "u"}]},
    ],
)
def test_argillas_rankings(tmp_path, responses):
    found = ranking(tmp_path, {"fields": REPLIES, "responses": responses})
    assert found.turns == user_prompt("Why?")
    assert found.responses == ("Because.", "So.", "No.")
    assert found.ranks == ((0, 1, 1) if isinstance(responses, list) else (0, 1, 2))


def test_what_nobody_has_ranked_says_so(tmp_path):
    with pytest.raises(UserError, match="was it submitted"):
        ranking(tmp_path, {"fields": REPLIES, "responses": []})
    with pytest.raises(UserError, match="was it submitted"):
        ranking(tmp_path, {"data": {"prompt": "Why?"}, "annotations": []})


ITEMS = [
    {"id": "blog", "title": "10 tips", "body": "There is nothing worse"},
    {"id": "mdn", "title": "Arrow function expressions", "body": "A compact alternative"},
    {"id": "wiki", "title": "Arrow", "body": "In computer science"},
]


@pytest.mark.parametrize(
    "ranker", [["mdn", "wiki", "blog"], {"rank": ["mdn", "wiki", "blog"]}, {"_": [], "good": ["mdn", "wiki", "blog"]}]
)
def test_label_studios_ranker(tmp_path, ranker):
    """labelstud.io/tags/ranker: its example, within a task as it is exported: a JSON list."""
    result = {"from_name": "rank", "to_name": "results", "type": "ranker", "value": {"ranker": ranker}}
    task = {"id": 1, "data": {"prompt": "Arrows?", "items": ITEMS}, "annotations": [{"result": [result]}]}
    found = ranking(tmp_path, [task], "project-1.json")
    assert found.turns == user_prompt("Arrows?")
    assert found.responses == ("A compact alternative", "In computer science", "There is nothing worse")
    assert found.ranks == (0, 1, 2)


@pytest.mark.parametrize(("side", "better", "worse"), [("left", "A", "B"), ("right", "B", "A")])
def test_label_studios_pairs(tmp_path, side, better, worse):
    """labelstud.io/templates/generative-pairwise-human-preference."""
    result = {"from_name": "pw", "type": "pairwise", "value": {"selected": side}}
    task = {"data": {"prompt": "Why?", "answer1": "A", "answer2": "B"}, "annotations": [{"result": [result]}]}
    assert ranking(tmp_path, task) == pair(user_prompt("Why?"), better, worse)


@pytest.mark.parametrize(
    ("winner", "chosen", "ranks"),
    [("model_a", "A", (0, 1)), ("model_b", "B", (0, 1)), ("tie", "A", (0, 0)), ("tie (bothbad)", "A", (0, 0))],
)
def test_the_arenas_pairs_and_their_ties(tmp_path, winner, chosen, ranks):
    """lmsys/chatbot_arena_conversations, and the table of the competition on Kaggle."""
    question = {"content": "Why?", "role": "user"}
    talks = {f"conversation_{name}": [question, {"content": name.upper(), "role": "assistant"}] for name in "ab"}
    row = {
        "question_id": "58210e39b3fd4441a2bd4a518bb44c2d",
        "winner": winner,
        **talks,
        "language": "English",
        "turn": 1,
    }
    expected = pair(user_prompt("Why?"), chosen, "B" if chosen == "A" else "A", ranks)
    assert ranking(tmp_path, row) == expected
    names = {"model_a": "winner_model_a", "model_b": "winner_model_b"}
    table = {"id": "30192", "prompt": '["Why?"]', "response_a": '["A"]', "response_b": '["B"]'}
    table |= {name: int(name == names.get(winner, "winner_tie")) for name in (*names.values(), "winner_tie")}
    assert ranking(tmp_path, table) == expected
    path = tmp_path / "train.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(table))
        writer.writeheader()
        writer.writerow(table)
    assert read_rankings(path, BadRecords()) == [expected]


def test_an_arena_talk_that_differs_before_its_last_answer_is_no_pair(tmp_path):
    talks = {
        f"conversation_{name}": [
            {"role": r, "content": c}
            for r, c in (("user", "Hi"), ("assistant", name), ("user", "x"), ("assistant", "y"))
        ]
        for name in "ab"
    }
    with pytest.raises(UserError, match="must be one turn of the assistant"):
        ranking(tmp_path, {**talks, "winner": "tie"})
    with pytest.raises(UserError, match=r"the winner is 'nobody'; expected one of model_a"):
        ranking(tmp_path, {**talks, "winner": "nobody"})


# ---- Tables ----


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_csv_with_any_separator_line_end_and_byte_order_mark(tmp_path, separator, bom):
    rows = [["prompt", "response", "id"], ['What, "exactly"; is\tit?', "Zwei\r\nZeilen", "1"], ["Ü", "é東🦊", "2"]]
    path = tmp_path / "mine.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=separator).writerows(rows)
    path.write_bytes(bom + path.read_bytes())
    found = read_demonstrations(path, BadRecords())
    assert found == [Demonstration(user_prompt(prompt), response) for prompt, response, _ in rows[1:]]
    assert found[1].source.endswith("mine.csv, record 2")


def test_a_table_that_is_damaged(tmp_path):
    for content, says in (
        (b"prompt,response\na\n", "record 1: 1 cells, but the first line names 2"),
        (b"prompt,prompt\na,b\n", "a name stands twice"),
        (b"prompt,response\na,\xff\n", "save it as CSV in UTF-8"),
        (b"prompt,response\n", "has no records"),
    ):
        with pytest.raises(UserError, match=says):
            read_demonstrations(written(tmp_path, content, "mine.csv"), BadRecords())
    skip = BadRecords(skip=True)
    path = written(tmp_path, b"prompt,response\na\nb,c\n", "mine.csv")
    assert read_demonstrations(path, skip) == [Demonstration(user_prompt("b"), "c")]
    assert skip.count == 1


def test_parquet(tmp_path):
    pytest.importorskip("pyarrow", reason="Parquet is read where pyarrow is installed")
    import pyarrow.parquet

    rows = [
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": f"Ho {n}"}]} for n in range(3)
    ]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "mine.parquet")
    found = read_demonstrations(tmp_path / "mine.parquet", BadRecords())
    assert found == [Demonstration(user_prompt("Hi"), f"Ho {n}") for n in range(3)]
    data = (tmp_path / "mine.parquet").read_bytes()
    (tmp_path / "mine.parquet").write_bytes(data[:-20])
    with pytest.raises(UserError, match="damaged"):
        read_demonstrations(tmp_path / "mine.parquet", BadRecords())


def test_parquet_without_pyarrow_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(UserError, match="pip install pyarrow"):
        read_demonstrations(written(tmp_path, b"PAR1abc", "mine.parquet"), BadRecords())


# ---- JSON lists that are damaged ----


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"[" + json.dumps(TIPS).encode(), None),
        (
            b"[" + json.dumps(TIPS).encode() + b', {"a": ]',
            r"record 2 \(line 1\): not valid JSON \(Expecting value at line 1",
        ),
        (b"[" + json.dumps(TIPS).encode() + b"] [1]", "something follows the list"),
        (b"[1]", r"record 1 \(line 1\): expected a JSON object, got int"),
        (b'[{"a": 1, "a": 2}]', "the key 'a' stands twice"),
        (b'[{"a": "\\ud800"}]', "half of a surrogate pair"),
        (b"[\xff", r"line 1: not UTF-8 text \(byte 2 of the line"),
        (b"[\n\xff", r"line 2: not UTF-8 text \(byte 1 of the line"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[]", "has no records"),
        (b"[" + b"9" * 5000, "too long"),
    ],
)
def test_a_damaged_list_is_one_sentence(tmp_path, content, says):
    path = written(tmp_path, content, "mine.json")
    if says is None:  # the bracket that ends it is missing, and nothing else
        assert read_demonstrations(path, BadRecords()) == [TIPS_RECORD]
        return
    with pytest.raises(UserError, match=says) as error:
        read_demonstrations(path, BadRecords())
    assert "\n" not in str(error.value)
    assert "mine.json" in str(error.value)
    if TIPS["output"].encode() in content:
        assert read_demonstrations(path, BadRecords(skip=True)) == [TIPS_RECORD]
        return
    with pytest.raises(UserError, match=r"nothing is left, --skip-bad left out all 1|has no records"):
        read_demonstrations(path, BadRecords(skip=True))


# ---- Texts and paths of every kind ----


def test_the_whole_of_unicode_windows_line_ends_and_odd_paths(tmp_path):
    text = "".join(chr(code) for code in range(1, 0x30000, 97) if not 0xD800 <= code < 0xE000)
    folder = tmp_path / "Übung mit Leerzeichen" / ("ä" * 100)
    folder.mkdir(parents=True)
    line = json.dumps({"prompt": text, "response": text}, ensure_ascii=False).encode()
    path = written(folder, b"\xef\xbb\xbf" + line + b"\r\n\r\n" + line + b"\r\n", "x" * 200 + ".jsonl")
    assert read_demonstrations(path, BadRecords()) == [Demonstration(user_prompt(text), text)] * 2
