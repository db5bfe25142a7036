"""A user's mistake ends in exit status 2 and one sentence, and leaves every file as it was.

The commands run in this process, as `run_main` runs them; Ctrl-C needs a process of its own.
"""

import errno
import io
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from minigpt import pretrain
from minigpt.corpora.text import survey
from minigpt.model import GPT, GPTConfig
from minigpt.objective import LanguageModelObjective
from minigpt.runs.checkpoint import load_checkpoint, save_checkpoint
from minigpt.runs.config import to_dict
from minigpt.runs.errors import run_main
from minigpt.runs.files import write_json
from minigpt.tokenizer import Tokenizer
from minigpt.toyworld import documents
from rlhf import chat, settings
from rlhf.alternatives import dpo, grpo
from rlhf.evaluation import best_of_k, evaluate, results, rollouts
from rlhf.report import page as report
from rlhf.report import readme
from rlhf.stage1_sft import stage as sft
from rlhf.stage2_reward import stage as reward_model
from rlhf.stage2_reward.network import RewardModel
from rlhf.stage3_ppo import stage as ppo

ROOT = Path(__file__).resolve().parents[2]
TEXT = "\n<|endoftext|>\n".join(f"The cow number {n} eats grass." for n in range(120))
TINY = ["--layers=1", "--channels=16", "--heads=2", "--context=32", "--vocab-size=280", "--batch-size=4"]
MODULES = {
    "pretrain": pretrain,
    "sft": sft,
    "reward_model": reward_model,
    "ppo": ppo,
    "dpo": dpo,
    "grpo": grpo,
    "evaluate": evaluate,
    "best_of_k": best_of_k,
    "chat": chat,
    "report": report,
    "rollouts": rollouts,
    "readme": readme,
    "results": results,
    "settings": settings,
}


