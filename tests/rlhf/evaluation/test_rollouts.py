"""The answers that PPO learned from, graded when the run has ended."""

import json

import pytest

from minigpt.runs.errors import UserError
from rlhf.evaluation.rollouts import graded_rows, write_graded
from rlhf.people.prompts import prompt_set

KL = "objective/kl_nats_per_sequence"


def write_run(folder, responses, ended):
    """A run of two iterations whose answers, two for each, are given."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {"config": {"prompts": 6, "seed": 3}}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    rows = [{"iteration": n, "objective/scores": float(n), KL: 0.5 * n} for n in (1, 2)]
    rollouts = [
        {"iteration": n, "prompts": [n, 0], "responses": texts, "ended": ends}
        for n, texts, ends in zip((1, 2), responses, ended, strict=True)
    ]
    for name, lines in (("metrics.jsonl", rows), ("rollouts.jsonl", rollouts)):
        (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def test_each_iteration_gets_the_mean_gold_total_of_its_answers(tmp_path):
    prompts = prompt_set("C", 6, 3)
    # an ideal answer is worth 1, an empty one 0, an ideal one that was cut off 0.1
    write_run(tmp_path, [[prompts[1].ideal, ""], [prompts[2].ideal, prompts[0].ideal]], [[True, True], [False, True]])
    first, second = graded_rows(tmp_path)
    assert first["objective/gold"] == pytest.approx(0.5), "graded as answers to other prompts"
    assert second["objective/gold"] == pytest.approx(0.55), "cut answers were graded as ended ones"
    assert first["objective/scores"] == 1.0, "the row of metrics.jsonl is kept"


def test_the_gold_curve_is_written(tmp_path):
    write_run(tmp_path, [["", ""], ["", ""]], [[True, True], [True, True]])
    write_graded(tmp_path / "out", graded_rows(tmp_path))
    lines = (tmp_path / "out" / "gold.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(lines[1]) == {"iteration": 2, "objective/scores": 2.0, "objective/gold": 0.0, KL: 1.0}
    assert "gold total" in (tmp_path / "out" / "gold.svg").read_text(encoding="utf-8")


def test_a_run_without_rollouts_is_named(tmp_path):
    write_run(tmp_path, [["", ""], ["", ""]], [[True, True], [True, True]])
    (tmp_path / "rollouts.jsonl").unlink()
    with pytest.raises(UserError, match=r"rollouts\.jsonl: no such file"):
        graded_rows(tmp_path)
