"""A line of each format as its own project writes it, shortened where it is long, and the record it becomes.

Beside each line stands where it is from, with the commit or date of what was read. What we once wrote down from memory
differed from most of these in some point.
"""

import gzip
import itertools
import json
from pathlib import Path

import pytest

from minigpt.runs.errors import UserError
from rlhf.bad_records import BadRecords
from rlhf.chat_format import Turn, user_prompt
from rlhf.data_formats.demonstrations import ALPACA_BARE
from rlhf.data_formats.formats import read_demonstrations, read_rankings
from rlhf.data_formats.hh import transcript
from rlhf.records import Demonstration, Ranking

HH = Path(__file__).resolve().parents[4] / "shared" / "data" / "hh-rlhf-harmless-base-test.jsonl.gz"


def read(reader, folder, *lines, name="mine.jsonl"):
    path = folder / name
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), encoding="utf-8")
    return reader(path, BadRecords())


def demonstration(folder, line):
    (found,) = read(read_demonstrations, folder, line)
    return found


def ranking(folder, line):
    (found,) = read(read_rankings, folder, line)
    return found


def refused(folder, line, reader=read_demonstrations):
    with pytest.raises(UserError) as error:
        read(reader, folder, line)
    return str(error.value)


def said(*texts):
    return tuple(Turn(("user", "assistant")[index % 2], text) for index, text in enumerate(texts))


def pair(turns, chosen, rejected, ranks=(0, 1)):
    return Ranking(turns, (chosen, rejected), ranks, (True, True))


# ---- Demonstrations ----

# hiyouga/LLaMA-Factory ff6d4d1 (2026-08-18), data/identity.json, the first record; tatsu-lab/stanford_alpaca 761dc5b
# (2023-05-29), README.md, "Data Release", describes the same form: a list of dictionaries with these three fields
ALPACA = {
    "instruction": "hi",
    "input": "",
    "output": "Hello! I am {{name}}, an AI assistant developed by {{author}}. How can I assist you today?",
}


def test_alpaca(tmp_path):
    (found,) = read(read_demonstrations, tmp_path, json.dumps([ALPACA], indent=2), name="identity.json")
    assert found == Demonstration(user_prompt(ALPACA_BARE.format(instruction="hi")), ALPACA["output"])


# databricks/databricks-dolly-15k on huggingface.co, the first record as other repositories quote it, shortened. That
# context follows instruction in the prompt is in databrickslabs/dolly e2d664d (2023-06-30), training/trainer.py.
DOLLY = {
    "instruction": "When did Virgin Australia start operating?",
    "context": "It commenced services on 31 August 2000 as Virgin Blue, with two aircraft on a single route.",
    "response": "Virgin Australia commenced services on 31 August 2000 as Virgin Blue, with two aircraft.",
    "category": "closed_qa",
}


def test_dolly(tmp_path):
    asked = f"{DOLLY['instruction']}\n\n{DOLLY['context']}"
    assert demonstration(tmp_path, DOLLY) == Demonstration(user_prompt(asked), DOLLY["response"])


# lm-sys/FastChat 0e6d3e4 (2025-04-12), data/dummy_conversation.json, the first record
SHAREGPT = """[
  {
    "id": "identity_0",
    "conversations": [
      {
        "from": "human",
        "value": "Who are you?"
      },
      {
        "from": "gpt",
        "value": "I am Vicuna, a language model trained by researchers from Large Model Systems Organization (LMSYS)."
      },
      {
        "from": "human",
        "value": "Have a nice day!"
      },
      {
        "from": "gpt",
        "value": "You too!"
      }
    ]
  }
]"""


def test_sharegpt(tmp_path):
    vicuna = "I am Vicuna, a language model trained by researchers from Large Model Systems Organization (LMSYS)."
    (found,) = read(read_demonstrations, tmp_path, SHAREGPT, name="dummy_conversation.json")
    assert found == Demonstration(said("Who are you?", vicuna, "Have a nice day!"), "You too!")


# jingyaogong/minimind d65ef2c (2026-08-21), README_en.md, "SFT Data": one talk, and one with tools
MINIMIND = {
    "conversations": [
        {"role": "user", "content": "你好"},
        {"role": "assistant", "content": "你好！"},
        {"role": "user", "content": "再见"},
        {"role": "assistant", "content": "再见！"},
    ]
}
MINIMIND_TOOLS = {
    "conversations": [
        {"role": "system", "content": "# Tools ...", "tools": "[...]"},
        {"role": "user", "content": "把'你好世界'翻译成english"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": '[{"name":"translate_text","arguments":{"text":"你好世界","target_language":"english"}}]',
        },
        {"role": "tool", "content": '{"translated_text":"Hello World"}'},
        {"role": "assistant", "content": "Hello World"},
    ]
}


