"""Shared models: made once by the real stages, named after all settings that decide them; and how sure a mean is."""

import dataclasses
import json
import threading
import time

import numpy as np
import pytest
import torch

from tutorials.experiments.lab import Lab, bootstrap_mean, models, spread
from tutorials.experiments.lab.models import STAGES, deciding, link_missing, locked

# far too little to learn anything
BASE = {
    "documents": 60,
    "layers": 1,
    "channels": 16,
    "heads": 2,
    "context": 256,
    "vocab_size": 300,
    "steps": 2,
    "batch_size": 2,
    "evaluate_every": 0,
    "checkpoint_every": 0,
}
SFT = {"demonstration_count": 20, "epochs": 1.0}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("lab")


@pytest.fixture(scope="module")
def lab(root):
    return Lab("tiny", root, root)


@pytest.fixture(scope="module")
def base(lab):
    return lab.base(0, **BASE)


def keys(root):
    return {path.parent.name for path in root.glob("models/*/made.json")}


def never(config):
    pytest.fail("a model that is there was trained again")


def test_a_model_is_made_once_and_read_anew_at_every_call(lab, root, base, monkeypatch):
    monkeypatch.setitem(STAGES, "base", dataclasses.replace(STAGES["base"], run=never))
    again = Lab("tiny", root, root).base(0, **BASE)
    assert again.stage_dir == base.stage_dir
    assert (base.stage_dir.name, base.stage_dir.parent) == ("pretrain", base.run_dir)
    assert again.model is not base.model, "who trains the one must not spoil the other"
    assert torch.equal(next(again.model.parameters()), next(base.model.parameters()))
    assert not base.model.training


def test_another_setting_of_a_model_or_of_its_ancestors_is_another_model(lab, root, base):
    before = keys(root)
    lab.sft(base, **SFT)
    lab.sft(base, **SFT | {"epochs": 2.0})
    lab.sft(base, **SFT, seed=1)
    lab.sft(lab.base(1, **BASE), **SFT)
    assert len(keys(root) - before) == 5, "four SFT models and one base"
    default = lab.config("sft", 0, root, {}).validation_fraction
    lab.sft(base, **SFT, validation_fraction=default)
    assert len(keys(root) - before) == 5, "a default that is written out is the same setting"


def test_a_run_folder_holds_all_that_a_model_was_made_from(lab, base):
    sft = lab.sft(base, **SFT)
    assert {path.name for path in sft.run_dir.iterdir()} == {"tokenizer.json", "tokens", "pretrain", "sft"}
    assert [step["stage"] for step in sft.recipe] == ["base", "sft"]
    assert sft.seed == base.seed == 0
    assert set(lab.used) >= {sft.run_dir.parent.name, base.run_dir.parent.name}


def test_where_folders_lie_is_no_setting_and_of_a_file_its_contents_are_one(lab, tmp_path):
    one, two, three = (tmp_path / name for name in ("one", "two", "three"))
    one.write_text("{}", encoding="utf-8")
    two.write_text("{}", encoding="utf-8")
    three.write_text("{ }", encoding="utf-8")
    first, same, other = (
        deciding(lab.config("sft", 0, path.parent / path.name, {"demonstrations": str(path)}))
        for path in (one, two, three)
    )
    assert first == same
    assert first != other


def test_a_stage_that_fails_leaves_no_model(tmp_path, monkeypatch):
    def fail(config):
        config.stage_dir("pretrain").mkdir(parents=True)
        raise RuntimeError("half-way")

    monkeypatch.setitem(STAGES, "base", dataclasses.replace(STAGES["base"], run=fail))
    with pytest.raises(RuntimeError, match="half-way"):
        Lab("tiny", tmp_path, tmp_path).base(0, **BASE)
    assert keys(tmp_path) == set()


def test_a_stopped_training_is_taken_up_in_its_folder(tmp_path, monkeypatch):
    """The stage finds what it had saved: its second session runs in the folder of the first."""
    real, seen = STAGES["base"], []

    def stop_then_run(config):
        seen.append(config.runs)
        if len(seen) == 1:
            raise KeyboardInterrupt
        real.run(config)

    monkeypatch.setitem(STAGES, "base", dataclasses.replace(real, run=stop_then_run))
    lab = Lab("tiny", tmp_path, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        lab.base(0, **BASE)
    made = lab.base(0, **BASE)
    assert seen[0] == seen[1]
    assert sorted(path.suffix for path in (tmp_path / "models").iterdir()) == ["", ".lock"], "no half model is left"
    assert made.stage_dir.is_dir()


def test_a_model_of_other_code_is_used_with_a_warning_and_made_anew_when_asked(tmp_path, monkeypatch, capsys):
    lab = Lab("tiny", tmp_path, tmp_path)
    made = lab.base(0, **BASE).run_dir.parent / "made.json"
    monkeypatch.setattr(models, "code_digest", lambda: "0" * 64)
    lab.base(0, **BASE)
    assert "was made by other code; --fresh makes it anew" in capsys.readouterr().err
    assert json.loads(made.read_text(encoding="utf-8"))["code"] != "0" * 64
    Lab("tiny", tmp_path, tmp_path, fresh=True).base(0, **BASE)
    assert json.loads(made.read_text(encoding="utf-8"))["code"] == "0" * 64


def test_who_wants_the_same_model_waits(tmp_path):
    order = []

    def second():
        with locked(tmp_path / "a.lock"):
            order.append("second")

    with locked(tmp_path / "a.lock"):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.2)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_a_disk_without_links_gets_copies(tmp_path, monkeypatch):
    def refuse(source, target):
        raise OSError("no links here")

    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c").write_text("1", encoding="utf-8")
    monkeypatch.setattr(models.os, "link", refuse)
    link_missing(tmp_path / "a", tmp_path / "z")
    assert [path.name for path in (tmp_path / "z" / "b").iterdir()] == ["c"]


def test_training_spends_no_time_of_the_cell(tmp_path):
    lab = Lab("tiny", tmp_path, tmp_path)
    assert lab.making == 0.0
    lab.base(0, **BASE)
    (made,) = lab.used.values()
    assert made["cpu_seconds"] == pytest.approx(lab.making, abs=0.06)


# ---- How sure a mean is ------------------------------------------------------------------------------------------


def test_the_bootstrap_interval_is_that_of_the_central_limit_theorem():
    values = np.random.default_rng(0).exponential(size=2000)
    mean, low, high = bootstrap_mean(values.tolist())
    error = values.std() / np.sqrt(len(values))
    assert mean == pytest.approx(values.mean())
    assert (low, high) == pytest.approx((mean - 1.96 * error, mean + 1.96 * error), abs=0.1 * error)
    assert bootstrap_mean([0.5] * 10) == (0.5, 0.5, 0.5)
    assert bootstrap_mean([0.0, 1.0, 1.0]) == bootstrap_mean([0.0, 1.0, 1.0]), "the same draws every time"


def test_the_spread_over_seeds_is_that_of_a_sample():
    assert spread([1.0, 2.0, 3.0]) == (2.0, 1.0)
    with pytest.raises(ValueError, match="one seed has no spread"):
        spread([1.0])
