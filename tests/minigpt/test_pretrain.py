"""The first command of the chain, from text to a checkpoint, and what it says to bad input."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from minigpt.data import IGNORE, tokenize_documents
from minigpt.model import GPT, GPTConfig
from minigpt.objective import LanguageModelObjective, evaluate_language_model, next_token_loss_sum
from minigpt.pretrain import PRESETS, PretrainConfig, main
from minigpt.runs.checkpoint import load_checkpoint
from minigpt.runs.config import from_dict, with_overrides
from minigpt.runs.errors import UserError
from minigpt.tokenizer import Tokenizer

ROOT = Path(__file__).resolve().parents[2]
TEXT = "\n".join(f"The cat number {n} sleeps on a mat.\n<|endoftext|>" for n in range(120))
FAST = ["--layers=1", "--channels=16", "--heads=2", "--context=32", "--vocab-size=280", "--batch-size=4", "--steps=4"]
FAST += ["--evaluate-every=2", "--checkpoint-every=2", "--device=cpu"]


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


def run(tmp_path, corpus, *more):
    main(["--runs", str(tmp_path / "runs"), "--corpus", str(corpus), *FAST, *more])
    return tmp_path / "runs" / "small" / "pretrain"


def test_own_text_becomes_a_self_describing_checkpoint(tmp_path, corpus, capsys):
    stage = run(tmp_path, corpus)
    tokenizer = Tokenizer.load(stage.parent / "tokenizer.json")
    saved = load_checkpoint(stage / "checkpoint.pt", kind="gpt", fingerprint=tokenizer.fingerprint)
    config = from_dict(GPTConfig, saved["config"], "checkpoint.pt")
    assert config.vocab_size == tokenizer.vocab_size
    GPT(config).load_state_dict(saved["model"])
    rows = [json.loads(line) for line in (stage / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert rows[0]["eval_loss"] == pytest.approx(math.log(tokenizer.vocab_size), abs=0.1), "not a fresh model"
    assert rows[-1]["eval_loss"] < rows[0]["eval_loss"]
    assert rows[-1]["num_tokens"] == 4 * 4 * 32
    assert "bits per byte" in capsys.readouterr().out
    page = (stage / "samples.md").read_text(encoding="utf-8")
    assert "## After step 4" in page
    assert "[]" in page
    assert "[The cat" in page, "samples continue the beginnings of held-out documents"


def test_stopped_and_resumed_is_the_same_run(tmp_path, corpus, monkeypatch, capsys):
    stage = run(tmp_path, corpus)
    whole = load_checkpoint(stage / "checkpoint.pt")
    real = LanguageModelObjective.micro_batches

    def stop_at_step_3(self, step):
        if step == 3:
            raise KeyboardInterrupt
        return real(self, step)

    monkeypatch.setattr(LanguageModelObjective, "micro_batches", stop_at_step_3)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, corpus)
    monkeypatch.undo()
    run(tmp_path, corpus)
    assert "resuming after step 3" in capsys.readouterr().out, "the tokenizer or the digest of the text changed"
    resumed = load_checkpoint(stage / "checkpoint.pt")
    for name, weight in whole["model"].items():
        assert torch.equal(weight, resumed["model"][name]), f"{name} differs after a resumed run"


def test_an_edited_corpus_is_another_run(tmp_path, corpus, monkeypatch):
    def stop(self, step):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(LanguageModelObjective, "micro_batches", stop)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, corpus)
    before = {path: path.read_bytes() for path in (tmp_path / "runs").rglob("*") if path.is_file()}
    corpus.write_text(TEXT + "\nOne more line.\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"resume-000000\.pt .*\(tokenizer has changed, text has changed\)"):
        run(tmp_path, corpus)
    after = {path: path.read_bytes() for path in (tmp_path / "runs").rglob("*") if path.is_file()}
    assert after == before, "the tokenizer of the stopped run, or something else of it, is lost"
    corpus.write_text(TEXT, encoding="utf-8")
    run(tmp_path, corpus)


def test_toy_world_is_the_default_corpus(tmp_path):
    main(["--runs", str(tmp_path), "--documents", "60", *FAST, "--vocab-size=400"])
    assert (tmp_path / "small" / "pretrain" / "checkpoint.pt").exists()


@pytest.mark.parametrize("name", list(PRESETS))
def test_presets_are_complete_and_fit_together(name):
    config = with_overrides(PretrainConfig(), PRESETS[name])
    assert config.training.steps > config.training.warmup_steps
    assert config.model.channels % config.model.heads == 0


# ---- Bad input ----


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "holds no text"),
        (b" \n\n \n", "holds no text"),
        (b"ab\0cd", "not a text file"),
        (b"caf\xe9 noir", "UTF-8"),
        (b"too short", "too short"),
    ],
)
def test_bad_corpus_is_one_sentence_and_nothing_is_written(tmp_path, content, complaint):
    path = tmp_path / "corpus.txt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=complaint) as error:
        run(tmp_path, path)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "runs").exists(), "something was written before the input was checked"


def test_missing_corpus_and_mistyped_flag(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        run(tmp_path, tmp_path / "absent.txt")
    with pytest.raises(UserError, match="--learning-rate"):
        main(["--learning-rat", "0.1"])
    with pytest.raises(UserError, match="tiny"):
        main(["--preset", "tinny"])
    with pytest.raises(UserError, match="--documents"):
        main(["--documents", "1"])


def test_the_command_exits_with_status_2_and_no_traceback(tmp_path):
    path = tmp_path / "empty.txt"
    path.write_bytes(b"")
    command = [sys.executable, "-m", "minigpt.pretrain", "--runs", str(tmp_path / "runs"), "--corpus", str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8", check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1, f"more than one sentence:\n{done.stderr}"


# ---- The objective ----


def test_loss_sum_is_the_sum_over_real_targets():
    logits = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0), requires_grad=True)
    targets = torch.tensor([[1, 4, IGNORE], [IGNORE, 0, IGNORE]])
    expected = -sum(logits[b, t].log_softmax(-1)[targets[b, t]] for b, t in ((0, 0), (0, 1), (1, 1)))
    loss = next_token_loss_sum(logits, targets)
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=1e-6)
    loss.backward()
    assert logits.grad[targets == IGNORE].eq(0).all(), "an ignored target has a gradient"


def tiny_objective(micro_batch_size=0):
    documents = [f"The cat number {n} sleeps." for n in range(40)]
    tokenizer = Tokenizer.train(documents, 270)
    objective = LanguageModelObjective(
        tokenizer,
        tokenize_documents(tokenizer, documents[:32]),
        tokenize_documents(tokenizer, documents[32:]),
        context=16,
        batch_size=4,
        micro_batch_size=micro_batch_size,
        seed=0,
        device=torch.device("cpu"),
    )
    model = GPT(GPTConfig(vocab_size=tokenizer.vocab_size, context=16, layers=1, heads=2, channels=8))
    return tokenizer, documents, objective, model


def test_evaluation_equals_a_loop_over_tokens():
    tokenizer, documents, objective, model = tiny_objective()
    stream = [tokenizer.end_of_text_id]
    for document in documents[32:]:
        stream += [*tokenizer.encode(document), tokenizer.end_of_text_id]
    nats, right = 0.0, 0
    with torch.no_grad():
        for target in range(1, len(stream)):
            start = (target - 1) // 16 * 16  # the window the target belongs to
            logits = model(torch.tensor([stream[start:target]]))[0, -1]
            nats -= logits.log_softmax(-1)[stream[target]].item()
            right += int(logits.argmax()) == stream[target]
    result = objective.evaluate(model)
    byte_count = sum(len(document.encode()) for document in documents[32:])
    assert result["loss"] == pytest.approx(nats / (len(stream) - 1), rel=1e-5)
    assert result["bits_per_byte"] == pytest.approx(nats / math.log(2) / byte_count, rel=1e-5)
    assert result["mean_token_accuracy"] == pytest.approx(right / (len(stream) - 1))


def test_padding_never_counts_in_the_evaluation():
    model = GPT(GPTConfig(vocab_size=7, context=4, layers=1, heads=1, channels=4))
    batch = (torch.tensor([[1, 2, 0, 0]]), torch.tensor([[2, 3, IGNORE, IGNORE]]))
    short = (torch.tensor([[1, 2]]), torch.tensor([[2, 3]]))
    assert evaluate_language_model(model, [batch], 5) == pytest.approx(evaluate_language_model(model, [short], 5))


def test_micro_batches_cover_the_batch_and_depend_on_the_step_alone():
    _, _, whole, _ = tiny_objective()
    _, _, split, _ = tiny_objective(micro_batch_size=3)
    assert [len(inputs) for inputs, _ in split.micro_batches(5)] == [3, 1]
    for part in (0, 1):
        joined = torch.cat([micro[part] for micro in split.micro_batches(5)])
        assert torch.equal(joined, whole.micro_batches(5)[0][part])
    assert not torch.equal(whole.micro_batches(5)[0][0], whole.micro_batches(6)[0][0])
    inputs, targets = whole.micro_batches(0)[0]
    assert torch.equal(inputs[:, 1:], targets[:, :-1]), "targets are not the inputs one token later"


def test_samples_are_the_same_every_time():
    _, _, objective, model = tiny_objective()
    assert objective.samples(model) == objective.samples(model)
