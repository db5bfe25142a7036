"""The job behind the teacher's button: a reward model trained on what the class has ranked, then PPO against it.

    server ─► python -m rlhf.web.labels.training ─► python -m rlhf.stage2_reward --rankings ... ─► rlhf.stage3_ppo

The middle process belongs to no server: it goes on when the server is restarted. It holds a lock, as do the commands
that it runs, so that whoever looks knows whether a job still lives, and two can never run. The run of the class has a
folder of its own, runs/<preset>-class/<preset>/, beginning with copies of the pretrained and the SFT model.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from minigpt.runs.config import PRESET_NAMES, option, parse
from minigpt.runs.errors import UserError, run_main
from minigpt.runs.made_from import file_digest
from minigpt.runs.resume import remove, resume_paths, working_folder
from rlhf.web.config import ItemsConfig
from rlhf.web.labels import export
from rlhf.web.stages import class_run_dir
from rlhf.web.store import jobs
from rlhf.web.store.database import PRIVATE, Database
from rlhf.web.store.jobs import Job

try:
    import fcntl
except ImportError:  # Windows, which has no file locks that a child process inherits
    fcntl = None  # type: ignore[assignment]

COMMANDS = {"reward_model": "rlhf.stage2_reward", "ppo": "rlhf.stage3_ppo"}
PREPARE = "rlhf.web.prepare"
KINDS = ("reward_model", "ppo", "reward_model,ppo", "prepare")
FEWEST_RANKINGS = 2  # one to learn from, one to measure on
COPIED = {
    "pretrain": ("checkpoint.pt", "config.json", "made_from.json", "tokenizer.json"),
    "sft": ("checkpoint.pt", "config.json", "made_from.json", "demonstrations.jsonl"),
}
NICENESS = 10  # the pages come first
LONGEST_BAR = 400  # bytes at the end of what a command has printed, in which its progress bar is
TRIES, PAUSE = 20, 0.05  # somebody who only looks holds the lock for a moment
NO_JOBS = (
    "the server starts other processes on Linux and macOS only: here run `python -m rlhf.web.prepare` for the prompts, "
    "export the rankings, and train with `python -m rlhf.stage2_reward --rankings`"
)
STOPPED = "the training was stopped from outside: press the button again, and it goes on from the last saved state"


# ---- In the server -----------------------------------------------------------------------------------------------


def start(store: Database, config: ItemsConfig, kind: str) -> bool:
    """Starts a job; False if one is running. Raises UserError if there is nothing to train on, or no way to do it."""
    if fcntl is None:
        raise UserError(NO_JOBS)
    if kind.startswith("reward_model") and len(export.ranking_lines(store)) < FEWEST_RANKINGS:
        raise UserError("nobody has put answers in order yet: rank some prompts first")
    if kind == "ppo" and not (reward_model_dir(config) / "checkpoint.pt").is_file():
        raise UserError("there is no reward model of this class yet: train it first")
    lock = take_lock(config, exclusive=True)
    if lock is None:
        return False
    with lock:
        last = jobs.last(store)
        if last is not None and last.state == "running":  # its process is gone, or the lock would be held
            jobs.end(store, last.id, STOPPED)
        number = jobs.begin(store, kind)
        if number is None:
            return False
        arguments = flags({**common(config), **items_settings(config), "kind": kind, "job": number})
        threads = str(max(1, (os.cpu_count() or 2) - 1))  # one core is for the people
        with (config.class_dir / "job.log").open("wb") as log:
            subprocess.Popen(
                [sys.executable, "-m", "rlhf.web.labels.training", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(lock.fileno(),),  # the lock is the process's from the first moment on
                env={"OMP_NUM_THREADS": threads, **os.environ, "CLASSROOM_LOCK": str(lock.fileno())},
                start_new_session=True,  # Ctrl-C in the terminal of the server does not reach it
            )
    return True


def status(store: Database, config: ItemsConfig) -> Job | None:
    """The newest job, as it is: one whose process was killed is marked so."""
    job = jobs.last(store)
    if job is None or job.state != "running" or fcntl is None:
        return job
    lock = take_lock(config, exclusive=False)
    if lock is not None:
        with lock:
            jobs.end(store, job.id, STOPPED)  # nothing, if it has ended in between
    return jobs.last(store)


def percent(config: ItemsConfig, job: Job) -> int | None:
    """The progress of the running job's command in per cent, as its progress bar says; None before there is one."""
    path = log_path(config.class_dir, COMMANDS.get(job.step, PREPARE))
    if job.state != "running" or not path.is_file() or path.stat().st_mtime < job.started:
        return None
    shown = re.findall(rb"(\d+)%(?:\|[^|]*\|)? *\d+/\d+ \[", path.read_bytes()[-LONGEST_BAR:])
    return int(shown[-1]) if shown else None


