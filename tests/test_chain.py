"""Every stage as a command, one after the other, in seconds: what one leaves is what the next one needs.

The models learn nothing here; `make all PRESET=tiny` is the same chain at a size that does. Two things are replaced:
the sampling of the answers that are ranked, as a policy this young gives every prompt equally bad ones, which nobody
can rank; and the drawing of curves, which takes longer than all the rest and has tests of its own.
"""

import json
from pathlib import Path

import pytest

from minigpt import pretrain
from minigpt.runs import folder
from minigpt.runs.checkpoint import load_checkpoint
from minigpt.runs.metrics import row_number
from rlhf import settings
from rlhf.alternatives import best_of_k, dpo, grpo
from rlhf.evaluation import evaluate, report, results
from rlhf.people.prompts import FAMILIES
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
    assert list(found["gold"]) == ["base", "sft", "best_of_8", "ppo"]
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "PPO" in page
    assert page.rstrip().endswith("</html>")


def test_best_of_k_answers_from_the_finished_run(run, capsys):
    best_of_k.main(["--runs", str(run.parent), "--preset=tiny", "--device=cpu", "--k=2", "--count=2", *FEW])
    assert "best of 2: score" in capsys.readouterr().out
