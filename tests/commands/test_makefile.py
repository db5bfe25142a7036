"""The Makefile with a pretended Python: which commands run, in which order, and when nothing needs to.

The pretended one writes down what it was asked to do and touches the files that would have been made. Its
`-m rlhf.settings` keeps the flags in settings.json and throws a folder with other flags away; what the real one does
is tested in tests/rlhf/test_settings.py, and that the two fit together in the last tests here.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CHAIN = [
    "minigpt.pretrain",
    "rlhf.stage1_sft",
    "rlhf.stage2_reward",
    "rlhf.stage3_ppo",
    "rlhf.evaluation",
    "rlhf.report",
]
PRETENDED = """#!/bin/sh
echo "$@" >> "{log}"
mkdir -p "{run}" && cd "{run}"
case "$2" in
  rlhf.settings)
    test "$(cat settings.json 2>&1)" = "$*" || {{ rm -rf ./* && echo "$*" > settings.json; }}
    exit 0 ;;
  minigpt.pretrain) made=pretrain ;;
  rlhf.stage1_sft) made=sft ;;
  rlhf.stage2_reward) made=reward_model ;;
  rlhf.stage3_ppo) made=ppo ;;
  rlhf.alternatives.*) made=${{2#rlhf.alternatives.}} ;;
  rlhf.evaluation) made=evaluation && touch results.json ;;
  rlhf.report) touch report.html && exit 0 ;;
  *) exit 0 ;;
esac
mkdir -p "$made" && touch "$made/checkpoint.pt" "$made/made_from.json"
"""

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make on this machine")


class Make:
    def __init__(self, folder):
        self.folder, self.runs, self.log = folder, folder / "runs", folder / "log"
        python = folder / "venv" / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.write_text(PRETENDED.format(log=self.log, run=self.runs / "small"), encoding="utf-8")
        python.chmod(0o755)
        for stamp in ("installed", "installed-dev"):
            (folder / "venv" / stamp).touch()

    def __call__(self, *arguments, status=0):
        """Run make; returns the modules it ran, without rlhf.settings, and what it printed."""
        self.log.write_text("", encoding="utf-8")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
        command = ["make", f"VENV={self.folder / 'venv'}", f"RUNS={self.runs}", *arguments]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, encoding="utf-8")
        assert done.returncode == status, done.stdout + done.stderr
        asked = [line.split()[1] for line in self.log.read_text(encoding="utf-8").splitlines()]
        return [module for module in asked if module != "rlhf.settings"], done.stdout + done.stderr

    def out_of_date(self, *stages):
        """Marks them as rlhf.settings does."""
        for stage in stages:
            (self.runs / "small" / stage / "made_from.json").unlink()


@pytest.fixture
def make(tmp_path):
    return Make(tmp_path)


def test_help_is_the_default_and_lists_every_target(make):
    _, text = make()
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")
    targets = next(line.split()[1:] for line in makefile.splitlines() if line.startswith(".PHONY:"))
    listed = [line.split()[0] for line in text.splitlines() if re.match("  [a-z]", line)]
    assert sorted(listed) == sorted(targets), "a target without ## is not in the help"
    assert text == make("help")[1]


def test_all_runs_the_chain_once(make):
    ran, text = make("all")
    assert ran == CHAIN
    assert "report.html" in text.splitlines()[-1], "the last line says where to look"
    assert make("all")[0] == CHAIN[5:], "everything is there already, and the report takes a second"


def test_a_stage_creates_what_it_needs_and_then_always_runs(make):
    assert make("stage2")[0] == CHAIN[:3]
    assert make("stage2")[0] == CHAIN[2:3], "asked for by name, it runs again; what it needs is there"
    assert make("stage1", "stage2", "stage3")[0] == CHAIN[1:4]
    assert make("all")[0] == CHAIN[4:]


def test_all_repeats_what_is_out_of_date(make):
    make("all")
    make.out_of_date("ppo", "evaluation")
    assert make("all")[0] == CHAIN[3:]


def test_modification_times_decide_nothing(make, tmp_path):
    """A folder that was copied or unpacked has new times, in any order."""
    make("all")
    files = sorted(path for path in make.runs.rglob("*") if path.is_file())
    for order in (files, files[::-1]):
        for number, path in enumerate(order):
            os.utime(path, (10**9 + 100 * number, 10**9 + 100 * number))
        assert make("all")[0] == CHAIN[5:], "a copied run was trained anew"


def test_after_a_stage_was_asked_for_by_name_the_later_ones_are_checked_again(make):
    make("all")
    make("stage1")
    asked = [line.split()[1] for line in make.log.read_text(encoding="utf-8").splitlines()]
    assert asked == ["rlhf.settings", "rlhf.stage1_sft", "rlhf.settings"]


def test_all_repeats_everything_when_the_settings_are_others(make):
    make("all")
    assert make("all", "SEED=1")[0] == CHAIN
    assert make("all", "SEED=1")[0] == CHAIN[5:]


def test_the_path_of_a_corpus_may_hold_blanks_and_quotes(make, tmp_path):
    corpus = tmp_path / "my own 'text'.txt"
    make("pretrain", f"CORPUS={corpus}")
    asked = make.log.read_text(encoding="utf-8").splitlines()
    assert [line.split()[1] for line in asked] == ["rlhf.settings", "minigpt.pretrain", "rlhf.settings"]
    assert all(line.endswith(f"--corpus {corpus}") for line in asked)


def test_ones_own_demonstrations_and_rankings_reach_their_stages_and_what_decides_what_is_out_of_date(make, tmp_path):
    own = {name: tmp_path / f"my own '{name}'.jsonl" for name in ("demonstrations", "rankings")}
    make("stage1", f"DEMONSTRATIONS={own['demonstrations']}")
    make("dpo", *(f"{name.upper()}={path}" for name, path in own.items()))
    flags = {name: f"--{name} {path}" for name, path in own.items()}
    for line in make.log.read_text(encoding="utf-8").splitlines():
        module = line.split()[1]
        expected = {
            "rlhf.settings": flags.values(),
            "rlhf.stage1_sft": [flags["demonstrations"]],
            "rlhf.stage2_reward": [flags["rankings"]],
            "rlhf.alternatives.dpo": [flags["rankings"]],
        }.get(module, ())
        assert [flag for flag in flags.values() if flag in line] == list(expected), line
    make("stage2")
    assert "--rankings" not in make.log.read_text(encoding="utf-8")


def test_web_makes_a_run_if_there_is_none_and_hands_on_its_flags(make):
    assert make("web", "WEB=--classroom --port 80")[0] == [*CHAIN[:5], "rlhf.web"]
    assert make.log.read_text(encoding="utf-8").splitlines()[-1].endswith("--seed 0 --classroom --port 80")
    assert make("web")[0] == ["rlhf.web"]


def test_web_takes_the_preset_that_is_trained_if_none_is_named(make):
    (make.runs / "tiny").mkdir(parents=True)
    (make.runs / "tiny" / "results.json").touch()
    assert make("web")[0] == ["rlhf.web"], "after `make all PRESET=tiny` it trains small"
    assert "--preset tiny" in make.log.read_text(encoding="utf-8")
    make("all")
    make("web")
    assert "--preset small" in make.log.read_text(encoding="utf-8")
    make("web", "PRESET=tiny")
    assert "--preset tiny" in make.log.read_text(encoding="utf-8")


def test_a_mistyped_stage_or_folder_is_one_sentence(make):
    assert "expected base, sft, ppo, dpo or grpo" in make("chat", "STAGE=sf", status=2)[1]
    assert "without blanks" in make("help", "RUNS=my runs", status=2)[1]


def test_looking_at_a_run_of_another_seed_leaves_it_where_it_is(make):
    make("all", "SEED=1")
    assert make("report")[0] == ["rlhf.report"]
    assert make("readme")[0] == ["rlhf.report.readme"]
    assert make("chat", "STAGE=base")[0] == ["rlhf.chat"]
    assert [path.name for path in make.runs.iterdir()] == ["small"]


def test_chat_trains_what_is_missing(make):
    assert make("chat", "STAGE=sft")[0] == [*CHAIN[:2], "rlhf.chat"]


def test_the_alternatives_to_stage_3_need_stage_2_and_are_no_part_of_the_chain(make):
    assert make("dpo")[0] == [*CHAIN[:3], "rlhf.alternatives.dpo"]
    assert make("chat", "STAGE=grpo")[0] == ["rlhf.alternatives.grpo", "rlhf.chat"]
    assert make("all")[0] == CHAIN[3:]


def test_lint_and_test_call_ruff_and_pytest(make):
    assert make("lint", "test")[0] == ["ruff", "pytest"]


def test_an_experiment_is_asked_for_by_its_name(make):
    assert make("experiment", "NAME=stages", "PRESET=tiny")[0] == ["tutorials.experiments"]
    flags = f"--preset tiny --runs {make.runs}"
    assert make.log.read_text(encoding="utf-8") == f"-m tutorials.experiments {flags} --name stages\n"
    make("experiments", "PRESET=tiny")
    assert make.log.read_text(encoding="utf-8") == f"-m tutorials.experiments {flags}\n"
    assert "experiment needs a NAME=" in make("experiment", status=2)[1], "without one it would run them all"


def test_bench_hands_on_a_text_only_if_it_was_named(make, tmp_path):
    make("bench")
    assert make.log.read_text(encoding="utf-8").strip() == "-m tests.benchmarks"
    make("bench", f"TEXT={tmp_path / 'my text.txt'}")
    assert make.log.read_text(encoding="utf-8").strip() == f"-m tests.benchmarks --text {tmp_path / 'my text.txt'}"


def test_the_real_settings_stop_the_chain_with_one_sentence(make, tmp_path):
    python = make.folder / "venv" / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
    _, text = make("all", f"CORPUS={tmp_path / 'none.txt'}", status=2)
    assert "none.txt does not exist; give the path of a UTF-8 text file" in text
    assert "Traceback" not in text
    assert not make.runs.exists(), "nothing is written for a run that cannot be"
