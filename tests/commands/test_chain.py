"""Every stage as a command, one after the other, in seconds: what one leaves is what the next one needs.

The models learn nothing here; `make all PRESET=tiny` is the same chain at a size that does. Two things are replaced:
the sampling of the answers that are ranked, as a policy this young gives every prompt equally bad ones, which nobody
can rank; and the drawing of curves, which takes longer than all the rest and has tests of its own.
"""

import errno
import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from minigpt import pretrain
from minigpt.hf import convert
from minigpt.runs import folder
from minigpt.runs.checkpoint import load_checkpoint
from minigpt.runs.errors import run_main
from minigpt.runs.log.metrics import row_number
from rlhf import settings
from rlhf.alternatives import dpo, grpo
from rlhf.data_formats import export, preferences
from rlhf.evaluation import best_of_k, evaluate, results, rollouts
from rlhf.people.prompts import FAMILIES
from rlhf.report import page as report
from rlhf.stage1_sft import stage as sft
from rlhf.stage2_reward import stage as reward_model
from rlhf.stage2_reward.comparisons import Answers
from rlhf.stage3_ppo import stage as ppo

SIZE = ["--layers=1", "--channels=16", "--heads=2", "--context=160", "--vocab-size=600", "--documents=60"]
FEW = ["--max-new-tokens=4"]
STAGES = {
    "pretrain": (pretrain, [*SIZE, "--steps=2", "--batch-size=2"]),
    "sft": (sft, ["--demonstration-count=20", "--epochs=1", "--batch-size=4", "--warmup-steps=1"]),
    "reward_model": (reward_model, ["--prompts=12", "--annotators=3", "--steps=2", "--batch-size=3", *FEW]),
    "ppo": (
        ppo,
        [
            "--prompts=8",
            "--iterations=2",
            "--critic-warmup=1",
            "--batch-size=4",
            "--minibatch-size=2",
            "--ptx-coefficient=0.1",
            "--ptx-batch-size=2",
            *FEW,
        ],
    ),
    "dpo": (dpo, ["--steps=2", "--batch-size=3"]),
    "grpo": (grpo, ["--prompts=8", "--steps=2", "--batch-size=2", "--group-size=2", *FEW]),
}


def ideal_and_bad(policy, tokenizer, prompts, **options) -> list[Answers]:
    found = []
    for prompt in prompts:
        texts = tuple(dict.fromkeys((prompt.ideal, *prompt.request.bad)))[:4]
        found.append(Answers(prompt, texts, (True,) * len(texts)))
    return found


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """runs/tiny after all stages."""
    runs = tmp_path_factory.mktemp("chain") / "runs"
    common = ["--runs", str(runs), "--preset=tiny", "--device=cpu"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reward_model, "sample_answers", ideal_and_bad)
        patch.setattr(folder, "draw_curves", lambda rows, path, *rest: path.write_text("<svg/>", encoding="utf-8"))
        settings.main(common)
        for module, flags in STAGES.values():
            module.main([*common, *flags])
        evaluate.main([*common, f"--count={len(FAMILIES)}", "--samples=1", *FEW])
        report.main(["--runs", str(runs), "--preset=tiny"])
    return runs / "tiny"


