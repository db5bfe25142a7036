"""Models for chapters: made by the real stages, kept, and made anew when anything that decides them changes."""

import re

import pytest
import torch

from rlhf.stage2_reward.network import RewardModel
from tutorials import models
from tutorials.models import SETTINGS, STAGES, load_or_train

# far too little to learn anything: the tests ask how models are made and kept, not what they can do
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
RANKING = '{"prompt": "Who?", "responses": ["I.", "No."], "ranks": [0, 1]}\n'


@pytest.fixture(scope="module")
def little(tmp_path_factory):
    """Settings of all three, with rankings from a file: a model that knows nothing has no answers worth ranking."""
    rankings = tmp_path_factory.mktemp("rankings") / "rankings.jsonl"
    rankings.write_text(RANKING * 4, encoding="utf-8")
    return {
        "base": BASE,
        "sft": {"demonstration_count": 20, "epochs": 1.0},
        "reward_model": {"rankings": str(rankings), "steps": 1, "batch_size": 2, "evaluate_every": 0},
    }


@pytest.fixture(scope="module")
def cache(tmp_path_factory, little):
    """With all three models in it."""
    cache = tmp_path_factory.mktemp("models")
    load_or_train("reward_model", cache, little)
    return cache


def never(config):
    pytest.fail("a model that is there was trained again")


def test_what_a_model_needs_is_trained_first_and_nothing_twice(cache, little, monkeypatch):
    for name, stage in STAGES.items():
        monkeypatch.setitem(STAGES, name, models.Stage(stage.folder, stage.config, stage.presets, never, stage.load))
    made = {name: load_or_train(name, cache, little) for name in STAGES}
    assert isinstance(made["reward_model"].model, RewardModel)
    assert [trained.stage_dir.name for trained in made.values()] == ["pretrain", "sft", "reward_model"]
    assert (made["base"].stage_dir / "metrics.jsonl").is_file()
    assert (made["reward_model"].stage_dir / "summary.json").is_file()
    assert not made["base"].model.training


def test_nothing_is_left_of_the_training(cache):
    (made,) = cache.iterdir()
    assert re.fullmatch("[0-9a-f]{12}", made.name)


def test_training_prints_nothing_and_leaves_random_numbers_and_threads_alone(tmp_path, capsys):
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    load_or_train("base", tmp_path, {"base": BASE})
    assert capsys.readouterr().out == "", "it would stand among the outputs of the chapter"
    assert torch.equal(torch.get_rng_state(), state), "random numbers would depend on whether a model was there"
    assert torch.get_num_threads() == threads


def test_two_trainings_give_the_same_weights(cache, little, tmp_path):
    first, second = (load_or_train("sft", folder, little).model for folder in (cache, tmp_path))
    for name, parameter in first.state_dict().items():
        assert torch.equal(parameter, second.state_dict()[name]), name


def test_other_settings_or_other_code_are_another_model(monkeypatch, tmp_path):
    prints = {models._fingerprint({"base": BASE}), models._fingerprint(SETTINGS)}
    monkeypatch.setattr(models, "ROOT", tmp_path)
    for package in ("minigpt", "rlhf"):
        (tmp_path / package).mkdir()
        for text in ("1\n", "2\n"):
            (tmp_path / package / "a.py").write_text(text, encoding="utf-8")
            prints.add(models._fingerprint({"base": BASE}))
    assert len(prints) == 6, "each change of a setting or of a file of either package is another name"


def test_a_stage_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def fail(config):
        (config.stage_dir("pretrain")).mkdir(parents=True)
        raise RuntimeError("half-way")

    base = STAGES["base"]
    monkeypatch.setitem(STAGES, "base", models.Stage(base.folder, base.config, base.presets, fail, base.load))
    with pytest.raises(RuntimeError, match="half-way"):
        load_or_train("base", tmp_path, {"base": BASE})
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_no_model():
    with pytest.raises(ValueError, match=re.escape("no model 'reward' (did you mean reward_model?); choose")):
        load_or_train("reward")