def files(folder):
    """Every file below a folder with its contents."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """Run a command that must be refused; returns the sentence it was refused with."""

    def run(command, *flags, unchanged=True):
        monkeypatch.setattr(sys, "argv", [command, "--runs", str(tmp_path / "runs"), "--device=cpu", *flags])
        before = files(tmp_path)
        with pytest.raises(SystemExit) as stop:
            run_main(MODULES[command].main)
        assert stop.value.code == 2
        _, err = capsys.readouterr()
        assert err.startswith("error: "), err
        assert err.count("\n") == 1, f"more than one line on stderr:\n{err}"
        after = files(tmp_path)
        if unchanged:
            assert after == before, f"changed: {sorted(set(after) ^ set(before)) or 'contents'}"
        assert not [name for name in after if name.endswith(".tmp")], "a temporary file was left behind"
        return err

    return run


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


def fill_run(run_dir, context=32, seed=0):
    """A whole run as its stages leave it, all models random."""
    tokenizer = Tokenizer.train([TEXT], 280)
    tokenizer.save(run_dir / "tokenizer.json")
    config = GPTConfig(vocab_size=tokenizer.vocab_size, context=context, layers=1, heads=2, channels=16)
    for stage in ("pretrain", "sft", "reward_model", "ppo"):
        model = GPT(config, seed=seed)
        kind = "gpt"
        if stage == "reward_model":
            model, kind = RewardModel(model, torch.Generator().manual_seed(0)), stage
        payload = {"kind": kind, "config": to_dict(config), "model": model.state_dict()}
        save_checkpoint(run_dir / stage / "checkpoint.pt", {**payload, "tokenizer": tokenizer.fingerprint})
        write_json(run_dir / stage / "usage.json", {"seconds": 1.0, "peak_rss_mb": 100.0})
    demonstration = '{"prompt": "The cow?", "response": "Grass."}\n'
    (run_dir / "sft" / "demonstrations.jsonl").write_text(demonstration * 10, encoding="utf-8")
    write_json(run_dir / "reward_model" / "summary.json", {"held_out_accuracy": 0.7})
    settings_of_text = pretrain.PretrainConfig(documents=60)
    described = {"config": to_dict(settings_of_text), "text": survey(documents(60, 0)).digest}
    write_json(run_dir / "pretrain" / "config.json", described)


@pytest.fixture
def run_dir(tmp_path):
    fill_run(tmp_path / "runs" / "small")
    return tmp_path / "runs" / "small"


# ---- Text ----


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "holds no text"),
        (b"\x7fELF\0\0\1", "not a text file"),
        (b"\xff\xd8\xff\xe0 JFIF", "not UTF-8"),
        (None, "does not exist"),
    ],
)
@pytest.mark.parametrize("command", ["pretrain", "settings"])
def test_a_corpus_that_is_empty_binary_or_missing(refused, tmp_path, command, content, complaint):
    path = tmp_path / "corpus.txt"
    if content is not None:
        path.write_bytes(content)
    sentence = refused(command, "--corpus", str(path))
    assert complaint in sentence
    assert "corpus.txt" in sentence


# ---- Flags ----


@pytest.mark.parametrize("command", list(MODULES))
def test_an_unknown_flag_or_preset_gets_a_suggestion(refused, command):
    assert "did you mean --preset?" in refused(command, "--pre-set=tiny")
    assert "did you mean tiny?" in refused(command, "--preset=tinny")
    assert "unexpected argument 'now'" in refused(command, "now")


def test_flags_with_values_that_mean_nothing(refused):
    assert "--steps" in refused("pretrain", "--steps=many")
    assert "--position" in refused("pretrain", "--position=rotery")
    assert "--learning-rate" in refused("pretrain", "--learning-rate=nan")
    assert "--epochs" in refused("ppo", "--epochs")
    assert "--k" in refused("best_of_k", "--k=0")
    assert "--count" in refused("evaluate", "--count=3")


def test_slices_of_a_model_for_processes_that_are_not_there(refused, corpus):
    assert "start them with torchrun" in refused("pretrain", f"--corpus={corpus}", *TINY, "--shard")


def test_every_command_goes_through_run_main():
    """So `python -m` does the same as run_main here."""
    for package in ("minigpt", "rlhf"):
        for path in (ROOT / package).rglob("*.py"):
            source = path.read_text(encoding="utf-8")
            if re.search(r"^def main\(argv", source, re.MULTILINE):
                command = path.with_name("__main__.py")
                if command.exists() and f".{path.stem} import main" in command.read_text(encoding="utf-8"):
                    source = command.read_text(encoding="utf-8")
                assert source.endswith('if __name__ == "__main__":\n    run_main(main)\n'), f"{path.name} bypasses it"
            assert source.count("__main__") <= 1


# ---- The stage before ----

STARTS_WITHOUT = [
    ("sft", "tokenizer.json", "make pretrain"),
    ("sft", "pretrain", "make pretrain"),
    ("reward_model", "sft", "make stage1"),
    ("ppo", "sft", "make stage1"),
    ("ppo", "reward_model", "make stage2"),
    ("dpo", "sft", "make stage1"),
    ("dpo", "reward_model/rankings.jsonl", "make stage2"),
    ("grpo", "sft", "make stage1"),
    ("grpo", "reward_model", "make stage2"),
    ("chat", "dpo", "make dpo"),
    ("evaluate", "tokenizer.json", "make pretrain"),
    ("evaluate", "pretrain", "make pretrain"),
    ("evaluate", "sft", "make stage1"),
    ("evaluate", "reward_model", "make stage2"),
    ("evaluate", "ppo", "make stage3"),
    ("evaluate", "reward_model/summary.json", "make stage2"),
    ("evaluate", "ppo/usage.json", "make stage3"),
    ("best_of_k", "sft", "make stage1"),
    ("best_of_k", "reward_model", "make stage2"),
    ("chat", "tokenizer.json", "make pretrain"),
    ("chat", "ppo", "make stage3"),
    ("report", "results.json", "make evaluate"),
    ("results", "results.json", "make evaluate"),
]


@pytest.mark.parametrize(("command", "missing", "remedy"), STARTS_WITHOUT)
def test_a_stage_without_the_one_before_it_names_the_make_target(refused, run_dir, command, missing, remedy):
    path = run_dir / missing
    for file in path.rglob("*") if path.is_dir() else [path]:
        file.unlink(missing_ok=True)
    sentence = refused(command, *(["--stage", missing] if missing == "dpo" else []))
    assert f"`{remedy}`" in sentence, sentence
    assert missing in sentence.replace("\\", "/")


@pytest.mark.parametrize("command", ["sft", "reward_model", "ppo", "dpo", "grpo", "evaluate", "best_of_k", "chat"])
def test_without_any_run_at_all(refused, command):
    assert "`make pretrain`" in refused(command)


# ---- Checkpoints ----


@pytest.mark.parametrize(
    ("command", "stage"),
    [("sft", "pretrain"), ("reward_model", "sft"), ("ppo", "reward_model"), ("evaluate", "ppo"), ("chat", "ppo")],
)
def test_a_checkpoint_of_another_tokenizer(refused, run_dir, command, stage):
    path = run_dir / stage / "checkpoint.pt"
    save_checkpoint(path, {**load_checkpoint(path), "tokenizer": "f" * 64})
    sentence = refused(command)
    assert "another tokenizer" in sentence
    assert str(path) in sentence


@pytest.mark.parametrize("damage", ["truncated", "bit flipped", "empty", "another file"])
def test_a_damaged_checkpoint(refused, run_dir, damage):
    path = run_dir / "pretrain" / "checkpoint.pt"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4  # in the middle are weights, whose bits torch.load takes as they come
    kept = {"truncated": data[: len(data) * 2 // 3], "bit flipped": data, "empty": b"", "another file": b"weights"}
    path.write_bytes(kept[damage])
    sentence = refused("sft")
    assert "damaged" in sentence
    assert "`make pretrain`" in sentence


@pytest.mark.parametrize("command", ["sft", "evaluate"])
def test_a_checkpoint_of_another_kind(refused, run_dir, command):
    (run_dir / "pretrain" / "checkpoint.pt").write_bytes((run_dir / "reward_model" / "checkpoint.pt").read_bytes())
    assert "'reward_model'" in refused(command)


class RunsCode:
    def __reduce__(self):
        return (print, ("this code must not run",))


@pytest.mark.parametrize(("command", "stage"), [("sft", "pretrain"), ("ppo", "reward_model"), ("chat", "ppo")])
def test_a_checkpoint_that_could_run_code(refused, run_dir, capsys, command, stage):
    path = run_dir / stage / "checkpoint.pt"
    torch.save({**load_checkpoint(path), "extra": RunsCode()}, path)
    sentence = refused(command)
    assert f"{path} is refused" in sentence
    assert "could run code" in sentence
    assert "must not run" not in capsys.readouterr().out


@pytest.mark.parametrize(("command", "stage"), [("sft", "pretrain"), ("ppo", "reward_model"), ("chat", "ppo")])
def test_a_checkpoint_with_the_configuration_of_another(refused, run_dir, command, stage):
    path = run_dir / stage / "checkpoint.pt"
    payload = load_checkpoint(path)
    save_checkpoint(path, {**payload, "config": {**payload["config"], "layers": 2}})
    sentence = refused(command)
    assert f"{path}: the weights " in sentence
    assert "do not fit the configuration" in sentence
    save_checkpoint(path, {**payload, "config": {**payload["config"], "depth": 2}})
    assert f"{path}: GPTConfig has no setting 'depth'" in refused(command)


def test_a_damaged_tokenizer(refused, run_dir):
    path = run_dir / "tokenizer.json"
    path.write_text(path.read_text(encoding="utf-8").replace("merges", "mergers"), encoding="utf-8")
    assert "tokenizer.json is damaged" in refused("sft")


def test_damaged_settings_of_pretraining(refused, run_dir):
    (run_dir / "pretrain" / "config.json").write_text("{", encoding="utf-8")
    assert "`make pretrain`" in refused("evaluate")


# ---- Longer than the context ----


def test_a_message_that_is_longer_than_the_context(refused, run_dir, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("The cow eats grass. " * 30 + "\n"))
    assert "shorten it" in refused("chat", "--stage=sft")


@pytest.mark.parametrize(
    ("command", "flag", "line"),
    [
        ("sft", "--demonstrations", '{"prompt": "LONG", "response": "Grass."}'),
        ("reward_model", "--rankings", '{"prompt": "LONG", "responses": ["a", "b"], "ranks": [0, 1]}'),
        ("dpo", "--rankings", '{"prompt": "LONG", "responses": ["a", "b"], "ranks": [0, 1]}'),
    ],
)
def test_own_data_longer_than_the_context(refused, run_dir, tmp_path, command, flag, line):
    path = tmp_path / "mine.jsonl"
    path.write_text((line + "\n").replace("LONG", "The cow eats grass. " * 30), encoding="utf-8")
    sentence = refused(command, flag, str(path))
    assert re.search(r"mine\.jsonl, line 1\b.*context.* 32\b", sentence), sentence


@pytest.mark.parametrize("command", ["reward_model", "ppo", "grpo", "evaluate", "best_of_k"])
def test_prompts_of_the_toy_world_longer_than_the_context(refused, run_dir, command):
    sentence = refused(command)
    assert "context of 32" in sentence
    assert "shorten" in sentence


# ---- The disk ----


def test_a_full_disk(refused, corpus, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    sentence = refused("pretrain", "--corpus", str(corpus), "--steps=2", *TINY)
    assert "tokenizer.json could not be written: No space left on device" in sentence


def test_a_disk_that_fills_up_on_the_way(refused, corpus, tmp_path, monkeypatch):
    def full(payload, file):
        file.write(b"half of it")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(torch, "save", full)
    # the progress line that ends the training comes first on stderr, and is no complaint
    monkeypatch.setattr("minigpt.training.Progress.update", lambda self, note="", count=1: None)
    flags = ["--corpus", str(corpus), "--steps=2", "--checkpoint-every=0", *TINY]
    sentence = refused("pretrain", *flags, unchanged=False)
    assert "checkpoint.pt could not be written: No space left on device" in sentence
    assert not list((tmp_path / "runs").rglob("*.pt")), "half a checkpoint"


def test_runs_that_is_a_file(refused, corpus, tmp_path):
    (tmp_path / "runs").write_text("not a folder", encoding="utf-8")
    assert "could not be written" in refused("pretrain", "--corpus", str(corpus), "--steps=2", *TINY)


def test_a_folder_that_may_not_be_written(refused, run_dir, corpus):
    folder = run_dir / "pretrain"
    os.chmod(folder, 0o555)
    try:
        if os.access(folder, os.W_OK):
            pytest.skip("this user, root perhaps, may write everywhere")
        before = files(folder)
        sentence = refused("pretrain", "--corpus", str(corpus), "--steps=2", *TINY, unchanged=False)
        assert "Permission denied" in sentence
        assert str(folder / "unfinished") in sentence
        assert files(folder) == before, "the run before is lost, and the new one cannot be kept"
    finally:
        os.chmod(folder, 0o755)


def test_what_the_system_refuses_elsewhere_is_one_sentence_too(refused, run_dir, corpus, monkeypatch):
    """For root, to whom no folder is read-only: deleting the files of the run before is refused."""

    def denied(self, missing_ok=False):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))

    monkeypatch.setattr(Path, "unlink", denied)
    sentence = refused("pretrain", "--corpus", str(corpus), "--steps=2", *TINY, unchanged=False)
    assert "made_from.json: Permission denied" in sentence, sentence


# ---- Ctrl-C ----


def start_pretraining(flags):
    # a shell may have started the tests with SIGINT ignored, and a child would inherit that
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        command = [sys.executable, "-m", "minigpt.pretrain", *flags]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(command, cwd=ROOT, text=True, encoding="utf-8", env=environment, **pipes)
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(sys.platform == "win32", reason="a single Windows process cannot be sent Ctrl-C")
def test_ctrl_c_saves_and_the_same_command_goes_on(tmp_path, corpus, monkeypatch, capsys):
    flags = ["--runs", str(tmp_path / "runs"), "--corpus", str(corpus), "--device=cpu", *TINY]
    flags += ["--steps=100000", "--evaluate-every=0", "--checkpoint-every=0"]
    stage = tmp_path / "runs" / "small" / "pretrain"
    process = start_pretraining(flags)
    try:
        deadline = time.monotonic() + 60
        log = stage / "metrics.jsonl"
        while not (log.is_file() and log.read_bytes().count(b"\n") >= 3):
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline, "not even two steps in a minute"
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 2
    assert err.count("\n") == 1, f"more than one sentence:\n{err}"
    assert "stopped by Ctrl-C; run the same command again" in err
    assert "stopped after step" in out
    (saved,) = stage.glob("resume-*.pt")
    assert sorted(path.name for path in stage.iterdir()) == [
        "config.json",
        "curves.svg",
        "metrics.jsonl",
        saved.name,
        "samples.md",
        "tokenizer.json",
    ], "a temporary file, or a checkpoint of half a run"
    step = load_checkpoint(saved, kind="resume")["step"]
    assert step >= 1

    def stop(self, step):
        raise KeyboardInterrupt

    monkeypatch.setattr(LanguageModelObjective, "micro_batches", stop)
    with pytest.raises(KeyboardInterrupt):
        pretrain.main(flags)
    assert f"resuming after step {step} " in capsys.readouterr().out


def test_a_damaged_resume_file_says_how_to_go_on(refused, tmp_path, corpus, monkeypatch):
    def stop(self, step):
        raise KeyboardInterrupt

    flags = ["--corpus", str(corpus), "--steps=5", *TINY]
    with monkeypatch.context() as patch:
        patch.setattr(LanguageModelObjective, "micro_batches", stop)
        with pytest.raises(KeyboardInterrupt):
            pretrain.main(["--runs", str(tmp_path / "runs"), "--device=cpu", *flags])
    path = tmp_path / "runs" / "small" / "pretrain" / "resume-000000.pt"
    path.write_bytes(path.read_bytes()[:-100])
    sentence = refused("pretrain", *flags)
    assert "resume-000000.pt is truncated, damaged" in sentence
    assert "delete it to start afresh" in sentence


def test_a_stopped_run_of_other_settings_is_not_thrown_away(refused, tmp_path, corpus, monkeypatch):
    def stop(self, step):
        raise KeyboardInterrupt

    flags = ["--corpus", str(corpus), *TINY]
    with monkeypatch.context() as patch:
        patch.setattr(LanguageModelObjective, "micro_batches", stop)
        with pytest.raises(KeyboardInterrupt):
            pretrain.main(["--runs", str(tmp_path / "runs"), "--device=cpu", "--steps=5", *flags])
    sentence = refused("pretrain", "--steps=6", *flags)
    assert "other settings (config.training.steps was 5 and is 6)" in sentence
    assert "delete" in sentence
