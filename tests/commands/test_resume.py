"""Every training command, stopped in the middle and given again, leaves what the uninterrupted one leaves.

N steps are n steps, a stop and N − n steps, bit for bit: weights, metrics apart from times, samples and all else that
the stage writes. Stopped in two ways: by Ctrl-C, and by an exception that nobody expects, which like a kill saves
nothing. tests/faults kills real processes.
"""

import json
import shutil

import pytest
import torch

from minigpt import pretrain
from minigpt.optim import Optimizer
from minigpt.runs import folder as folder_module
from minigpt.runs.checkpoint import load_checkpoint, save_checkpoint
from minigpt.runs.errors import UserError
from minigpt.runs.log.metrics import read_metrics
from rlhf.alternatives import dpo, grpo
from rlhf.stage1_sft import stage as sft
from rlhf.stage2_reward import stage as reward_model
from rlhf.stage2_reward.comparisons import Answers
from rlhf.stage3_ppo import stage as ppo

MODULES = {"pretrain": pretrain, "sft": sft, "reward_model": reward_model, "dpo": dpo, "grpo": grpo, "ppo": ppo}
SHORT = ["--steps=6", "--batch-size=4", "--evaluate-every=2", "--checkpoint-every=2", "--warmup-steps=2"]
FLAGS = {
    "pretrain": [
        *SHORT,
        "--documents=150",
        "--layers=1",
        "--channels=16",
        "--heads=2",
        "--context=160",
        "--vocab-size=512",
        "--dropout=0.1",
    ],
    "sft": [*SHORT[1:], "--epochs=0.7", "--demonstration-count=40"],  # 36 of them are learned: 9 steps an epoch
    "reward_model": [*SHORT, "--prompts=30", "--optimizer=muon"],
    "dpo": SHORT,
    "grpo": [*SHORT, "--prompts=16", "--group-size=2", "--max-new-tokens=6"],
    "ppo": [
        "--prompts=16",
        "--iterations=6",
        "--batch-size=8",
        "--minibatch-size=4",
        "--max-new-tokens=6",
        "--checkpoint-every=2",
        "--samples-every=2",
        "--critic-warmup=1",
        "--kl-controller=adaptive",
        "--kl-horizon=100",
        "--ptx-coefficient=0.1",
        "--ptx-batch-size=2",
    ],
}
TIMES = ("seconds", "tokens_per_second", "eps")
# after so many calls of an optimiser; PPO makes two an iteration in its warm-up, then four: in the middle of the fifth
STOPPED_AT = dict.fromkeys(MODULES, 4) | {"ppo": 2 + 4 + 4 + 4 + 2}


def written_answers(policy, tokenizer, prompts, **settings):
    """In place of the sampled ones: an untrained policy's are all equally bad, and there would be nothing to rank."""
    for number, prompt in enumerate(prompts):
        yield Answers(prompt, (prompt.ideal, "I do not know.", f"Number {number}."), (True, True, False))


def plant(patch):
    """Drawing takes longer than everything else here."""
    patch.setattr(folder_module, "draw_curves", lambda rows, path, *rest: path.write_text("<svg/>"))
    patch.setattr(reward_model, "sample_answers", written_answers)


@pytest.fixture(autouse=True)
def _fast(monkeypatch):
    plant(monkeypatch)


def run(runs, stage):
    MODULES[stage].main(["--preset", "tiny", "--runs", str(runs), "--device", "cpu", *FLAGS[stage]])
    return runs / "tiny" / stage


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """All stages, uninterrupted."""
    runs = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        plant(patch)
        for stage in MODULES:
            run(runs, stage)
    return runs


@pytest.fixture
def parts(whole, tmp_path):
    """A function that copies what a stage needs into another folder of runs."""

    def copy(stage):
        for other in ("tokenizer.json", *MODULES):
            source, target = whole / "tiny" / other, tmp_path / "tiny" / other
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir() and other != stage:
                shutil.copytree(source, target)
            elif source.is_file() and stage != "pretrain":
                shutil.copy(source, target)
        return tmp_path

    return copy


def stop(runs, stage, patch, error):
    """Run the stage until some optimiser is called for the nth time, which raises instead."""
    calls = iter(range(1000))
    step = Optimizer.step

    def stopped(self, factor):
        if next(calls) == STOPPED_AT[stage]:
            raise error
        step(self, factor)

    with patch.context() as planted:
        planted.setattr(Optimizer, "step", stopped)
        with pytest.raises(type(error)):
            run(runs, stage)


def contents(folder):
    """The files of a stage, without what a clock decides and the name of the folder of runs."""

    def without_folder(described):
        return {**described, "config": {**described["config"], "runs": ""}}

    found = {}
    for path in folder.iterdir():
        if path.name == "metrics.jsonl":
            rows = read_metrics(path)
            found[path.name] = [
                {k: v for k, v in row.items() if k not in TIMES and not k.startswith("time/")} for row in rows
            ]
        elif path.name == "config.json":
            found[path.name] = without_folder(json.loads(path.read_text(encoding="utf-8")))
        elif path.suffix == ".pt":
            saved = load_checkpoint(path)
            saved["extra"]["describe"] = without_folder(saved["extra"]["describe"])
            found[path.name] = saved
        else:
            found[path.name] = None if path.name == "usage.json" else path.read_bytes()
    return found


