"""The stages learn from files of every format, the same from the same data, and from real people's preferences."""

import gzip
import itertools
import json
import math
import re
from pathlib import Path

import pytest
import torch

from minigpt.model import GPT, GPTConfig
from minigpt.pretrain import PRESETS
from minigpt.runs.checkpoint import load_checkpoint, save_checkpoint
from minigpt.runs.config import to_dict
from minigpt.runs.errors import UserError
from minigpt.tokenizer import Tokenizer
from rlhf.alternatives import dpo
from rlhf.bad_records import BadRecords
from rlhf.chat_format import Turn, encode_prompt, encode_response, user_prompt
from rlhf.data_formats.formats import read_demonstrations
from rlhf.data_formats.hh import split_pair, transcript
from rlhf.records import Demonstration, Ranking, messages, write_demonstrations
from rlhf.stage1_sft import stage as sft
from rlhf.stage2_reward import stage as reward_model
from rlhf.stage2_reward.examples import encode_rankings

DATA = Path(__file__).resolve().parents[4] / "shared" / "data" / "hh-rlhf-harmless-base-test.jsonl.gz"
TALK = (Turn("user", "Where does a cow live?"), Turn("assistant", "On a farm."), Turn("user", "And what does it eat?"))
PAIRS = [(TALK, "Grass.", "Meat."), (user_prompt("What does a fox eat?"), "Mice.", "No.")] * 4


def made_run(folder: Path, texts: list[str], context: int, vocab_size: int = 270) -> Tokenizer:
    """A run with a tokenizer of these texts and random models before stage 1 and 2."""
    tokenizer = Tokenizer.train(texts, vocab_size)
    tokenizer.save(folder / "tokenizer.json")
    config = GPTConfig(vocab_size=tokenizer.vocab_size, context=context, layers=1, heads=2, channels=16)
    payload = {"kind": "gpt", "config": to_dict(config), "tokenizer": tokenizer.fingerprint}
    for stage in ("pretrain", "sft"):
        save_checkpoint(folder / stage / "checkpoint.pt", {**payload, "model": GPT(config).state_dict()})
    write_demonstrations(folder / "sft" / "demonstrations.jsonl", [Demonstration(user_prompt("Hi"), "Ho")])
    return tokenizer


@pytest.fixture(autouse=True)
def without_curves(monkeypatch):
    """To draw them takes six times as long as all the rest."""
    monkeypatch.setattr("minigpt.runs.folder.draw_curves", lambda *arguments: None)


@pytest.fixture
def folder(tmp_path):
    made_run(tmp_path / "runs" / "tiny", ["What does a cow eat? Grass."], context=128)
    return tmp_path


def train(stage, folder: Path, flag: str, lines: list, *more: str) -> dict:
    """Write a file, learn from it, and return the weights that were learned."""
    path = folder / "mine.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    arguments = ["--preset=tiny", f"--runs={folder / 'runs'}", flag, str(path), "--device=cpu", "--batch-size=2"]
    stage.main([*arguments, "--epochs=1", "--warmup-steps=1", *more])
    return load_checkpoint(folder / "runs" / "tiny" / stage.STAGE / "checkpoint.pt")["model"]


def same(some, others) -> bool:
    return some.keys() == others.keys() and all(torch.equal(some[name], others[name]) for name in some)


def ranking(turns, chosen, rejected):
    return {"prompt": messages(turns), "responses": [rejected, chosen], "ranks": [1, 0]}


def demonstration(turns, chosen, rejected):
    return {"prompt": messages(turns), "response": chosen}


def scored(turns, chosen, rejected):
    return {"prompt": messages(turns), "responses": [chosen, rejected], "scores": [7, 6.5]}


def preference(turns, chosen, rejected):
    return {"prompt": messages(turns), "chosen": chosen, "rejected": rejected}


def hh(turns, chosen, rejected):
    return {"chosen": transcript(turns, chosen), "rejected": transcript(turns, rejected)}


