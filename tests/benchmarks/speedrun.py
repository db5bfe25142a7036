"""The speedrun: the time from nothing to a PPO policy that meets the goals of the chain, on two CPU cores.

    python -m tests.benchmarks.speedrun                     runs five seeds, adds an entry, writes SPEEDRUN.md
    python -m tests.benchmarks.speedrun --name "1,600 steps of pretraining"
    python -m tests.benchmarks.speedrun --verify            runs nothing: checks the entries, writes SPEEDRUN.md

The rules are in SPEEDRUN.md. The seeds are drawn from the commit, so they are known only once the code is fixed. A
speedrun that was interrupted does not repeat the seeds that are complete. A seed that is not begins anew: a stage that
is resumed reports the seconds of its last session only.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch

from minigpt.runs.config import Settings, option, parse
from minigpt.runs.errors import UserError, run_main
from minigpt.runs.files import load_json, write_json, write_text
from minigpt.scale.timing import matrix_product_rate
from rlhf.evaluation.results import load_results
from rlhf.report.goals import GOALS, medians
from rlhf.report.readme import replace_between
from tests.benchmarks.report import ROOT, commit

SEEDS = 5
ENTRIES = ROOT / "tests" / "benchmarks" / "speedrun.json"
PAGE = ROOT / "tests" / "benchmarks" / "SPEEDRUN.md"
QUALITY = tuple(goal for goal in GOALS if not goal.of_the_machine)


@dataclass(frozen=True)
class SpeedrunConfig(Settings):
    """What the entry is called, and where its runs lie."""

    name: str = option("", "a few words on what is new in this entry")
    runs: str = option(str(ROOT / "runs" / "speedrun"), "folder for the five runs")
    verify: bool = option(False, "run nothing; check the entries that are there and write the page")


def drawn_seeds(commit: str) -> list[int]:
    """The seeds of an entry, from 1,000 to 999,999: SHA-256 of the commit's hash and a number, so nobody chooses them.
    Seeds below 1,000 are left out, because people tune on them."""
    digests = [hashlib.sha256(f"{commit} {number}".encode()).digest() for number in range(SEEDS)]
    return [1000 + int.from_bytes(digest[:4], "big") % 999_000 for digest in digests]


def cost(seconds: float, rates: Sequence[float]) -> float:
    """Seconds times the mean rate of the matrix product (FLOP/s), in TFLOP: what the machine could have multiplied."""
    return seconds * sum(rates) / len(rates) / 1e12


def entry_of(name: str, commit: str, runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One entry of speedrun.json: the medians over its runs, and the goals that these miss.

    runs: of each seed its `results` (results.json) and the `rates` of the matrix product before and after, in FLOP/s.
    """
    figures = medians([run["results"] for run in runs])
    return {
        "name": name,
        "commit": commit,
        "seeds": [run["results"]["seed"] for run in runs],
        "tflop": round(median(cost(run["results"]["seconds"]["total"], run["rates"]) for run in runs), 1),
        "seconds": round(median(run["results"]["seconds"]["total"] for run in runs)),
        "gflops": round(median(sum(run["rates"]) / len(run["rates"]) for run in runs) / 1e9),
        "gold_sft": round(figures["gold.sft"], 3),
        "gold_ppo": round(figures["gold.ppo"], 3),
        "won": round(figures["win_rate.ppo_vs_sft.rate"], 3),
        "missed": [goal.name for goal in QUALITY if not goal.met(figures)],
    }


def table(entries: Sequence[Mapping[str, Any]]) -> str:
    """The entries as a Markdown table, by the number of goals that they miss, then by TFLOP; each says which it misses.

    Fewer goals are easier to reach soon, so an entry is compared only with those that miss as few.
    """
    lines = ["| entry | commit | TFLOP | seconds | GFLOP/s | SFT | PPO | won | goals |"]
    lines += ["|---|---|--:|--:|--:|--:|--:|--:|---|"]
    for entry in sorted(entries, key=lambda entry: (len(entry["missed"]), entry["tflop"])):
        goals = f"misses: {'; '.join(entry['missed'])}" if entry["missed"] else "all met"
        lines.append(
            f"| {entry['name']} | {entry['commit'][:7]} | {entry['tflop']:g} | {entry['seconds']} | {entry['gflops']} "
            f"| {entry['gold_sft']:.3f} | {entry['gold_ppo']:.3f} | {100 * entry['won']:.1f} % | {goals} |"
        )
    return "\n".join(lines)


def run_seed(seed: int, runs: Path) -> dict[str, Any]:
    """One whole chain from nothing: its `results`, and the `rates` of the matrix product before and after it, FLOP/s.

    Raises UserError if a stage fails.
    """
    folder, device = runs.resolve() / f"seed-{seed}", torch.device("cpu")
    kept = folder / "speedrun.json"
    if not kept.is_file():
        shutil.rmtree(folder, ignore_errors=True)
        before = matrix_product_rate(device, torch.float32)
        command = ["make", "--no-print-directory", "all", "PRESET=small", "CORPUS=", "DEMONSTRATIONS=", "RANKINGS="]
        if subprocess.run([*command, f"SEED={seed}", f"RUNS={folder}"], cwd=ROOT).returncode:
            raise UserError(f"the chain of seed {seed} failed, see above; mend it, commit, and run again")
        write_json(kept, {"rates": [before, matrix_product_rate(device, torch.float32)]})
    results = load_results(folder / "small" / "results.json", "python -m tests.benchmarks.speedrun")
    return {"results": results, **load_json(kept, "python -m tests.benchmarks.speedrun")}


def clean_commit() -> str:
    """The hash of the commit that is checked out. Raises UserError if files differ from it: seeds come from it."""
    found = commit()
    if found.endswith("+"):
        raise UserError(
            "the code differs from the commit, from which the seeds are drawn: commit it first (git status)"
        )
    if found == "unknown":
        raise UserError(f"{ROOT} is no git repository, and the seeds are drawn from the commit: work in a clone")
    return found


def check_entries(entries: Sequence[Mapping[str, Any]]) -> None:
    """Raises UserError for an entry whose seeds are not all five of its commit."""
    for entry in entries:
        if entry["seeds"] != drawn_seeds(entry["commit"]):
            raise UserError(f"entry {entry['name']!r}: its seeds are not those of commit {entry['commit'][:7]}")


def main(argv: list[str]) -> None:
    """Runs an entry, or checks those that are there; writes the table of SPEEDRUN.md."""
    config = parse(SpeedrunConfig, argv, description=__doc__, presets={})
    entries: list[dict[str, Any]] = json.loads(ENTRIES.read_text(encoding="utf-8"))
    check_entries(entries)
    if not config.verify:
        found = clean_commit()
        runs = [run_seed(seed, Path(config.runs) / found[:7]) for seed in drawn_seeds(found)]
        entry = entry_of(config.name or found[:7], found, runs)
        entries = [*(other for other in entries if other["commit"] != found), entry]
        write_json(ENTRIES, entries)
    write_text(PAGE, replace_between(PAGE.read_text(encoding="utf-8"), "speedrun", table(entries), str(PAGE)))
    print(table(entries))


if __name__ == "__main__":
    run_main(main)
