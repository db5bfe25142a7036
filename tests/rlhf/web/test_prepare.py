"""The items that a class ranks: answers of the SFT policy to prompts B, known pairs beside them, and their measures."""

import pytest
import torch

from minigpt.runs.errors import UserError
from rlhf.chat_format import Turn, encode_prompt
from rlhf.people.labeler import grade
from rlhf.people.prompts import prompt_set
from rlhf.stage2_reward.network import load_reward_model
from rlhf.stage_io import load_tokenizer
from rlhf.web.app import main as serve
from rlhf.web.config import ItemsConfig, WebConfig
from rlhf.web.labels import export
from rlhf.web.prepare import encoded, known_pair, main
from rlhf.web.store import items
from rlhf.web.store.database import Database
from tests.rlhf.web.random_run import small_tokenizer, write_run


@pytest.fixture
def flags(tmp_path):
    write_run(tmp_path / "tiny", small_tokenizer())
    return ["--preset=tiny", f"--runs={tmp_path}", "--device=cpu", "--prompts=8", "--answers=3", "--max-new-tokens=6"]


def prepared(flags):
    main(flags)
    config = ItemsConfig(preset="tiny", runs=flags[1].split("=")[1])
    return list(items.every(Database(config.database)).values()), config


def test_items_are_answers_of_the_policy_to_prompts_b_with_their_measures(flags):
    made, config = prepared([*flags, "--known-share=0.25"])
    ordinary, known = [i for i in made if i.known is None], [i for i in made if i.known is not None]
    assert len(ordinary) == 8
    asked = {prompt.turns[-1].text: prompt for prompt in prompt_set("B", 15, 0)}
    tokenizer = load_tokenizer(config.run_dir)
    turns = [asked[item.prompt[-1]["content"]].turns for item in made]
    assert max(len(encode_prompt(tokenizer, each)) for each in turns) + 6 <= 64, "a prompt leaves no room for an answer"
    reward_model = load_reward_model(config.stage_dir("reward_model"), tokenizer).eval()
    for item in made:
        prompt = asked[item.prompt[-1]["content"]]
        assert prompt.turns == tuple(Turn(m["role"], m["content"]) for m in item.prompt)
        totals = [grade(prompt.request, *answer).total for answer in zip(item.texts, item.ended, strict=True)]
        assert list(item.gold) == totals
        if item.scores is not None:
            for ids, score in zip(encoded(item, tokenizer), item.scores, strict=True):
                with torch.inference_mode():
                    alone = reward_model(torch.tensor([ids]), torch.tensor([len(ids)]))
                torch.testing.assert_close(torch.tensor(score), alone[0], rtol=1e-4, atol=1e-4)
    assert any(item.scores is not None for item in made), "no item fits into the reward model: nothing was compared"
    assert len(known) == 2
    for item in known:
        assert item.gold[item.known] - item.gold[1 - item.known] >= 0.5, "a known pair whose better answer is not clear"


def test_preparing_again_adds_nothing(flags):
    first, _ = prepared(flags)
    again, config = prepared(flags)
    assert [item.texts for item in again] == [item.texts for item in first]
    assert export.ranking_lines(Database(config.database)) == []


def test_a_run_without_an_sft_policy_is_refused(tmp_path):
    small_tokenizer().save(tmp_path / "tiny" / "tokenizer.json")
    with pytest.raises(UserError, match=r"sft.checkpoint\.pt .*make stage1"):
        main(["--preset=tiny", f"--runs={tmp_path}", "--device=cpu"])
    assert not (tmp_path / "tiny-class").exists()


def test_a_prompt_without_a_clearly_worse_answer_gives_no_known_pair():
    class NoDifference:
        prompt = prompt_set("B", 1, 0)[0]
        texts = (prompt.ideal,)

        def gold(self):
            return (1.0,)

    answers = NoDifference()
    object.__setattr__(answers.prompt.request, "bad", (answers.prompt.ideal,))
    assert known_pair(answers) is None


# ---- The command that serves -------------------------------------------------------------------------------------


def test_without_a_run_the_server_says_how_to_make_one(tmp_path):
    with pytest.raises(UserError, match="make all PRESET=tiny"):
        serve(["--preset=tiny", f"--runs={tmp_path}"])
    assert list(tmp_path.iterdir()) == []


def test_a_port_that_is_taken_is_one_sentence(flags):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(UserError, match=f"--port {port} of 127.0.0.1: .*choose another one"):
            serve([*flags[:2], f"--port={port}"])


def test_secrets_that_are_damaged_are_named(flags):
    folder = WebConfig(preset="tiny", runs=flags[1].split("=")[1]).class_dir
    folder.mkdir()
    (folder / "secrets.json").write_text("{")
    with pytest.raises(UserError, match=r"secrets\.json is damaged"):
        serve(flags[:2])


@pytest.mark.parametrize("text", [b"no database", b"SQLite format 3\x00" + b"\xff" * 200])
def test_a_store_that_is_none_is_named_and_left_alone(flags, text):
    path = WebConfig(preset="tiny", runs=flags[1].split("=")[1]).database
    path.parent.mkdir()
    path.write_bytes(text)
    with pytest.raises(UserError, match=r"classroom\.sqlite cannot be used .*move it aside"):
        serve(flags[:2])
    assert path.read_bytes() == text


def test_a_store_of_another_version_is_left_alone(flags):
    path = WebConfig(preset="tiny", runs=flags[1].split("=")[1]).database
    Database(path).connection.execute("PRAGMA user_version = 99")
    with pytest.raises(UserError, match="of another version"):
        Database(path)