@pytest.mark.parametrize(
    ("stage", "flag", "ours", "theirs"),
    [
        (reward_model, "--rankings", scored, hh),
        (dpo, "--rankings", scored, preference),
        (sft, "--demonstrations", demonstration, hh),
        (sft, "--demonstrations", demonstration, ranking),
    ],
)
def test_a_stage_learns_the_same_from_the_same_data_in_another_format(folder, stage, flag, ours, theirs):
    """That the records are the same is tested for every format in test_formats."""
    learned = train(stage, folder, flag, [ours(*pair) for pair in PAIRS])
    again = train(stage, folder, flag, [theirs(*pair) for pair in PAIRS])
    assert same(learned, again), "other tokens, or another order"
    other = [ours(turns, rejected, chosen) for turns, chosen, rejected in PAIRS]
    assert not same(learned, train(stage, folder, flag, other)), "the data decides nothing: this test cannot fail"


@pytest.mark.parametrize(
    ("stage", "flag"),
    [
        (reward_model, "--rankings"),
        (dpo, "--rankings"),
        (sft, "--demonstrations"),
    ],
)
def test_skip_bad_leaves_out_what_is_malformed_or_too_long_and_learns_from_the_rest(folder, capsys, stage, flag):
    good = [preference(*pair) for pair in PAIRS]
    long = {**good[0], "prompt": "long " * 100}
    lines = [good[0], {"prompt": "a"}, *good[1:3], long, *good[3:]]
    with pytest.raises(UserError, match=r'mine\.jsonl, line 2: the field "chosen" is missing'):
        train(stage, folder, flag, lines)
    with pytest.raises(UserError, match=r"mine\.jsonl, line 4: .*context is 128"):
        train(stage, folder, flag, [*good[:3], long])
    capsys.readouterr()
    skipped = train(stage, folder, flag, lines, "--skip-bad")
    told = capsys.readouterr().err.splitlines()
    start = told.index(f"{folder / 'mine.jsonl'}: 8 records kept, 2 left out (--skip-bad):")
    assert "line 2" in told[start + 1], told
    assert "line 5" in told[start + 2], told
    assert same(skipped, train(stage, folder, flag, good)), "records and their prompts must go together"
    with pytest.raises(UserError, match=r"nothing is left, --skip-bad left out all 2; the first: .*line 1"):
        train(stage, folder, flag, [long, long], "--skip-bad")


def test_rankings_and_their_ids_stay_together_when_one_does_not_fit():
    tokenizer, bad = Tokenizer.train(["What does a cow eat?"], 262), BadRecords(skip=True)
    items = [Ranking(user_prompt(text), ("a", "b"), (0, 1), (True, True)) for text in ("one", "far too long", "two")]
    fitting, comparisons = encode_rankings(tokenizer, items, 8, bad)
    assert fitting == [items[0], items[2]], "DPO would show the prompts of other rankings than those held out"
    prompts = [(*encode_prompt(tokenizer, item.turns), *tokenizer.encode("a"), tokenizer.end_id) for item in fitting]
    assert [comparison.sequences[0] for comparison in comparisons] == prompts
    assert bad.reasons[0].startswith("ranking 2: ")


def test_what_stage_1_leaves_for_stage_2_is_what_it_learned_from(folder):
    lines = [{"messages": messages((*turns, Turn("assistant", chosen)))} for turns, chosen, _ in PAIRS]
    train(sft, folder, "--demonstrations", [{"messages": []}, *lines], "--skip-bad")
    kept = read_demonstrations(folder / "runs" / "tiny" / "sft" / "demonstrations.jsonl", BadRecords())
    assert kept == [Demonstration(turns, chosen) for turns, chosen, _ in PAIRS]


def test_of_one_demonstration_none_is_held_back_and_that_is_said(folder, capsys):
    train(sft, folder, "--demonstrations", [demonstration(*PAIRS[0])])
    out = capsys.readouterr().out
    assert "none was held back, so there is no validation loss" in out
    assert "nan" not in out


@pytest.mark.parametrize("stage", [reward_model, dpo])
def test_a_ranking_to_learn_from_and_one_to_measure_on_are_the_least(folder, stage):
    with pytest.raises(
        UserError, match=r"1 ranking is too few: one is needed to learn from, and another to measure on"
    ):
        train(stage, folder, "--rankings", [scored(*PAIRS[0])])
    tie = {**scored(*PAIRS[0]), "scores": [1, 1]}
    with pytest.raises(UserError, match=r"1 rankings held back for validation are all ties"):
        train(stage, folder, "--rankings", [scored(*PAIRS[0]), scored(*PAIRS[1]), tie])