def test_minimind(tmp_path):
    assert demonstration(tmp_path, MINIMIND) == Demonstration(said("你好", "你好！", "再见"), "再见！")


def test_minimind_writes_the_calls_of_tools_as_a_text(tmp_path):
    found = demonstration(tmp_path, MINIMIND_TOOLS)
    call = '{"name": "translate_text", "arguments": {"text": "你好世界", "target_language": "english"}}'
    asked = "# Tools ...\n\n把'你好世界'翻译成english"
    assert found == Demonstration(said(asked, call, '{"translated_text":"Hello World"}'), "Hello World")
    broken = json.loads(json.dumps(MINIMIND_TOOLS))
    broken["conversations"][2]["tool_calls"] = "[{"
    assert "message 3: \"tool_calls\" must be a list, got '[{'" in refused(tmp_path, broken)


# modelscope/ms-swift 3602360 (2026-08-22), docs/source_en/Customization/Custom-dataset.md
SWIFT = (
    '{"system": "<system>", "query": "<query2>", "response": "<response2>", "history": [["<query1>", "<response1>"]]}'
)
SWIFT_SHAREGPT = (
    '{"system": "<system>", "conversation": [{"human": "<query1>", "assistant": "<response1>"}, '
    '{"human": "<query2>", "assistant": "<response2>"}]}'
)
SWIFT_MESSAGES = (
    '{"messages": [{"role": "system", "content": "<system>"}, {"role": "user", "content": "<query1>"}, {"role": '
    '"assistant", "content": "<response1>"}, {"role": "user", "content": "<query2>"}, {"role": "assistant", "content": '
    '"<response2>"}]}'
)


@pytest.mark.parametrize("line", [SWIFT, SWIFT_SHAREGPT, SWIFT_MESSAGES], ids=["query", "conversation", "messages"])
def test_ms_swift(tmp_path, line):
    turns = said("<system>\n\n<query1>", "<response1>", "<query2>")
    assert demonstration(tmp_path, line) == Demonstration(turns, "<response2>")


def test_ms_swifts_names_for_tools(tmp_path):
    """The same page, "You can also organize the Agent dataset", shortened to one call."""
    messages = [
        {"role": "user", "content": "What is the weather like in Beijing today?"},
        {"role": "tool_call", "content": '{"name": "realtime_aqi", "arguments": {"city": "Beijing"}}'},
        {"role": "tool_response", "content": '{"city": "Beijing", "aqi": "10", "unit": "celsius"}'},
        {"role": "assistant", "content": "The air is good."},
    ]
    found = demonstration(tmp_path, {"messages": messages})
    assert found.turns == said(*(message["content"] for message in messages[:3]))


def test_ms_swifts_text_to_pretrain_on_is_no_demonstration(tmp_path):
    line = '{"messages": [{"role": "assistant", "content": "I love music"}]}'
    assert "the prompt is empty" in refused(tmp_path, line)


def test_llama_factorys_second_version_calls_the_text_of_a_part_value(tmp_path):
    """hiyouga/LLaMA-Factory ff6d4d1, data/v1_sft_demo.jsonl, the first record."""
    line = {
        "messages": [
            {"role": "user", "content": [{"type": "text", "value": "hi"}], "loss_weight": 0.0},
            {"role": "assistant", "content": [{"type": "text", "value": "Hello!"}], "loss_weight": 1.0},
        ]
    }
    assert demonstration(tmp_path, line) == Demonstration(user_prompt("hi"), "Hello!")


@pytest.mark.parametrize("name", ["label", "kto_tag"])
def test_an_answer_that_somebody_rejected_is_not_imitated(tmp_path, name):
    """hiyouga/LLaMA-Factory ff6d4d1, data/kto_en_demo.json: half of its 300 records have "label": false. README.md of
    the same folder calls the field kto_tag; TRL's "unpaired preference" has prompt, completion and label."""
    messages = [{"content": "Is it true?", "role": "user"}, {"content": "Ooh ooh ah ah!", "role": "assistant"}]
    for line in (
        {"messages": messages},
        {"prompt": "Is it true?", "completion": "Ooh ooh ah ah!"},
        {"instruction": "Is it true?", "output": "Ooh ooh ah ah!"},
    ):
        assert demonstration(tmp_path, {**line, name: True}).response == "Ooh ooh ah ah!"
        sentence = refused(tmp_path, {**line, name: False})
        assert sentence.endswith(
            f'line 1: "{name}" is false: this answer was rejected, and stage 1 would imitate it; --skip-bad leaves '
            "such records out."
        ), sentence
    assert demonstration(tmp_path, {"messages": messages, "label": 3}), "ms-swift's label of a classifier"


