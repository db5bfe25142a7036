"""The command says what a file is, how much of it fits, and shows its first record as the stages encode it."""

import json
import re

import pytest

from minigpt.runs.errors import UserError
from minigpt.tokenizer import Tokenizer
from rlhf.chat_format import encode_prompt, encode_response, user_prompt
from rlhf.data_formats.__main__ import main
from rlhf.data_formats.check import check, encoded
from rlhf.records import Demonstration, Ranking
from rlhf.stage1_sft.examples import collate, encode_demonstration

TOKENIZER = Tokenizer.train(["What does a cow eat? A cow eats grass."], 270)


def written(folder, lines, name="mine.jsonl"):
    path = folder / name
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), encoding="utf-8")
    return path


def test_demonstrations(tmp_path):
    lines = [{"prompt": "What does a cow eat?", "response": "Grass."}] * 9 + [
        {"prompt": "cow " * 50, "response": "a"},
        "{",
    ]
    said = check(written(tmp_path, lines), TOKENIZER, 40)
    assert said[0].endswith("mine.jsonl: JSON lines, demonstrations (prompt, response)")
    assert (
        said[1] == "10 demonstrations can be read, for `python -m rlhf.stage1_sft --demonstrations`; 1 records cannot"
    )
    assert "line 11: not valid JSON" in said[2]
    assert said[3].startswith("9 of them fit into a context of 40 tokens")
    rows = [re.fullmatch(r" *(\d+) +([01])  (.*)", line) for line in said]
    ids = [int(row[1]) for row in rows if row]
    prompt, response = (
        encode_prompt(TOKENIZER, user_prompt("What does a cow eat?")),
        encode_response(TOKENIZER, "Grass."),
    )
    assert ids == prompt + response
    assert [int(row[2]) for row in rows if row] == [0] * len(prompt) + [1] * len(response)
    assert "'<|assistant|>'" in [row[3] for row in rows if row]


def test_the_mask_is_that_of_stage_1():
    item = Demonstration(user_prompt("What does a cow eat?"), "Grass.")
    ((ids, learned),) = encoded(TOKENIZER, item)
    batch = collate([encode_demonstration(TOKENIZER, item, 64, "here")], TOKENIZER.pad_id)
    targets = batch.targets[0].tolist()
    assert [token for token, mask in zip(ids, learned, strict=True) if mask] == [t for t in targets if t >= 0]
    assert learned[1:] == [target >= 0 for target in targets], "a mask that is off by one"


def test_rankings_show_each_answer(tmp_path):
    said = check(written(tmp_path, [{"prompt": "a", "chosen": "b", "rejected": "c"}]), TOKENIZER, 40)
    assert "1 rankings can be read, for `python -m rlhf.stage2_reward --rankings`" in said[1]
    assert said.count("    id  mask  token") == 2
    item = Ranking(user_prompt("a"), ("b", "c"), (0, 1), (True, False))
    (first, _), (second, mask) = encoded(TOKENIZER, item)
    assert len(first) == len(second) + 1, "an answer that was cut off has no end token"
    assert mask[-1]
    assert sum(mask) == 1


def test_a_long_record_is_shown_without_its_middle(tmp_path):
    said = check(written(tmp_path, [{"prompt": "x" * 500, "response": "y"}]), TOKENIZER, 40)
    assert any("more" in line and "…" in line for line in said)
    assert len(said) < 90


def test_a_file_of_which_nothing_can_be_read_is_described_in_one_sentence(tmp_path):
    with pytest.raises(UserError) as error:
        check(written(tmp_path, ["{", '{"prompt": 1, "response": "a"}']), TOKENIZER, 40)
    assert "JSON lines, of which no record can be read; the first: " in str(error.value)
    assert "line 1: not valid JSON" in str(error.value)
    assert "--skip-bad" not in str(error.value), "nobody has asked for it"


@pytest.mark.parametrize("name", ["mine.txt", "mine.jsonl"])
def test_text_is_for_pretraining(tmp_path, name):
    content = ["Once upon a time."] if name == "mine.txt" else [{"text": "Once upon a time."}]
    said = check(written(tmp_path, content, name), TOKENIZER, 40)
    assert "text, for `python -m minigpt.pretrain --corpus`" in said[0]
    assert "1 documents, 17 characters" in said[1]


def test_the_command(tmp_path, capsys):
    path = written(tmp_path, [{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}])
    main(["check", str(path), "--runs", str(tmp_path / "runs")])
    out = capsys.readouterr().out
    assert "chats (messages)" in out
    assert "context of 128 bytes" in out, "without a tokenizer it must not speak of tokens"
    TOKENIZER.save(tmp_path / "runs" / "small" / "tokenizer.json")
    main(["check", str(path), "--runs", str(tmp_path / "runs"), "--context", "64"])
    assert "context of 64 tokens" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ([], "expected `python -m rlhf.data_formats check FILE`"),
        (["chekc", "a"], "did you mean check"),
        (["check"], "name the file"),
        (["check", "absent.jsonl"], "cannot read absent.jsonl"),
    ],
)
def test_a_wrong_command_is_one_sentence(argv, says):
    with pytest.raises(UserError, match=says):
        main(argv)
