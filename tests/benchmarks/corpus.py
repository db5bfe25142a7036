"""A corpus larger than memory: what it costs in memory and per step, beside one of a few megabytes.

    python -m tests.benchmarks --only corpus
    python -m tests.benchmarks.corpus 200          # 200 MB instead of 1,000; prints the table, and writes nothing

Each corpus is a file that is generated for this, and goes through `python -m minigpt.pretrain` in a process of its own:
reading, training the tokenizer, encoding into a file, and some steps. Memory is the peak of that process. The files
are in a temporary folder (TMPDIR), which needs 1.5 times their size and is deleted at the end.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from minigpt.runs.errors import UserError, run_main
from tests.benchmarks.made_up import made_up_text
from tests.benchmarks.report import ROOT, Options, Part, Result, table

MEGABYTES, SMALL, REPEATED, KINDS, STEPS = 1000, 5, 20, 50_000, 200
MOST_MEGABYTES = 500  # above what the small corpus takes
SHAPE = ["--layers=2", "--channels=64", "--heads=2", "--context=128", "--vocab-size=896", "--batch-size=8"]
FLAGS = [*SHAPE, "--evaluate-every=0", "--checkpoint-every=0", "--device=cpu"]


def write_corpus(path: Path, megabytes: float, kinds: int) -> None:
    """A text of this size, of so many kinds of words. After REPEATED MB it begins again: only its length matters."""
    texts = made_up_text(round(1_000_000 * min(megabytes, REPEATED)), kinds)
    block = "\n<|endoftext|>\n".join([*texts, ""]).encode()
    size = 1_000_000 * megabytes
    with path.open("wb") as file:
        while file.tell() < size:
            file.write(block)


def pretrain(megabytes: float, kinds: int, steps: int) -> dict[str, float]:
    """Peak memory in MB, milliseconds a step, and seconds before the first of them, of a process that pretrains."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_corpus(folder / "corpus.txt", megabytes, kinds)
        command = [sys.executable, "-m", "minigpt.pretrain", f"--corpus={folder / 'corpus.txt'}", f"--runs={folder}"]
        # its bars and its complaints go to stderr as they come: a gigabyte takes minutes
        done = subprocess.run([*command, *FLAGS, f"--steps={steps}"], cwd=ROOT, stdout=subprocess.DEVNULL)
        if done.returncode:
            raise UserError(f"pretraining on {megabytes:g} MB failed; its reason is above")
        usage = json.loads((folder / "small" / "pretrain" / "usage.json").read_text(encoding="utf-8"))
        lines = (folder / "small" / "pretrain" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if "tokens_per_second" in row]
    rate = median(row["tokens_per_second"] for row in rows[len(rows) // 4 :])
    return {
        "memory": usage["peak_rss_mb"],
        "step": 1000 * 8 * 128 / rate,
        "preparation": usage["seconds"] - rows[-1]["seconds"],
    }


def compare(megabytes: float, small: float, kinds: int, steps: int) -> Part:
    """The large corpus beside the small one."""
    large, little = pretrain(megabytes, kinds, steps), pretrain(small, kinds, steps)
    above = large["memory"] - little["memory"]
    name = f"a corpus of {megabytes:,g} MB"
    results = [
        Result(
            f"{name}: memory above that for {small:,g} MB",
            above,
            "MB",
            "MB allowed",
            MOST_MEGABYTES,
            max(above, 0.01) / MOST_MEGABYTES,
            1.0,
            at_most=True,
        ),
        Result(
            f"{name}: a step of training",
            large["step"],
            "ms",
            f"ms with {small:,g} MB",
            little["step"],
            large["step"] / little["step"],
            1.1,
            at_most=True,
        ),
    ]
    speed = megabytes / large["preparation"]
    remark = f"{name} is read, divided, trained a tokenizer on and encoded at {speed:,.1f} MB/s; the process peaks at "
    return Part(results, [f"{remark}{large['memory']:,.0f} MB, with {small:,g} MB at {little['memory']:,.0f} MB"])


def measure(options: Options) -> Part:
    """A gigabyte beside five megabytes."""
    if options.quick:
        return compare(0.1, 0.05, 200, 8)
    return compare(MEGABYTES, SMALL, KINDS, STEPS)


def main(argv: list[str]) -> None:
    """Prints the table for a corpus of so many megabytes."""
    if argv in (["-h"], ["--help"]):
        print(__doc__.strip())
        return
    if len(argv) != 1 or not argv[0].isdigit() or int(argv[0]) < 1:
        raise UserError("expected the size of the corpus in MB, as in `python -m tests.benchmarks.corpus 200`")
    part = compare(int(argv[0]), SMALL, KINDS, STEPS)
    print(*table(part.results), *part.remarks, sep="\n")


if __name__ == "__main__":
    run_main(main)
