"""Every kind of corpus reaches training; what is too long for memory gives the same tokens from a file."""

import json
import re
import shutil

import numpy as np
import pytest

from minigpt import pretraining_data
from minigpt.corpora.token_file import map_tokens, token_dtype, write_tokens
from minigpt.pretrain import PretrainConfig, main
from minigpt.pretrain import pretraining_data as read_again
from minigpt.pretraining_data import prepare
from minigpt.runs.checkpoint import load_checkpoint
from minigpt.runs.config import with_overrides
from minigpt.runs.errors import UserError
from minigpt.tokenizer import Tokenizer

FAST = ["--layers=1", "--channels=16", "--heads=2", "--context=32", "--vocab-size=280", "--batch-size=4", "--steps=4"]
FAST += ["--evaluate-every=2", "--checkpoint-every=2", "--device=cpu"]
TEXT = "\n".join(f"The cat number {n} sleeps on a mat.\n<|endoftext|>" for n in range(200))


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


def run(tmp_path, corpus, *more):
    main(["--runs", str(tmp_path / "runs"), "--corpus", str(corpus), *FAST, *more])
    return tmp_path / "runs" / "small" / "pretrain"


def config(tmp_path, corpus, **more) -> PretrainConfig:
    sizes = {"vocab_size": 280, "context": 32, "batch_size": 4}
    return with_overrides(PretrainConfig(), {"corpus": str(corpus), "runs": str(tmp_path / "runs"), **sizes, **more})


def held_back(capsys) -> float:
    return float(re.search(r"([\d.]+) % of all characters", capsys.readouterr().out)[1])


@pytest.mark.parametrize("lines", [1, 2])
def test_long_lines_are_trained_on_and_four_percent_of_them_are_held_back(tmp_path, capsys, lines):
    text = "\n".join(["some words here " * 6000] * lines)
    (tmp_path / "l.txt").write_text(text, encoding="utf-8")
    run(tmp_path, tmp_path / "l.txt", "--vocab-size=270")
    assert 3.5 <= held_back(capsys) <= 4.5


def test_two_documents_of_100_000_characters_are_not_halved(tmp_path, capsys):
    text = "\n<|endoftext|>\n".join(["some words here " * 6000] * 2)
    (tmp_path / "two.txt").write_text(text, encoding="utf-8")
    run(tmp_path, tmp_path / "two.txt", "--vocab-size=270")
    assert 3.5 <= held_back(capsys) <= 4.5


def test_a_context_of_one_is_refused_before_any_data_is_made(monkeypatch):
    monkeypatch.setattr(pretraining_data, "documents", None)
    with pytest.raises(UserError, match=r"--context: expected 2 or more"):
        main(["--preset=tiny", "--context=1"])


@pytest.mark.parametrize("name", ["corpus.txt.gz", "corpus.jsonl", "folder"])
def test_other_kinds_of_files_give_the_same_model(tmp_path, corpus, name):
    import gzip

    documents = [line for line in TEXT.split("\n") if line != "<|endoftext|>"]
    path = tmp_path / name
    if name == "folder":
        path.mkdir()
        (path / "part 1.txt").write_text("\n<|endoftext|>\n".join(documents[:90]), encoding="utf-8")
        path.joinpath("part 2.jsonl").write_text("\n".join(json.dumps({"text": d}) for d in documents[90:]))
    elif name == "corpus.jsonl":
        path.write_text("\n".join(json.dumps({"text": document}) for document in documents), encoding="utf-8")
    else:
        path.write_bytes(gzip.compress(TEXT.encode()))
    first, second = prepare(config(tmp_path, corpus), 280), prepare(config(tmp_path, path), 280)
    assert (first.digest, first.tokenizer.fingerprint) == (second.digest, second.tokenizer.fingerprint)
    assert first.training.tolist() == second.training.tolist()


# ---- Longer than memory ----


