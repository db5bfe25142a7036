"""A student's AdamW (exercise 7.1) and schedule (7.2) really stand where the package trains."""

import torch
from torch.testing import assert_close

from minigpt import training
from minigpt.optim import Optimizer
from minigpt.training import TrainingConfig
from tutorials.exercises.facts import ANSWERS, TEXTS, small_gpt
from tutorials.exercises.lessons import Facts, learn
from tutorials.exercises.plugs import ch07
from tutorials.exercises.plugs.common import installed
from tutorials.exercises.specs.ch07 import adamw_step, warmup_stable_decay


def test_a_students_adamw_moves_the_weights_as_torchs_does():
    config = TrainingConfig(optimizer="adamw", compile="off")

    def trained():
        model = small_gpt(layers=1)
        optimizer = Optimizer(model, config)
        for step in range(3):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(TEXTS)[:, -1], ANSWERS).backward()
            optimizer.clip_gradients()
            optimizer.step(training.lr_factor(step, 3, config))
        return model.state_dict()

    expected, called = trained(), []

    def mine(*arguments):
        called.append(arguments[2])
        return adamw_step(*arguments)

    with installed(torch.optim, "AdamW", ch07.as_optimizer(mine)):
        found = trained()
    assert set(called) == {1, 2, 3}, "the student's function was not called, or its steps do not count from 1"
    for name, weight in expected.items():
        assert_close(found[name], weight, rtol=1e-4, atol=1e-6, msg=f"{name}: other moments, rate or decay")


def test_a_students_schedule_is_what_the_loop_asks(tmp_path):
    config = TrainingConfig(steps=10, warmup_steps=4, learning_rate=0.01, evaluate_every=0, checkpoint_every=0)
    with installed(training, "lr_factor", ch07.as_lr_factor(warmup_stable_decay)):
        _, rows = learn(tmp_path / "run", Facts(), config)
    expected = [0.25, 0.5, 0.75, 1, 1, 1, 1, 1, 0.55, 0.1]
    assert_close([row["learning_rate"] / 0.01 for row in rows], [float(factor) for factor in expected])


def test_a_stop_and_another_split_change_nothing(tmp_path):
    """What chapter 07 asserts, of the objective that it uses."""
    config = TrainingConfig(steps=6, optimizer="adamw", warmup_steps=2, evaluate_every=0, checkpoint_every=0)
    whole, log = learn(tmp_path / "whole", Facts([7, 4, 1]), config)
    learn(tmp_path / "stopped", Facts([7, 4, 1], stop_at=3), config)
    resumed, _ = learn(tmp_path / "stopped", Facts([7, 4, 1]), config)
    for name, weight in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], weight), f"{name} is not resumed bit for bit"
    _, split = learn(tmp_path / "split", Facts(), config)
    assert_close([row["loss"] for row in split], [row["loss"] for row in log], rtol=1e-4, atol=1e-5)
