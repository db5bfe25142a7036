"""curves.svg and what it is drawn from."""

import math
import xml.etree.ElementTree as ET

import pytest

from minigpt.runs.errors import UserError
from minigpt.runs.log.curves import Panel, default_panels, draw_curves, smooth
from minigpt.runs.log.metrics import RunLog, read_metrics

ROWS = [{"step": 0, "eval_loss": 3.0}] + [
    {"step": n, "num_tokens": 10 * n, "seconds": 0.1 * n, "loss": 3 / n, "grad_norm": 1.0, "family": "lists"}
    for n in range(1, 101)
]


def texts(path):
    """matplotlib draws text as outlines, and leaves the words in comments."""
    return path.read_text(encoding="utf-8")


def test_default_panels_pair_training_with_evaluation():
    assert default_panels(ROWS) == [Panel("loss", ("loss", "eval_loss")), Panel("grad_norm", ("grad_norm",))]
    assert default_panels([{"step": 0, "eval_accuracy": 0.5}]) == [Panel("eval_accuracy", ("eval_accuracy",))]


def test_file_is_an_svg_with_every_panel_and_the_same_bytes_again(tmp_path):
    draw_curves(ROWS, tmp_path / "a.svg", "pretrain")
    draw_curves(ROWS, tmp_path / "b.svg", "pretrain")
    assert ET.parse(tmp_path / "a.svg").getroot().tag.endswith("svg")
    for word in ("pretrain", "loss", "eval_loss", "grad_norm"):
        assert f"<!-- {word} -->" in texts(tmp_path / "a.svg"), f"{word} is not in the picture"
    assert "family" not in texts(tmp_path / "a.svg"), "words are not curves"
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes(), "date or random ids in the file"


def test_chosen_panels_and_missing_metrics(tmp_path):
    panels = [
        Panel("KL (nats/sequence)", ("objective/kl",), log_scale=True),
        Panel("nobody logged this", ("absent",)),
        Panel("reward", ("objective/scores", "absent")),
    ]
    rows = [{"step": n, "objective/kl": 0.1 * n, "objective/scores": float(n), "x": None} for n in range(1, 5)]
    draw_curves(rows, tmp_path / "curves.svg", "ppo", panels)
    assert "<!-- KL (nats/sequence) -->" in texts(tmp_path / "curves.svg")
    assert "nobody" not in texts(tmp_path / "curves.svg")


def test_no_rows_and_numbers_that_are_none_do_not_fail(tmp_path):
    draw_curves([], tmp_path / "empty.svg", "nothing yet")
    draw_curves([{"step": 1, "loss": math.nan}, {"step": 2, "loss": 1.0}], tmp_path / "nan.svg", "nan")
    assert (tmp_path / "empty.svg").exists()


def test_smooth_is_the_mean_with_neighbours_on_both_sides():
    assert smooth([3.0, 1.0, 2.0, 6.0], reach=1) == pytest.approx([3.0, 2.0, 3.0, 6.0])
    noise = [float(n % 2) for n in range(100)]
    assert all(abs(value - 0.5) < 0.1 for value in smooth(noise, reach=10)[10:-10])


def test_smoothing_does_not_lag():
    """A moving average of the past draws a falling line too high, everywhere."""
    line = [100.0 - n for n in range(100)]
    assert smooth(line, reach=7) == pytest.approx(line)


# ---- metrics.jsonl ----


def test_rows_come_back_and_nan_is_valid_json(tmp_path):
    log = RunLog(tmp_path / "stage" / "metrics.jsonl", resume_step=None)
    log.append({"step": 1, "loss": 2.5})
    log.append({"step": 2, "loss": math.inf})
    assert "Infinity" not in (tmp_path / "stage" / "metrics.jsonl").read_text(encoding="utf-8")
    assert read_metrics(tmp_path / "stage" / "metrics.jsonl") == [{"step": 1, "loss": 2.5}, {"step": 2, "loss": None}]


def test_no_step_twice(tmp_path):
    log = RunLog(tmp_path / "metrics.jsonl", resume_step=None)
    log.append({"step": 3})
    with pytest.raises(ValueError, match="step 3 after step 3"):
        log.append({"step": 3})


def test_resuming_keeps_the_rows_up_to_its_step(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"st', encoding="utf-8")
    assert RunLog(path, resume_step=2).rows == [{"step": 1}, {"step": 2}]
    assert path.read_text(encoding="utf-8") == '{"step": 1}\n{"step": 2}\n'
    RunLog(path, resume_step=None)
    assert path.read_text(encoding="utf-8") == "", "a new run must not go on with the old rows"


def test_damaged_metrics_name_the_line(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\nnot json\n{"step": 3}\n', encoding="utf-8")
    with pytest.raises(UserError, match=r"metrics\.jsonl, line 2"):
        read_metrics(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="UTF-8"):
        read_metrics(path)
    with pytest.raises(UserError, match="no such file"):
        read_metrics(tmp_path / "absent.jsonl")
