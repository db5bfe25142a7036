"""tiny-run.json: what `make all PRESET=tiny` prints, stage by stage, on one core.

    python -m tutorials.numbers.make.tiny_run

Under a minute. The stages run in a folder of their own, which is gone afterwards.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from minigpt.runs.config import Settings, option, parse
from minigpt.runs.errors import run_main
from rlhf.evaluation.results import load_results
from tutorials.numbers.make.record import ROOT, commit, record

# the name under which chapters quote what a command prints, and the command
STAGES = {
    "pretrain": "minigpt.pretrain",
    "sft": "rlhf.stage1_sft",
    "reward_model": "rlhf.stage2_reward",
    "ppo": "rlhf.stage3_ppo",
    "evaluate": "rlhf.evaluation",
    "report": "rlhf.report",
}


@dataclass(frozen=True)
class TinyRunConfig(Settings):
    """Which run."""

    seed: int = option(0, "every random choice is a function of this number")


def run_stage(module: str, folder: str, seed: int) -> str:
    """What the stage prints to stdout, its progress bars left out. Raises CalledProcessError if it fails."""
    command = [sys.executable, "-m", module, "--preset", "tiny", "--runs", "runs"]
    if module != "rlhf.report":
        command += ["--seed", str(seed)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    )
    return done.stdout.strip()


def main(argv: list[str]) -> None:
    """Runs the chain once and writes the file."""
    config = parse(TinyRunConfig, argv, description=__doc__, presets={})
    at, started, printed = commit(), time.monotonic(), {}
    with tempfile.TemporaryDirectory() as folder:
        for name, module in STAGES.items():
            printed[name] = run_stage(module, folder, config.seed)
        results = load_results(Path(folder) / "runs" / "tiny" / "results.json")
    seconds = time.monotonic() - started
    fields = {"output": "\n".join(printed.values()), "printed": printed, "gold": results["gold"]}
    record(
        "tiny-run",
        fields,
        command=f"make all PRESET=tiny SEED={config.seed}",
        commit=at,
        seeds=[config.seed],
        threads=1,
        seconds=seconds,
        code=[
            "minigpt/pretrain.py",
            "rlhf/stage1_sft/stage.py",
            "rlhf/stage2_reward/stage.py",
            "rlhf/stage3_ppo/training.py",
            "rlhf/evaluation/evaluate.py",
        ],
    )


if __name__ == "__main__":
    run_main(main)