def test_tokens_in_a_file_are_those_in_memory_and_are_used_again(tmp_path, corpus, monkeypatch, capsys):
    stage = run(tmp_path, corpus)
    whole = load_checkpoint(stage / "checkpoint.pt")["model"]
    monkeypatch.setattr(pretraining_data, "IN_MEMORY", 1000)
    run(tmp_path, corpus, "--preset=medium", "--learning-rate=0.018", "--matrix-learning-rate=0.03")
    stage = tmp_path / "runs" / "medium" / "pretrain"
    files = sorted((stage.parent / "tokens").iterdir())
    assert [file.name.split("-")[1] for file in files] == ["train.bin", "validation.bin"]
    in_memory = prepare(config(tmp_path, corpus, preset="small"), 280)
    monkeypatch.setattr(pretraining_data, "write_tokens", None)  # what is there is not made again
    data = prepare(config(tmp_path, corpus, preset="medium"), 280)
    assert isinstance(data.training, np.memmap)
    assert data.training.tolist() == in_memory.training.tolist()
    again = read_again(stage, data.tokenizer)
    assert again.validation.tolist() == in_memory.validation.tolist()
    assert whole.keys() == load_checkpoint(stage / "checkpoint.pt")["model"].keys()


def test_later_stages_read_the_ids_that_pretraining_kept(tmp_path, corpus, monkeypatch):
    """Writing the toy world's documents again and encoding them took PPO and the evaluation seconds each."""
    stage = run(tmp_path, corpus)
    data = prepare(config(tmp_path, corpus), 280)  # the specification: written, divided and encoded again
    assert not isinstance(data.training, np.memmap), "this text counts as short"
    assert sorted((stage.parent / "tokens").iterdir()) == sorted(data.files)
    monkeypatch.setattr(pretraining_data, "pretraining_text", None)  # the text is not read again
    again = read_again(stage, data.tokenizer)
    assert again.training.tolist() == data.training.tolist()
    assert again.validation.tolist() == data.validation.tolist()
    assert again.training.dtype == data.training.dtype


def test_ids_that_were_deleted_are_encoded_again(tmp_path, corpus):
    stage = run(tmp_path, corpus)
    tokenizer = Tokenizer.load(stage.parent / "tokenizer.json")
    kept = read_again(stage, tokenizer).training.tolist()
    shutil.rmtree(stage.parent / "tokens")
    assert read_again(stage, tokenizer).training.tolist() == kept


def test_files_of_another_text_are_deleted_when_the_run_goes_ahead_and_not_before(tmp_path, corpus, monkeypatch):
    monkeypatch.setattr(pretraining_data, "IN_MEMORY", 1000)
    stage = run(tmp_path, corpus)
    before = {path.name for path in (stage.parent / "tokens").iterdir()}
    corpus.write_text(TEXT.replace("cat", "dog"), encoding="utf-8")
    with pytest.raises(UserError, match="too short"):
        run(tmp_path, corpus, "--batch-size=100")
    assert before < {path.name for path in (stage.parent / "tokens").iterdir()}
    run(tmp_path, corpus)
    assert before.isdisjoint({path.name for path in (stage.parent / "tokens").iterdir()})