def take_lock(config: ItemsConfig, *, exclusive: bool) -> BinaryIO | None:
    """The file whose lock a running job holds; None if one does."""
    config.class_dir.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
    file = (config.class_dir / "job.lock").open("ab")
    for _ in range(TRIES):
        with suppress(BlockingIOError):
            fcntl.flock(file, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
            return file
        if not exclusive:
            break
        time.sleep(PAUSE)
    file.close()
    return None


def reward_model_dir(config: ItemsConfig) -> Path:
    """The folder of the class's reward model."""
    return class_run_dir(config.runs, config.preset) / "reward_model"


def flags(settings: dict[str, object]) -> list[str]:
    """Settings as they are typed."""
    return [word for name, value in settings.items() for word in (f"--{name.replace('_', '-')}", str(value))]


# ---- In the process of the job -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class JobConfig(ItemsConfig):
    """Settings of a job."""

    kind: str = option("reward_model,ppo", "the parts, in order", choices=KINDS)
    job: int = option(0, "the number of its row in the store; 0 is none", low=0)


def run(config: JobConfig) -> str:
    """Runs the parts one after another; the sentence of the one that failed, "" if none did."""
    store = Database(config.database)
    if config.kind == "prepare":
        return command(PREPARE, flags(common(config) | items_settings(config)), config.class_dir)
    begin_run(store, config)
    for part in config.kind.split(","):
        jobs.set_step(store, config.job, part)
        stage_dir = class_run_dir(config.runs, config.preset) / part
        before = digest_of(stage_dir)
        settings = common(config) | {"runs": str(config.class_dir)}
        if part == "reward_model":
            settings["rankings"] = str(config.class_dir / export.RANKINGS)
        failed = command(COMMANDS[part], flags(settings), config.class_dir)
        if failed:
            return failed
        if part == "reward_model" and digest_of(stage_dir) != before:
            forget_stopped(stage_dir.parent / "ppo")  # it learned from another reward model
    return ""


def common(config: ItemsConfig) -> dict[str, object]:
    """The settings that every command takes."""
    return {name: getattr(config, name) for name in ("preset", "seed", "runs", "device")}


def items_settings(config: ItemsConfig) -> dict[str, object]:
    """Those of `rlhf.web.prepare` besides."""
    return {name: getattr(config, name) for name in ("prompts", "answers", "known_share", "max_new_tokens")}


def begin_run(store: Database, config: ItemsConfig) -> None:
    """The folder of the class's run with the models that it begins with, and rankings.jsonl as it is now. A state that
    was saved with other rankings or another model is not resumed."""
    own, target = config.run_dir, class_run_dir(config.runs, config.preset)
    files = [Path(name) for name in ("tokenizer.json", "settings.json")]
    files += [Path(folder, name) for folder, names in COPIED.items() for name in names]
    changed = False
    for name in files:
        if (own / name).is_file() and digest(own / name) != digest(target / name):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(own / name, target / name)
            changed = changed or name.suffix == ".pt"
    before = digest(config.class_dir / export.RANKINGS)
    if digest(export.write_rankings(store, config.class_dir)) != before or changed:
        for part in COMMANDS:
            forget_stopped(target / part)


def digest(path: Path) -> str:
    """SHA-256 of a file; "" if there is none."""
    return file_digest(path) if path.is_file() else ""


def digest_of(stage_dir: Path) -> str:
    """That of a stage's result."""
    return digest(stage_dir / "checkpoint.pt")


def forget_stopped(stage_dir: Path) -> None:
    """Removes what a stopped run would be resumed from."""
    remove(*resume_paths(working_folder(stage_dir)))


def log_path(folder: Path, module: str) -> Path:
    """The file with a command's output."""
    return folder / f"{module}.log"


def command(module: str, arguments: Sequence[str], folder: Path) -> str:
    """Runs a command of ours; its one sentence if it failed, else "". What it prints is in <folder>/<module>.log."""
    path = log_path(folder, module)
    lock = os.environ.get("CLASSROOM_LOCK")
    with path.open("wb") as log:
        ended = subprocess.run(
            ["nice", "-n", str(max(0, NICENESS - os.nice(0))), sys.executable, "-m", module, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(int(lock),) if lock else (),
            check=False,
        )
    if ended.returncode == 0:
        return ""
    lines = path.read_text(encoding="utf-8", errors="replace").replace("\r", "\n").splitlines()
    said = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return said[-1] if said else f"{module} ended with status {ended.returncode}; what it printed is in {path}"


def main(argv: list[str]) -> None:
    """Runs a job to its end, and notes how it ended."""
    config = parse(JobConfig, argv, description=__doc__, presets={name: {} for name in PRESET_NAMES})
    failed = "the server's own process failed; see job.log"
    try:
        failed = run(config)
    except UserError as error:
        failed = str(error)
    finally:
        jobs.end(Database(config.database), config.job, failed)
    if failed:
        raise UserError(failed)


if __name__ == "__main__":
    run_main(main)
