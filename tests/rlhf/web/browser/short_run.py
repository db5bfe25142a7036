"""A run of preset tiny whose stages took only a few steps: real files of real commands, in about half a minute."""

import os
import subprocess
import sys
from pathlib import Path

STAGES = (
    ("minigpt.pretrain", "--documents 400 --steps 120 --warmup-steps 5 --evaluate-every 0 --checkpoint-every 0"),
    ("rlhf.stage1_sft", "--demonstration-count 80 --epochs 6"),
    ("rlhf.stage2_reward", "--prompts 24 --steps 4 --warmup-steps 1 --evaluate-every 0 --checkpoint-every 0"),
    ("rlhf.stage3_ppo", "--prompts 16 --iterations 2 --batch-size 16 --minibatch-size 16 --warmup-steps 1"),
)
ITEMS = ("rlhf.web.prepare", "--prompts 24 --known-share 0.125")


def make_run(runs: Path) -> None:
    """Trains runs/tiny."""
    for module, flags in STAGES:
        command(module, runs, flags)


def prepare_items(runs: Path) -> None:
    """Has the prompts answered that a class will rank, as the server does at its first start."""
    command(ITEMS[0], runs, ITEMS[1])


def command(module: str, runs: Path, flags: str) -> None:
    words = [sys.executable, "-m", module, "--preset", "tiny", "--runs", str(runs), *flags.split()]
    done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, f"{' '.join(words)} ended with status {done.returncode}:\n{done.stderr[-2000:]}"