def test_a_long_text_trains_the_tokenizer_on_every_nth_document(tmp_path, corpus, monkeypatch):
    seen = []
    monkeypatch.setattr(Tokenizer, "train", lambda texts, size, special: seen.extend(texts) or Tokenizer([]))
    monkeypatch.setattr(pretraining_data, "TOKENIZER_CHARACTERS", len(TEXT) // 4)
    prepare(config(tmp_path, corpus), 280)
    assert 200 // 5 <= len(seen) <= 200 // 3, "every third, fourth or fifth of about 193"
    assert int(re.search(r"\d+", seen[-1])[0]) > 180, "the end of the text is not among them"


def test_a_corpus_that_has_changed_is_not_evaluated_on(tmp_path, corpus):
    stage = run(tmp_path, corpus)
    tokenizer = Tokenizer.load(stage.parent / "tokenizer.json")
    before = read_again(stage, tokenizer).validation.tolist()
    corpus.write_text(TEXT + "\nmore", encoding="utf-8")
    assert read_again(stage, tokenizer).validation.tolist() == before, "the ids of the text of then were kept"
    shutil.rmtree(stage.parent / "tokens")
    with pytest.raises(UserError, match="has changed since the base model was trained"):
        read_again(stage, tokenizer)


# ---- nanoGPT's files ----


@pytest.fixture
def tokenizer(tmp_path):
    made = Tokenizer.train([TEXT], 280)
    made.save(tmp_path / "tokenizer.json")
    return made


@pytest.mark.parametrize("beside", [True, False])
def test_train_bin_is_read_as_nanogpt_leaves_it(tmp_path, tokenizer, beside, capsys):
    ids = tokenizer.encode(TEXT)
    np.array(ids, dtype=np.uint16).tofile(tmp_path / "train.bin")  # as in its data/openwebtext/prepare.py
    if beside:
        np.array(ids[:500], dtype=np.uint16).tofile(tmp_path / "val.bin")
    data = prepare(config(tmp_path, tmp_path / "train.bin", tokenizer=str(tmp_path / "tokenizer.json")), 280)
    if beside:
        assert (data.training.tolist(), data.validation.tolist()) == (ids, ids[:500])
    else:
        assert [*data.training, *data.validation] == ids
        assert len(data.validation) == round(0.04 * len(ids))
    stage = run(tmp_path, tmp_path / "train.bin", f"--tokenizer={tmp_path / 'tokenizer.json'}")
    assert load_checkpoint(stage / "checkpoint.pt")["tokenizer"] == tokenizer.fingerprint
    assert "held back for validation" in capsys.readouterr().out
    assert read_again(stage, tokenizer).digest == data.digest


def test_train_bin_without_or_with_a_wrong_tokenizer(tmp_path, tokenizer):
    np.array([1, 2, 300, 4] * 100, dtype=np.uint16).tofile(tmp_path / "train.bin")
    with pytest.raises(UserError, match="--tokenizer"):
        prepare(config(tmp_path, tmp_path / "train.bin"), 280)
    with pytest.raises(UserError, match=r"train\.bin: token 2 is 300, but the tokenizer has 280 tokens"):
        prepare(config(tmp_path, tmp_path / "train.bin", tokenizer=str(tmp_path / "tokenizer.json")), 280)
    for content in (b"", b"abc"):
        (tmp_path / "train.bin").write_bytes(content)
        with pytest.raises(UserError, match="no file of token ids"):
            prepare(config(tmp_path, tmp_path / "train.bin", tokenizer=str(tmp_path / "tokenizer.json")), 280)


@pytest.mark.parametrize(("vocab_size", "size"), [(1, 2), (65_536, 2), (65_537, 4)])
def test_the_type_of_a_token_holds_every_id(tmp_path, vocab_size, size):
    blocks = [np.array([vocab_size - 1, 0], token_dtype(vocab_size)), np.array([0], token_dtype(vocab_size))]
    write_tokens(tmp_path / "t.bin", blocks)
    assert (tmp_path / "t.bin").stat().st_size == 3 * size
    assert map_tokens(tmp_path / "t.bin", vocab_size).tolist() == [vocab_size - 1, 0, 0]


# ---- Special tokens of one's own ----


def test_own_special_tokens_are_read_in_the_corpus_and_chat_tokens_are_not(tmp_path, corpus):
    corpus.write_text(TEXT.replace("sleeps", "<|en|>sleeps").replace("mat", "<|end|>"), encoding="utf-8")
    stage = run(tmp_path, corpus, "--special-tokens=<|en|>,<|de|>")
    tokenizer = Tokenizer.load(stage.parent / "tokenizer.json")
    assert (tokenizer.own_special_tokens, tokenizer.vocab_size) == (("<|en|>", "<|de|>"), 280)
    data = read_again(stage, tokenizer)
    (tag,) = tokenizer.encode("<|en|>", allow_special=True)
    assert data.training.tolist().count(tag) + data.validation.tolist().count(tag) == 200
    assert tokenizer.end_id not in data.training.tolist()
    for flags in (["--special-tokens=<|end|>"], ["--special-tokens=<x>", "--tokenizer=t.json"]):
        with pytest.raises(UserError, match="special"):
            run(tmp_path, corpus, *flags)