# ---- Real people's preferences -----------------------------------------------------------------------------------


def test_a_reward_model_learns_from_real_pairs(tmp_path, capsys):
    if not DATA.exists():
        pytest.skip(f"{DATA} is not here: the real pairs are not part of the repository")
    with gzip.open(DATA, "rt", encoding="utf-8") as file:
        lines = list(itertools.islice(file, 100))
    said = [json.loads(line) for line in lines]
    context = 256
    tokenizer = made_run(tmp_path / "runs" / "tiny", [data["chosen"] for data in said], context, vocab_size=600)
    path = tmp_path / "hh.jsonl.gz"
    path.write_bytes(gzip.compress("".join(lines).encode()))

    def length(turns, answer):
        return len(encode_prompt(tokenizer, turns)) + len(encode_response(tokenizer, answer))

    records = [split_pair(data["chosen"], data["rejected"], "here") for data in said]
    fitting = sum(max(length(turns, chosen), length(turns, rejected)) <= context for turns, chosen, rejected in records)
    assert 20 <= fitting < 60, "this example shows nothing"
    arguments = ["--preset=tiny", f"--runs={tmp_path / 'runs'}", "--rankings", str(path), "--device=cpu"]
    with pytest.raises(UserError, match=r"hh\.jsonl\.gz, line \d+: .*context is 256"):
        reward_model.main(arguments)
    reward_model.main([*arguments, "--skip-bad", "--batch-size=8", "--epochs=6", "--evaluate-every=0"])
    told = capsys.readouterr().err
    assert re.search(rf"hh\.jsonl\.gz: {fitting} records kept, {100 - fitting} left out", told), told
    stage = tmp_path / "runs" / "tiny" / "reward_model"
    summary = json.loads((stage / "summary.json").read_text(encoding="utf-8"))
    assert summary["held_out_prompts"] == round(0.1 * fitting)
    rows = [json.loads(line) for line in (stage / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    losses = [row["loss"] for row in rows if "loss" in row]
    assert abs(losses[0] - math.log(2)) < 0.1, "at first the scores know nothing"
    assert losses[-1] < 0.5, "four dozen pairs, each seen six times, should be known by heart in part"


def test_four_hundred_real_pairs_in_the_context_of_the_tiny_preset(tmp_path, capsys):
    """Most are left out, and what remains is soon known by heart: a warning names a context that would hold them."""
    if not DATA.exists():
        pytest.skip(f"{DATA} is not here: the real pairs are not part of the repository")
    with gzip.open(DATA, "rt", encoding="utf-8") as file:
        lines = list(itertools.islice(file, 400))
    said, context = [json.loads(line) for line in lines], PRESETS["tiny"]["context"]
    tokenizer = made_run(tmp_path / "runs" / "tiny", [data["chosen"] for data in said[:50]], context, vocab_size=600)
    path = tmp_path / "hh.jsonl"
    path.write_text("".join(lines), encoding="utf-8")
    arguments = ["--preset=tiny", f"--runs={tmp_path / 'runs'}", "--rankings", str(path), "--device=cpu"]
    reward_model.main([*arguments, "--skip-bad", "--batch-size=8", "--epochs=1", "--evaluate-every=0"])
    told = capsys.readouterr().err
    (warning,) = [line for line in told.splitlines() if line.startswith("warning: ")]
    left_out, needed = map(int, re.search(r"(\d+) of 400 .* a context of (\d+) would hold 90%", warning).groups())

    def length(turns, *answers):
        return max(len(encode_prompt(tokenizer, turns)) + len(encode_response(tokenizer, answer)) for answer in answers)

    lengths = [length(*split_pair(data["chosen"], data["rejected"], "here")) for data in said]
    assert left_out == sum(tokens > context for tokens in lengths) > 200, "this example shows nothing"
    fitting = sum(tokens <= needed for tokens in lengths)
    assert fitting >= 360, "the context that is named holds less than 90 %"
    assert sum(tokens < needed for tokens in lengths) < 360, "a smaller context would do"
    assert f"hh.jsonl: most of the data does not fit: {left_out} of 400" in warning
    assert f"python -m minigpt.pretrain --context {needed}" in warning