def assert_same(parts, whole):
    assert set(parts) == set(whole)
    for name in whole:
        if not name.endswith(".pt"):
            assert parts[name] == whole[name], f"{name} is not that of the uninterrupted run"
    weights = [found["checkpoint.pt"].pop("model") for found in (parts, whole)]
    assert parts["checkpoint.pt"] == whole["checkpoint.pt"]
    for name, weight in weights[1].items():
        assert torch.equal(weights[0][name], weight), f"{name} is not that of the uninterrupted run"


class KilledError(Exception):
    pass


@pytest.mark.parametrize("error", [KeyboardInterrupt(), KilledError()], ids=["Ctrl-C", "kill"])
@pytest.mark.parametrize("stage", list(MODULES))
def test_a_command_stopped_in_the_middle_and_given_again_leaves_what_it_would_have_left(
    stage, error, whole, parts, monkeypatch, capsys
):
    runs = parts(stage)
    stop(runs, stage, monkeypatch, error)
    folder = runs / "tiny" / stage
    assert not (folder / "checkpoint.pt").exists(), "half a run must not look finished"
    assert [path.name for path in sorted(folder.glob("resume-*"))] == ["resume-000002.pt", "resume-000004.pt"]
    run(runs, stage)
    assert "resuming after" in capsys.readouterr().out
    assert_same(contents(folder), contents(whole / "tiny" / stage))


def test_a_stopped_stage_2_goes_on_with_the_rankings_it_has(parts, monkeypatch):
    """Sampling takes as long as training, and where sums round in another way other answers come out of it."""
    runs = parts("reward_model")
    stop(runs, "reward_model", monkeypatch, KeyboardInterrupt())
    monkeypatch.setattr(reward_model, "sample_answers", lambda *arguments, **settings: pytest.fail("sampled again"))
    run(runs, "reward_model")
    assert (runs / "tiny" / "reward_model" / "checkpoint.pt").exists(), "it did not go on at all"


# ---- Another model, other data ----


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refusal(runs, stage):
    """The sentence with which the stopped stage is refused."""
    before = files(runs)
    with pytest.raises(UserError) as error:
        run(runs, stage)
    assert files(runs) == before, "a refusal must change nothing"
    return str(error.value)


@pytest.mark.parametrize(
    ("stage", "before", "changed"),
    [
        ("sft", "pretrain", "base"),
        ("reward_model", "sft", "policy"),
        ("dpo", "sft", "policy"),
        ("grpo", "reward_model", "reward_model"),
        ("ppo", "reward_model", "value_model has changed, reward_model"),
    ],
)
def test_a_stopped_stage_does_not_go_on_from_another_model(stage, before, changed, parts, monkeypatch):
    """It would end as neither what the old model leads to nor the new one."""
    runs = parts(stage)
    stop(runs, stage, monkeypatch, KeyboardInterrupt())
    path = runs / "tiny" / before / "checkpoint.pt"
    saved = load_checkpoint(path)
    next(iter(saved["model"].values())).add_(0.01)
    save_checkpoint(path, saved)
    assert f"({changed} has changed)" in refusal(runs, stage)


def test_a_stopped_stage_does_not_go_on_with_other_data(parts, monkeypatch):
    runs = parts("reward_model")
    stop(runs, "reward_model", monkeypatch, KeyboardInterrupt())
    path = runs / "tiny" / "sft" / "demonstrations.jsonl"  # on them the scores are to be 0 on average
    path.write_text("".join(path.read_text(encoding="utf-8").splitlines(keepends=True)[1:]), encoding="utf-8")
    assert "(demonstrations has changed)" in refusal(runs, "reward_model")
    path = runs / "tiny" / "reward_model" / "rankings.jsonl"
    path.write_text(path.read_text(encoding="utf-8").replace("I do not know.", "I know."), encoding="utf-8")
    assert "(rankings has changed, demonstrations has changed)" in refusal(runs, "reward_model")


def test_a_users_demonstrations_that_were_edited_are_other_data(parts, tmp_path, monkeypatch):
    runs, path = parts("sft"), tmp_path / "mine.jsonl"
    lines = [json.dumps({"prompt": f"What is {n}?", "response": f"{n}."}) + "\n" for n in range(40)]
    path.write_text("".join(lines), encoding="utf-8")
    monkeypatch.setitem(FLAGS, "sft", [*FLAGS["sft"], "--demonstrations", str(path)])
    stop(runs, "sft", monkeypatch, KeyboardInterrupt())
    path.write_text("".join(lines).replace("39", "38"), encoding="utf-8")
    assert "(demonstrations has changed)" in refusal(runs, "sft")
    path.write_text("".join(lines), encoding="utf-8")
    run(runs, "sft")


def test_runs_that_were_moved_go_on(parts, monkeypatch, tmp_path, capsys):
    runs = parts("sft")
    stop(runs, "sft", monkeypatch, KeyboardInterrupt())
    (runs / "tiny").rename(tmp_path / "moved")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "moved").rename(tmp_path / "elsewhere" / "tiny")
    run(tmp_path / "elsewhere", "sft")
    assert "resuming after step 4" in capsys.readouterr().out