@pytest.mark.parametrize("stage", list(STAGES))
def test_each_stage_leaves_what_the_readme_promises(run, stage):
    for name in ("config.json", "metrics.jsonl", "curves.svg", "samples.md", "checkpoint.pt", "usage.json"):
        if (stage, name) != ("reward_model", "samples.md"):  # it writes no text
            assert (run / stage / name).stat().st_size > 0, f"{stage} did not leave {name}"
    kind = "reward_model" if stage == "reward_model" else "gpt"
    payload = load_checkpoint(run / stage / "checkpoint.pt", kind=kind)
    assert payload["tokenizer"] == load_checkpoint(run / "pretrain" / "checkpoint.pt")["tokenizer"]
    rows = [json.loads(line) for line in (run / stage / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert row_number(rows[-1]) >= 2, "more than one step, so that what a step leaves for the next is seen"
    assert not list((run / stage).glob("resume*")), "a finished stage has nothing to resume"


def test_the_annotators_rank_answers_of_every_kind(run):
    summary = json.loads((run / "reward_model" / "summary.json").read_text(encoding="utf-8"))
    assert summary["prompts_ranked"] == 12
    lines = (run / "reward_model" / "rankings.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 12
    assert all(len(set(json.loads(line)["ranks"])) > 1 for line in lines)


def test_evaluation_and_report_see_the_whole_chain(run):
    found = results.load_results(run / "results.json")
    assert list(found["gold"]) == ["base", "base_first_line", "base_examples", "sft", "best_of_8", "ppo"]
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "PPO" in page
    assert page.rstrip().endswith("</html>")


def test_the_answers_that_ppo_learned_from_are_graded_afterwards(run, capsys):
    graded = rollouts.graded_rows(run / "ppo")
    assert [row["iteration"] for row in graded] == [1, 2]
    assert all(0 <= row["objective/gold"] <= 1 for row in graded)
    written = (run / "evaluation" / "gold.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["objective/gold"] for line in written] == [row["objective/gold"] for row in graded]
    rollouts.main(["--runs", str(run.parent), "--preset=tiny"])
    assert f"gold {graded[-1]['objective/gold']:.2f}" in capsys.readouterr().out


def test_best_of_k_answers_from_the_finished_run(run, capsys):
    best_of_k.main(["--runs", str(run.parent), "--preset=tiny", "--device=cpu", "--k=2", "--count=2", *FEW])
    assert "best of 2: score" in capsys.readouterr().out


# ---- A disk that takes nothing more ----


def answer_with(error):
    def refuse(*arguments, **options):
        raise OSError(error, os.strerror(error))

    return refuse


def read_only(open_file):
    def opened(path, mode="r", *rest, **options):
        if set(mode) & set("wa+x"):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return open_file(path, mode, *rest, **options)

    return opened


WRITERS = {
    **STAGES,
    "evaluate": (evaluate, [f"--count={len(FAMILIES)}", "--samples=1", *FEW]),
    "report": (report, []),
    "settings": (settings, ["--seed=1"]),
    "convert": (convert, ["--to-hf=OUT"]),
    "export": (export, ["--to-hf=OUT"]),
    "preferences": (preferences, ["--rankings=RUN/reward_model/rankings.jsonl", "--trl=OUT"]),
}


@pytest.mark.parametrize("disk", ["full", "read-only"])
@pytest.mark.parametrize("command", list(WRITERS))
def test_every_command_that_writes_says_in_one_sentence_that_it_cannot(
    run, tmp_path, monkeypatch, capsys, command, disk
):
    copy = tmp_path / "runs with a blank and an ü" / "tiny"
    shutil.copytree(run, copy)
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    module, flags = WRITERS[command]
    flags = [flag.replace("RUN", str(copy)).replace("OUT", str(tmp_path / "out")) for flag in flags]
    if command != "preferences":
        flags = [
            "--runs",
            str(copy.parent),
            "--preset=tiny",
            *([] if command == "report" else ["--device=cpu"]),
            *flags,
        ]
    monkeypatch.setattr(sys, "argv", [command, *flags])
    monkeypatch.setattr(reward_model, "sample_answers", ideal_and_bad)
    if disk == "full":
        monkeypatch.setattr(os, "fsync", answer_with(errno.ENOSPC))
    else:
        monkeypatch.setattr(Path, "open", read_only(Path.open))
        monkeypatch.setattr(Path, "rename", answer_with(errno.EROFS))
    with pytest.raises(SystemExit) as stop:
        run_main(module.main)
    assert stop.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: "), last
    assert ("No space left" if disk == "full" else "Read-only file system") in last
    after = {path: path.read_bytes() for path in copy.parent.rglob("*") if path.is_file()}
    assert not [path for path in after if path.name.endswith(".tmp")], "a temporary file was left behind"
    kept = set(after.values())  # wherever: settings moves the run before aside
    lost = [path.name for path in before if path.suffix == ".pt" and before[path] not in kept]
    assert not lost, f"the run before is lost, and the new one cannot be kept: {lost}"