def test_what_belongs_to_an_image_is_refused(tmp_path):
    """hiyouga/LLaMA-Factory ff6d4d1, data/mllm_demo.json, the first record, shortened."""
    line = {
        "messages": [
            {"content": "<image>Who are they?", "role": "user"},
            {"content": "They're Kane and Gretzka from Bayern Munich.", "role": "assistant"},
        ],
        "images": ["mllm_demo_data/1.jpg"],
    }
    assert 'line 1: it comes with "images", and no model here can see or hear' in refused(tmp_path, line)
    assert demonstration(tmp_path, {**line, "images": []})


# ---- Preferences ----


def test_hh_rlhf():
    """anthropics/hh-rlhf, harmless-base/test.jsonl.gz: all of it, and back again byte for byte."""
    if not HH.exists():
        pytest.skip(f"{HH} is not here: the real pairs are not part of the repository")
    found = read_rankings(HH, BadRecords())
    with gzip.open(HH, "rt", encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    assert len(found) == len(lines) == 2312
    for record, line in itertools.islice(zip(found, lines, strict=True), 200):
        assert [transcript(record.turns, answer) for answer in record.responses] == [line["chosen"], line["rejected"]]


def test_minimind_for_dpo(tmp_path):
    """jingyaogong/minimind d65ef2c, README_en.md, "RL Data"."""
    line = """{
  "chosen": [
    {"content": "Q", "role": "user"},
    {"content": "good answer", "role": "assistant"}
  ],
  "rejected": [
    {"content": "Q", "role": "user"},
    {"content": "bad answer", "role": "assistant"}
  ]
}"""
    assert ranking(tmp_path, line) == pair(user_prompt("Q"), "good answer", "bad answer")


WEATHER = [
    {"role": "system", "content": "You are a useful and harmless assistant"},
    {"role": "user", "content": "Tell me tomorrow's weather"},
    {"role": "assistant", "content": "Tomorrow's weather will be sunny"},
]


@pytest.mark.parametrize(
    "rejected",
    [
        {"rejected_response": "I don't know"},
        {"rejected_response": [{"role": "assistant", "content": "I don't know"}]},
        {"rejected_messages": [*WEATHER[:2], {"role": "assistant", "content": "I don't know"}]},
    ],
    ids=["text", "message", "messages"],
)
def test_ms_swift_for_dpo(tmp_path, rejected):
    """modelscope/ms-swift 3602360, docs/source_en/Customization/Custom-dataset.md, "DPO/ORPO/CPO/SimPO/RM": its first
    line, and the two other ways to write it that the page shows with images."""
    turns = user_prompt("You are a useful and harmless assistant\n\nTell me tomorrow's weather")
    expected = pair(turns, "Tomorrow's weather will be sunny", "I don't know")
    assert ranking(tmp_path, {"messages": WEATHER, **rejected}) == expected


def test_llama_factory_for_dpo(tmp_path):
    """hiyouga/LLaMA-Factory ff6d4d1, data/README.md, and the form of data/v1_dpo_demo.jsonl, shortened."""
    question = {"from": "human", "value": "user instruction"}
    line = {
        "conversations": [question, {"from": "gpt", "value": "model response"}, question],
        "chosen": {"from": "gpt", "value": "chosen answer (required)"},
        "rejected": {"from": "gpt", "value": "rejected answer (required)"},
    }
    turns = said("user instruction", "model response", "user instruction")
    assert ranking(tmp_path, line) == pair(turns, "chosen answer (required)", "rejected answer (required)")
    asked = {"role": "user", "content": [{"type": "text", "value": "Translate"}], "loss_weight": 0.0}
    second = {
        f"{name}_messages": [
            asked,
            {"role": "assistant", "content": [{"type": "text", "value": name}], "loss_weight": 1.0},
        ]
        for name in ("chosen", "rejected")
    }
    assert ranking(tmp_path, second) == pair(user_prompt("Translate"), "chosen", "rejected")


# ---- Rankings ----


def rated(response, *ratings, **more):
    aspects = ("instruction_following", "honesty", "truthfulness", "helpfulness")
    annotations = {name: {"Rating": rating} for name, rating in zip(aspects, ratings, strict=True)}
    return {"model": "gpt-4", "principle": "helpfulness", "response": response, "annotations": annotations, **more}


def test_ultrafeedback_as_its_readme_shows_it(tmp_path):
    """OpenBMB/UltraFeedback bf80fd4 (2023-12-29), README.md, "Dataset Format": four ratings and no overall score. They
    are averaged as src/data_annotation/fix_overall_score_issue.py does, without those that are "N/A"."""
    line = {
        "source": "sharegpt",
        "instruction": "I am going to cairo in June of this year, thinking of 4-5 days.",
        "models": ["falcon-40b-instruct", "gpt-4", "starchat"],
        "correct_answers": ["None"],
        "incorrect_answers": ["None"],
        "completions": [
            rated("Cairo is a city that has something for everyone.", "2", "3", "3", "3"),
            rated("In Cairo for 4-5 days, the following activities", "5", "N/A", "4", "5"),
            rated("Here are some of the top things", "2", "3", "3", "3"),
        ],
    }
    found = ranking(tmp_path, line)
    assert found.turns == user_prompt(line["instruction"])
    assert found.ranks == (1, 0, 1)
    for completion in line["completions"]:
        completion["annotations"] = {"honesty": {"Rating": "N/A"}}
    assert 'completion 1: neither "overall_score" nor a rating' in refused(tmp_path, line, read_rankings)


@pytest.mark.parametrize("scores", [[7.5, 8.5, 2.0], ["7.5", "8.5", "2"]])
def test_ultrafeedback_as_it_is_distributed(tmp_path, scores):
    """The same, src/data_annotation/annotate_critique.py, which adds critique and overall_score, the latter as a text;
    openbmb/UltraFeedback on huggingface.co has numbers, and the average of the ratings as fine-grained_score."""
    completions = [
        rated(f"answer {number}", "1", "1", "1", "1", **{"overall_score": score, "fine-grained_score": 1.0})
        for number, score in enumerate(scores)
    ]
    assert ranking(tmp_path, {"instruction": "Why?", "completions": completions}).ranks == (1, 0, 2)


FIELDS = {"prompt": "Why?", "reply-1": "So.", "reply-2": "Because.", "reply-3": "No."}


def test_argilla_1(tmp_path):
    """argilla-io/argilla 0cc680c, docs/_source/practical_guides/create_update_dataset/suggestions_and_responses.md,
    "Format responses", Ranking: the responses as the page has them."""
    line = {
        "fields": FIELDS,
        "responses": [
            {
                "values": {
                    "preference": {
                        "value": [
                            {"rank": 1, "value": "reply-2"},
                            {"rank": 2, "value": "reply-1"},
                            {"rank": 3, "value": "reply-3"},
                        ],
                    }
                }
            }
        ],
    }
    found = ranking(tmp_path, line)
    assert (found.responses, found.ranks) == (("Because.", "So.", "No."), (0, 1, 2))


def test_argilla_2(tmp_path):
    """argilla-io/argilla 0991739, argilla/src/argilla/records/_resource.py, Record.to_dict and RecordResponses.to_dict:
    what dataset.records.to_json writes."""
    line = {
        "id": "7c2f1f6e-b5b9-4d0f-9a0c-1f1f6e3d7c2f",
        "fields": FIELDS,
        "metadata": {"category": "A"},
        "suggestions": {"preference": {"value": ["reply-1", "reply-2", "reply-3"], "score": None, "agent": None}},
        "responses": {"preference": [{"value": ["reply-2", "reply-1", "reply-3"], "user_id": "59b7"}]},
        "vectors": {},
        "_server_id": "0d5f",
    }
    found = ranking(tmp_path, line)
    assert (found.responses, found.ranks) == (("Because.", "So.", "No."), (0, 1, 2)), "a suggestion is no ranking"


def test_argilla_2_without_its_nesting_says_how_to_export(tmp_path):
    """The same, _io/_generic.py, to_list(flatten=True), which is also what to_datasets and to_hub write."""
    line = {
        **FIELDS,
        "preference.responses": [["reply-2", "reply-1", "reply-3"]],
        "preference.responses.users": ["59b7"],
    }
    sentence = refused(tmp_path, line, read_rankings)
    assert "dataset.records.to_json" in sentence, sentence


# HumanSignal/RLHF cc3fa78 (2023-06-20), tutorials/ls_output_data.json, the first of 32 records: an export of the
# template of labelstud.io/templates/generative-pairwise-human-preference.html
LABEL_STUDIO_PAIR = """[
  {
    "id": 401635,
    "annotations": [
      {
        "id": 68045,
        "completed_by": 2,
        "result": [
          {
            "value": {
              "selected": "left"
            },
            "id": "Sba4F4tuVh",
            "from_name": "comparison",
            "to_name": "comparison",
            "type": "pairwise",
            "origin": "manual"
          }
        ],
        "was_cancelled": false,
        "ground_truth": false,
        "created_at": "2023-04-17T21:54:20.457543Z",
        "lead_time": 12.51,
        "prediction": {},
        "task": 401635,
        "parent_annotation": null
      }
    ],
    "file_upload": "65af2932-ls_input_data.json",
    "drafts": [],
    "predictions": [],
    "data": {
      "prompt": "What is the latest news on the stock market?",
      "answer1": "Let the spotlight shine on something big, something that matters.",
      "answer2": "Here are 5 things you should know"
    },
    "meta": {},
    "inner_id": 1,
    "project": 183,
    "comment_authors": []
  }
]"""


def test_label_studios_pair(tmp_path):
    (found,) = read(read_rankings, tmp_path, LABEL_STUDIO_PAIR, name="ls_output_data.json")
    data = json.loads(LABEL_STUDIO_PAIR)[0]["data"]
    assert found == pair(user_prompt(data["prompt"]), data["answer1"], data["answer2"])


def test_label_studios_pair_beside_other_texts(tmp_path):
    """modelscope/data-juicer c07c2d7 (2025-10-17), human_preference_annotation_mapper.py, _format_task: what else is
    known of a sample is put into the task as texts."""
    (task,) = json.loads(LABEL_STUDIO_PAIR)
    task["data"]["meta:id"] = "pref_sample1"
    found = ranking(tmp_path, task)
    assert found.responses == (task["data"]["answer1"], task["data"]["answer2"])


# HumanSignal/label-studio 0151c4c, docs/source/tags/ranker.md, the data of the second example and the result of the
# fourth; 394f59b, web/libs/editor/src/tags/control/Ranker.jsx, has the result of the second under the name of the tag
ITEMS = [
    {
        "id": "blog",
        "title": "10 tips to write a better function",
        "body": "There is nothing worse than being left in the lurch when it comes to writing a function!",
    },
    {
        "id": "mdn",
        "title": "Arrow function expressions",
        "body": "An arrow function expression is a compact alternative to a traditional function",
    },
    {
        "id": "wiki",
        "title": "Arrow (computer science)",
        "body": "In computer science, arrows or bolts are a type class...",
    },
]


def ranked(ranker, data):
    result = {"from_name": "rank", "to_name": "results", "type": "ranker", "value": {"ranker": ranker}}
    return {"id": 1, "data": data, "annotations": [{"id": 1, "result": [result], "was_cancelled": False}]}


@pytest.mark.parametrize("ranker", [["mdn", "wiki", "blog"], {"rank": ["mdn", "wiki", "blog"]}])
def test_label_studios_ranker(tmp_path, ranker):
    found = ranking(tmp_path, ranked(ranker, {"prompt": "Arrows?", "items": ITEMS}))
    assert found.responses == (ITEMS[1]["body"], ITEMS[2]["body"], ITEMS[0]["body"])
    assert found.ranks == (0, 1, 2)


def test_label_studios_buckets_of_one_item_rank_nothing(tmp_path):
    line = ranked({"best": ["mdn"], "ads": ["blog"]}, {"prompt": "Arrows?", "items": ITEMS})
    assert "no bucket of the ranking" in refused(tmp_path, line, read_rankings)


def test_what_nobody_has_put_into_a_bucket_is_not_ranked(tmp_path):
    """HumanSignal/label-studio c081a4c, docs/source/templates/generative-llm-ranker.md, data and result as it has
    them: "_" is "the original, non-categorized list", in the order in which it was shown."""
    data = {
        "prompt": "What caused the ancient library of Alexandria to be destroyed?",
        "items": [
            {"id": "llm_1", "title": "LLM 1", "body": "Wars led to library's ruin."},
            {"id": "llm_2", "title": "LLM 2", "body": "Library's end through various wars."},
            {"id": "llm_3", "title": "LLM 3", "body": "Ruin resulted from library wars."},
        ],
    }
    as_shown = {"_": ["llm_2", "llm_1"], "biased_results": ["llm_3"], "relevant_results": []}
    assert "no bucket of the ranking" in refused(tmp_path, ranked(as_shown, data), read_rankings)
    moved = {"_": ["llm_3"], "biased_results": [], "relevant_results": ["llm_2", "llm_1"]}
    found = ranking(tmp_path, ranked(moved, data))
    assert found.responses == ("Library's end through various wars.", "Wars led to library's ruin.")


# lm-sys/FastChat 0e6d3e4, fastchat/serve/monitor/clean_battle_data.py, which wrote lmsys/chatbot_arena_conversations
def battle(winner, **more):
    question = {"role": "user", "content": "What is the difference between OpenCL and CUDA?"}
    return {
        "question_id": "58210e39b3fd4441a2bd4a518bb44c2d",
        "model_a": "chatglm-6b",
        "model_b": "koala-13b",
        "winner": winner,
        "judge": "arena_user_973",
        "conversation_a": [question, {"role": "assistant", "content": "OpenCL and CUDA are two"}],
        "conversation_b": [question, {"role": "assistant", "content": "OpenCL is a standard"}],
        "turn": 1,
        "anony": True,
        "language": "English",
        "tstamp": 1682351591.1322,
        **more,
    }


@pytest.mark.parametrize(
    ("winner", "ranks", "first"),
    [
        ("model_a", (0, 1), "OpenCL and"),
        ("model_b", (0, 1), "OpenCL is"),
        ("tie", (0, 0), "OpenCL and"),
        ("tie (bothbad)", (0, 0), "OpenCL and"),
        ("both_bad", (0, 0), "OpenCL and"),
    ],
)
def test_the_arena(tmp_path, winner, ranks, first):
    """Its four winners; "both_bad" is what lmarena-ai/arena-human-preference-140k (2025) has for the last."""
    found = ranking(tmp_path, battle(winner))
    assert found.ranks == ranks
    assert found.responses[0].startswith(first)
    assert found.turns == user_prompt("What is the difference between OpenCL and CUDA?")


def test_the_arena_of_2025_has_parts(tmp_path):
    """lmarena-ai/arena-human-preference-140k, README.md on huggingface.co: conversation_a is a list of role and
    content, content a list of type, text, image and mimeType; in arena-expert-5k it is that list as a text."""
    parts = battle("model_a")
    for name in ("conversation_a", "conversation_b"):
        parts[name] = [
            {
                "role": message["role"],
                "content": [{"type": "text", "text": message["content"], "image": None, "mimeType": None}],
            }
            for message in parts[name]
        ]
    expected = ranking(tmp_path, battle("model_a"))
    assert ranking(tmp_path, parts) == expected
    texts = {name: json.dumps(parts[name]) for name in ("conversation_a", "conversation_b")}
    assert ranking(tmp_path, {**parts, **texts}) == expected


def test_the_arena_on_kaggle(tmp_path):
    """kaggle.com/competitions/lmsys-chatbot-arena, train.csv: prompt and answers are lists as JSON, three columns tell
    who won; the beginning of the first row as github.com/Thousand-Tech-Analytics/LLM-preference-modeling prints it.
    kaggle.com/competitions/wsdm-cup-multilingual-chatbot-arena, train.parquet, as github.com/Ekaterina-Gorodkova/
    Project_DL describes it: they are texts, and "winner" tells."""
    path = tmp_path / "train.csv"
    path.write_text(
        "id,model_a,model_b,prompt,response_a,response_b,winner_model_a,winner_model_b,winner_tie\n"
        '30192,gpt-4-1106-preview,gpt-4-0613,"[""Is it morally right?""]","[""The question of whether""]",'
        '"[""As an AI, I don\'t have personal beliefs""]",1,0,0\n',
        encoding="utf-8",
    )
    better, worse = "The question of whether", "As an AI, I don't have personal beliefs"
    assert read_rankings(path, BadRecords()) == [pair(user_prompt("Is it morally right?"), better, worse)]
    second = {"id": "00007cff", "prompt": "Why?", "response_a": "a", "response_b": "[sic] b", "winner": "model_b"}
    assert ranking(tmp_path, second) == pair(user_prompt("Why?"), "[sic] b", "a")
