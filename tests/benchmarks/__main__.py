"""The speed of this project: every figure as a ratio to a yardstick that is measured in the same run.

    python -m tests.benchmarks
    python -m tests.benchmarks --only training
    python -m tests.benchmarks --text my/tinyshakespeare.txt

Nothing else may run beside it: on two cores a second program halves everything. Prints what · measured · yardstick ·
ratio · goal, and writes results.json and the drawings; --only replaces its part of them and leaves the others. --quick
takes sizes that mean nothing, to see that every part runs. tinyshakespeare is left out where its text is not at hand.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from minigpt.runs.config import Settings, option, parse
from minigpt.runs.errors import UserError, run_main
from minigpt.runs.files import write_json
from tests.benchmarks import corpus, drawings, growth, ppo, sampling, shakespeare, tokenizing, training
from tests.benchmarks.report import Options, section, table

PARTS = {
    "training": training.measure,
    "sampling": sampling.measure,
    "ppo": ppo.measure,
    "tokenizer": tokenizing.measure,
    "corpus": corpus.measure,
    "growth": growth.measure,
    "tinyshakespeare": shakespeare.measure,
}
HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class BenchmarksConfig(Settings):
    """The parts to measure, their sizes, and the file to write."""

    only: str = option("", "one part", choices=("", *PARTS))
    text: str = option(str(shakespeare.DEFAULT_TEXT), "tinyshakespeare, which is not in the repository")
    out: str = option(str(HERE), "folder for results.json and the drawings")
    quick: bool = option(False, "sizes that mean nothing, to see that every part runs")

    def check_fields(self) -> None:
        if self.quick and Path(self.out).resolve() == HERE:
            raise UserError("--quick measures nothing that should be kept: name another folder with --out")


def read_results(path: Path) -> dict[str, dict]:
    """The sections of an earlier run, {} if there is none. Raises UserError if the file is damaged."""
    if not path.exists():
        return {}
    try:
        sections = json.loads(path.read_text(encoding="utf-8"))
        return {name: sections[name] for name in PARTS if name in sections}
    except (ValueError, TypeError):
        raise UserError(f"{path} is damaged; delete it, and run `make bench` again") from None


def main(argv: list[str]) -> None:
    """Measures, prints and writes. A goal that is missed is a result, and no error."""
    config = parse(BenchmarksConfig, argv, description=__doc__, presets={})
    names = [config.only] if config.only else list(PARTS)
    named = config.only == "tinyshakespeare" or config.text != str(shakespeare.DEFAULT_TEXT)
    text = shakespeare.find_text(config.text, needed="tinyshakespeare" in names and named and not config.quick)
    if text is None and "tinyshakespeare" in names and not config.quick:
        names.remove("tinyshakespeare")
        print(f"tinyshakespeare is left out: {config.text} is missing; give its place with make bench TEXT=… or --text")
    path = Path(config.out) / "results.json"
    sections = read_results(path)
    options = Options(quick=config.quick, text=text)
    print(f"{torch.get_num_threads()} threads", flush=True)
    for name in names:
        started = time.monotonic()
        part = PARTS[name](options)
        seconds = time.monotonic() - started
        print("", f"{name} ({seconds:.0f} s)", *table(part.results), *part.remarks, sep="\n", flush=True)
        sections[name] = section(part, seconds, " ".join(["python -m tests.benchmarks", *argv]))
        write_json(path, sections)
    drawings.draw_all(sections, Path(config.out))


if __name__ == "__main__":
    run_main(main)
