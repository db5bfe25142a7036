"""Talking to tiny random models: what is remembered, forgotten, scored and refused."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from minigpt.model import GPT, GPTConfig
from minigpt.runs.checkpoint import save_checkpoint
from minigpt.runs.config import to_dict
from minigpt.runs.errors import UserError
from minigpt.tokenizer import Tokenizer
from rlhf.chat import Chat, ChatConfig, converse, describe, main, score_answer
from rlhf.chat_format import Turn, encode_prompt
from rlhf.stage2_reward.network import RewardModel

ROOT = Path(__file__).resolve().parents[2]
CONTEXT = 48
CONFIG = GPTConfig(vocab_size=280, context=CONTEXT, layers=1, heads=2, channels=16)


def save_model(run_dir, stage, kind, model, tokenizer):
    payload = {"kind": kind, "config": to_dict(CONFIG), "model": model.state_dict(), "tokenizer": tokenizer.fingerprint}
    save_checkpoint(run_dir / stage / "checkpoint.pt", payload)


@pytest.fixture
def runs(tmp_path):
    """A run with a base and an SFT model and a reward model, all random; PPO has not been trained."""
    run_dir = tmp_path / "small"
    tokenizer = Tokenizer.train(["The cat sleeps on the mat. What does the cat do? " * 20], CONFIG.vocab_size)
    tokenizer.save(run_dir / "tokenizer.json")
    for seed, stage in enumerate(("pretrain", "sft")):
        save_model(run_dir, stage, "gpt", GPT(CONFIG, seed=seed), tokenizer)
    reward_model = RewardModel(GPT(CONFIG, seed=2), torch.Generator().manual_seed(0))
    save_model(run_dir, "reward_model", "reward_model", reward_model, tokenizer)
    return tmp_path


def chat_with(runs, stage="sft", **options):
    return Chat(ChatConfig(runs=str(runs), stage=stage, device="cpu", **{"max_new_tokens": 6, **options}))


def test_the_next_question_sees_the_turns_before(runs, monkeypatch):
    chat = chat_with(runs)
    chat.turns = [Turn("user", "The cat?"), Turn("assistant", "The mat.")]
    asked = []
    monkeypatch.setattr("rlhf.chat.generate", lambda model, prompts, **rest: asked.append(prompts) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        chat.say("What?")
    assert asked == [[encode_prompt(chat.tokenizer, [*chat.turns, Turn("user", "What?")])]]


def test_question_and_answer_join_the_conversation(runs):
    chat = chat_with(runs)
    reply = chat.say("The cat?")
    assert chat.turns == [Turn("user", "The cat?"), Turn("assistant", reply.text)]


def test_the_score_is_the_reward_models_of_prompt_and_answer(runs):
    chat = chat_with(runs)
    prompt = encode_prompt(chat.tokenizer, [Turn("user", "The cat?")])
    answer = chat.tokenizer.encode("The mat.")
    for ended, ids in ((True, [*prompt, *answer, chat.tokenizer.end_id]), (False, [*prompt, *answer])):
        with torch.no_grad():
            expected = chat.reward_model(torch.tensor([ids]), torch.tensor([len(ids)])).item()
        score = score_answer(chat.reward_model, chat.tokenizer, [Turn("user", "The cat?")], answer, ended)
        assert score == pytest.approx(expected, abs=1e-6), "an answer that was cut has no end token to be scored at"
    assert chat.say("The cat?").score is not None


def test_without_a_reward_model_there_is_no_score(runs):
    (runs / "small" / "reward_model" / "checkpoint.pt").unlink()
    reply = chat_with(runs).say("The cat?")
    assert reply.score is None
    assert "reward model" not in describe(reply, "sft", CONTEXT)


def test_the_oldest_turns_are_dropped_in_pairs(runs):
    chat = chat_with(runs)
    forgotten = [chat.say("What does the cat do on the mat?").forgotten for _ in range(6)]
    assert forgotten[0] == 0
    assert 2 in forgotten, "a conversation that outgrows the context must forget"
    assert all(count % 2 == 0 for count in forgotten), "a question goes with its answer"
    assert chat.turns[0].role == "user"
    assert len(encode_prompt(chat.tokenizer, chat.turns)) <= CONTEXT
    assert "no longer fit into 48 tokens" in describe(chat.say("What does the cat do on the mat?"), "sft", CONTEXT)


def test_a_message_that_is_too_long_alone_is_refused_and_forgotten(runs):
    chat = chat_with(runs)
    chat.say("The cat?")
    before = list(chat.turns)
    with pytest.raises(UserError, match="leave room for an answer: shorten it"):
        chat.say("xyz " * 60)
    assert chat.turns == before


def test_the_base_model_is_asked_in_plain_text(runs, monkeypatch):
    asked = []
    monkeypatch.setattr("rlhf.chat.generate", lambda model, prompts, **rest: asked.append((prompts, rest)) or 1 / 0)
    chat = chat_with(runs, stage="base")
    with pytest.raises(ZeroDivisionError):
        chat.say("The cat?")
    prompts, rest = asked[0]
    tokenizer = chat.tokenizer
    assert prompts == [[tokenizer.end_of_text_id, *tokenizer.encode("The cat?\n")]]
    assert rest["stop_tokens"] == [tokenizer.end_of_text_id]


def test_a_stage_that_does_not_exist_or_is_not_trained_leaves_the_old_one(runs):
    chat = chat_with(runs)
    model = chat.model
    with pytest.raises(UserError, match=r"no stage 'bse'.*did you mean base"):
        chat.switch("bse")
    with pytest.raises(UserError, match="run `make stage3` first"):
        chat.switch("ppo")
    assert (chat.stage, chat.model) == ("sft", model)
    chat.switch("base")
    assert chat.model is not model


def test_commands_work_in_a_pipe(runs, capsys):
    chat = chat_with(runs)
    converse(chat, io.StringIO("The cat?\n\n/stage base\nThe mat?\n/reset\n/quit\nnever asked\n"))
    out = capsys.readouterr().out
    assert [line.split(":")[0] for line in out.splitlines() if line.startswith(("sft:", "base:"))] == ["sft", "base"]
    assert out.count("reward model") == 2
    assert "(base answers from here on)" in out
    assert chat.turns == [], "/reset forgets, and nothing after /quit is read"


def test_a_mistake_ends_a_pipe(runs):
    with pytest.raises(UserError, match=r"no command /rest.*did you mean /reset"):
        converse(chat_with(runs), io.StringIO("/rest\nThe cat?\n"))


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_mistake_at_a_terminal_is_pointed_out_and_the_talk_goes_on(runs, monkeypatch, capsys):
    typed = iter(["/rest", "The cat?"])

    def answer(prompt):
        line = next(typed, None)
        if line is None:
            raise EOFError
        return line

    monkeypatch.setattr("builtins.input", answer)
    converse(chat_with(runs), Terminal())
    out = capsys.readouterr().out
    assert "did you mean /reset" in out
    assert "sft:" in out


def test_the_command_ends_quietly_at_ctrl_c(runs, monkeypatch, capsys):
    def interrupt(prompt):
        raise KeyboardInterrupt

    monkeypatch.setattr("builtins.input", interrupt)
    monkeypatch.setattr("sys.stdin", Terminal())
    main(["--runs", str(runs), "--stage", "sft"])
    assert "sft of" in capsys.readouterr().out


def test_equal_seeds_give_equal_answers(runs):
    assert chat_with(runs, seed=1).say("The cat?") == chat_with(runs, seed=1).say("The cat?")


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "cp1252"])
def test_a_byte_that_is_no_character_does_not_end_the_talk(runs, encoding):
    command = [sys.executable, "-m", "rlhf.chat", "--stage=sft", f"--runs={runs}", "--device=cpu"]
    environment = {**os.environ, "PYTHONIOENCODING": f"{encoding}:strict", "OMP_NUM_THREADS": "1"}
    typed = b"caf\xe9 \x81\n\xf0\x9f\xa6\x8a?\n"
    done = subprocess.run(command, input=typed, capture_output=True, cwd=ROOT, env=environment, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.count(b"reward model") == 2, "one of the two messages was not answered"
