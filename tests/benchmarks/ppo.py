"""PPO, whole iterations: episodes a second beside TRL, and the shares of generate, score and train before and after.

TRL has an environment of its own, .venv-bench (`make bench-trl`); without it, its recorded speed stands in, scaled by
the rates of the matrix product then and now, and the table says so. "Before" is our own code at the commit BEFORE,
taken out of git's history and run in the same way.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from shutil import copy
from statistics import median
from zipfile import ZipFile

import torch

from minigpt.runs.errors import UserError
from minigpt.scale.timing import matrix_product_rate
from tests.benchmarks.ppo_run import Shape, iterations
from tests.benchmarks.report import ROOT, Options, Part, Result

GOAL = 4.0
BEFORE = "c5d148d"  # the last commit before anything was done about speed
TRL_PYTHON = ROOT / ".venv-bench" / "bin" / "python"
RECORDED_EPISODES, RECORDED_PRODUCT = 27.6, 270e9  # TRL 1.9.2 on two cores, and their matrix product, FLOP/s
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


def before(shape: Shape) -> Iterations | None:
    """The same iterations with the code of BEFORE; None where git's history is not at hand."""
    command = ["git", "-C", str(ROOT), "archive", "--format=zip", BEFORE, "minigpt", "rlhf"]
    try:
        archive = subprocess.run(command, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with ZipFile(BytesIO(archive)) as files:
            files.extractall(folder)
        ours = folder / "tests" / "benchmarks"
        ours.mkdir(parents=True)
        for module in ("made_up.py", "ppo_run.py"):
            copy(ROOT / "tests" / "benchmarks" / module, ours)
        command = [sys.executable, "-m", "tests.benchmarks.ppo_run", json.dumps(asdict(shape))]
        return run_elsewhere(command, folder, f"what ran is the code of commit {BEFORE}")


def trl() -> tuple[str, float]:
    """The name of the yardstick, and its episodes a second."""
    if TRL_PYTHON.exists():
        script = ROOT / "tests" / "benchmarks" / "peers" / "trl_ppo.py"
        remedy = "repair it with `make bench-trl`, or remove .venv-bench"
        found = run_elsewhere([str(TRL_PYTHON), str(script)], ROOT, remedy)
        return "TRL's PPOTrainer", episodes_per_second(Shape(), found)
    scale = matrix_product_rate(torch.device("cpu"), torch.float32) / RECORDED_PRODUCT
    return "TRL's, recorded and scaled", RECORDED_EPISODES * scale


def measure(options: Options) -> Part:
    """Ours, TRL's, and ours as it was."""
    shape = QUICK if options.quick else Shape()
    found = iterations(shape)
    speed = episodes_per_second(shape, found)
    what = f"PPO, {shape.prompts} prompts of {shape.prompt_tokens} + {shape.new_tokens} tokens"
    data = {"after": shares(found)}
    if options.quick:
        return Part([Result(what, speed, "episodes/s", "itself", speed, 1.0)], data=data)
    yardstick, other = trl()
    results, remarks = [Result(what, speed, "episodes/s", yardstick, other, speed / other, GOAL)], []
    if not TRL_PYTHON.exists():
        remarks.append(
            f"TRL was not run: {RECORDED_EPISODES} episodes/s are on record for a machine whose product makes "
            f"{RECORDED_PRODUCT / 1e9:.0f} GFLOP/s, and are scaled to this one's; `make bench-trl` installs it"
        )
    old = before(shape)
    if old is None:
        remarks.append(f"commit {BEFORE} is not in this clone, so there is no before")
    else:
        was = episodes_per_second(shape, old)
        results.append(Result(what, speed, "episodes/s", f"ours at {BEFORE}", was, speed / was))
        data["before"] = shares(old)
    for name, part in data.items():
        remarks.append(f"{name}: " + ", ".join(f"{key} {share:.0%}" for key, share in part.items()))
    return Part(results, remarks, data)
