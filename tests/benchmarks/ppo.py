"""PPO, whole iterations: episodes a second beside TRL, and the shares of generate, score and train before and after.

TRL has an environment of its own, .venv-bench (`make bench-trl`); without it, its recorded speed stands in, scaled by
the rates of the matrix product then and now, and the table says so. "Before" is our own code at the commit BEFORE,
taken out of git's history and run in the same way. All run by turns, each in a process of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from shutil import copy
from statistics import median
from zipfile import ZipFile

import torch

from minigpt.runs.errors import UserError
from minigpt.scale.timing import matrix_product_rate
from tests.benchmarks.ppo_run import Shape
from tests.benchmarks.report import ROOT, Options, Part, Result

GOAL, AS_BEFORE = 3.0, 1.25
ROUNDS = 5
BEFORE = "be5eb49"  # the last commit before the packages got the folders of today
TRL_PYTHON = ROOT / ".venv-bench" / "bin" / "python"
RECORDED_EPISODES, RECORDED_PRODUCT = 36.0, 147e9  # TRL 1.9.2 on two cores, and their matrix product, FLOP/s (LOG.md)
QUICK = Shape(
    layers=1, heads=2, channels=8, vocab_size=512, prompts=4, prompt_tokens=8, new_tokens=4, iterations=3, warm_up=1
)
SHARES = ("generate", "score", "train")
Iterations = list[dict[str, float]]


def episodes_per_second(shape: Shape, found: Iterations) -> float:
    """The median over the iterations."""
    return median(shape.prompts / iteration["seconds"] for iteration in found)


def shares(found: Iterations) -> dict[str, float]:
    """The share of the time that each part took; the rest is "other"."""
    whole = sum(iteration["seconds"] for iteration in found)
    parts = {name: sum(iteration[name] for iteration in found) / whole for name in SHARES}
    return {**parts, "other": 1 - sum(parts.values())}


def run_elsewhere(command: list[str], folder: Path, remedy: str) -> Iterations:
    """The last line that another process prints. Raises UserError with its message and the remedy if it fails."""
    environment = os.environ | {"PYTHONPATH": str(folder)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, encoding="utf-8")
    try:
        done.check_returncode()
        return json.loads(done.stdout.strip().splitlines()[-1])["iterations"]
    except (subprocess.CalledProcessError, IndexError, ValueError, KeyError, TypeError):
        words = next((line for line in reversed((done.stdout + done.stderr).splitlines()) if line.strip()), "no output")
        raise UserError(f"{command[0]} failed: {words.strip()}; {remedy}") from None


@contextmanager
def code_before() -> Iterator[Path | None]:
    """A folder with the code of BEFORE and this benchmark; None where git's history is not at hand."""
    command = ["git", "-C", str(ROOT), "archive", "--format=zip", BEFORE, "minigpt", "rlhf"]
    try:
        archive = subprocess.run(command, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        yield None
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with ZipFile(BytesIO(archive)) as files:
            files.extractall(folder)
        ours = folder / "tests" / "benchmarks"
        ours.mkdir(parents=True)
        for module in ("made_up.py", "ppo_run.py"):
            copy(ROOT / "tests" / "benchmarks" / module, ours)
        yield folder


def iterations_of(folder: Path, shape: Shape) -> Iterations:
    """The same iterations with the code in a folder, in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.ppo_run", json.dumps(asdict(shape))]
    return run_elsewhere(command, folder, f"what ran is the code in {folder}")


def trl() -> Iterations:
    """TRL's iterations, in its own environment."""
    script = ROOT / "tests" / "benchmarks" / "peers" / "trl_ppo.py"
    return run_elsewhere([str(TRL_PYTHON), str(script)], ROOT, "repair it with `make bench-trl`, or remove .venv-bench")


def recorded_trl() -> float:
    """TRL's recorded episodes a second, scaled by the rates of the matrix product then and now."""
    return RECORDED_EPISODES * matrix_product_rate(torch.device("cpu"), torch.float32) / RECORDED_PRODUCT


def measure(options: Options) -> Part:
    """Ours beside TRL's and beside ours as it was, by turns."""
    shape = QUICK if options.quick else Shape()
    rounds: dict[str, list[Iterations]] = {"after": [], "before": []}
    trls: list[float] = []
    with code_before() as old:
        for _ in range(1 if options.quick else ROUNDS):
            rounds["after"].append(iterations_of(ROOT, shape))
            if not options.quick:
                trls.append(episodes_per_second(Shape(), trl()) if TRL_PYTHON.exists() else recorded_trl())
            if old is not None:
                rounds["before"].append(iterations_of(old, shape))
    speeds = {name: [episodes_per_second(shape, found) for found in each] for name, each in rounds.items()}
    data = {name: shares([one for found in each for one in found]) for name, each in rounds.items() if each}
    what = f"PPO, {shape.prompts} prompts of {shape.prompt_tokens} + {shape.new_tokens} tokens"
    yardstick = "TRL's PPOTrainer" if TRL_PYTHON.exists() else "TRL's, recorded and scaled"
    results, remarks = [], []
    for others, words, goal in ((trls, yardstick, GOAL), (speeds["before"], f"ours at {BEFORE}", AS_BEFORE)):
        if others:
            ratios = tuple(ours / other for ours, other in zip(speeds["after"], others, strict=True))
            ours, other = median(speeds["after"]), median(others)
            results.append(Result(what, ours, "episodes/s", words, other, median(ratios), goal, rounds=ratios))
    if not TRL_PYTHON.exists():
        remarks.append(
            f"TRL was not run: {RECORDED_EPISODES} episodes/s are on record for a machine whose product makes "
            f"{RECORDED_PRODUCT / 1e9:.0f} GFLOP/s, and are scaled to this one's; `make bench-trl` installs it"
        )
    if old is None:
        remarks.append(f"commit {BEFORE} is not in this clone, so there is no before")
    for name, part in data.items():
        remarks.append(f"{name}: " + ", ".join(f"{key} {share:.0%}" for key, share in part.items()))
    return Part(results, remarks, data)
