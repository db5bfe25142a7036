"""Compares three seeds with what they gave before and with what was promised.

    python -m tests.verify              compares runs/verify/seed-N with tests/expected/seed-N.json
    python -m tests.verify --record     makes them the expected ones

`make verify` and `make expected` train the three seeds first. Another machine adds up floating-point numbers in another
order and so arrives at other weights; tolerances.json says how far each figure may be from the expected one. It maps
patterns of names ("gold_by_family.*") to a number, or to null for figures that are shown and not compared; the first
pattern that matches counts. Not collected by pytest: tests/test_verify.py tests the comparison itself.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from minigpt.runs.config import Settings, option, parse
from minigpt.runs.errors import UserError, run_main
from minigpt.runs.files import load_json, write_json
from rlhf.evaluation.results import Results, load_results
from rlhf.report.goals import GOALS, figures_of, medians

SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class VerifyConfig(Settings):
    """The folders to compare."""

    runs: str = option("runs/verify", "folder with seed-0/small, seed-1/small, seed-2/small")
    expected: str = option("tests/expected", "folder with seed-0.json, ... and tolerances.json")
    record: bool = option(False, "write the runs' results to the expected ones instead of comparing")


@dataclass(frozen=True)
class Line:
    """One line of the table. `within` is None for a figure that is not compared."""

    name: str
    expected: str
    got: str
    within: bool | None


def tolerance_of(name: str, tolerances: Mapping[str, float | None]) -> float | None:
    """The tolerance of a figure; None: any distance. Raises UserError if no pattern matches its name."""
    for pattern, tolerance in tolerances.items():
        if fnmatchcase(name, pattern):
            return tolerance
    raise UserError(f"tolerances.json has no pattern for the figure {name!r}; add one")


def compare(expected: Results, got: Results, tolerances: Mapping[str, float | None], prefix: str = "") -> list[Line]:
    """Each figure of one run beside the expected one; a figure that only one of the two has is not within."""
    before, now = figures_of(expected), figures_of(got)
    lines = []
    for name in dict.fromkeys([*before, *now]):
        tolerance = tolerance_of(name, tolerances)
        if name not in before or name not in now:
            within: bool | None = False
        elif tolerance is None:
            within = None
        else:
            within = abs(now[name] - before[name]) <= tolerance + 1e-9
        allowed = "" if tolerance is None else f" ± {tolerance:g}"
        lines.append(Line(prefix + name, _show(before.get(name)) + allowed, _show(now.get(name)), within))
    return lines


def check_goals(runs: Sequence[Results]) -> list[Line]:
    """The medians over the runs beside what was promised."""
    middle = medians(runs)
    return [Line(f"median: {goal.name}", goal.text, _show(goal.measure(middle)), goal.met(middle)) for goal in GOALS]


def table(lines: Sequence[Line]) -> str:
    """The lines as text in columns."""
    verdict = {True: "yes", False: "NO", None: "-"}
    rows = [("figure", "expected", "got", "within?")]
    rows += [(line.name, line.expected, line.got, verdict[line.within]) for line in lines]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    padded = [[text.ljust(width) for text, width in zip(row, widths, strict=True)] for row in rows]
    return "\n".join("  ".join(row).rstrip() for row in padded)


def _show(value: float | None) -> str:
    return "missing" if value is None else f"{value:.4g}"


def main(argv: list[str]) -> None:
    """Prints the table and exits with 1 if anything is off."""
    config = parse(VerifyConfig, argv, description=__doc__, presets={})
    expected = Path(config.expected)
    files = {seed: Path(config.runs) / f"seed-{seed}" / "small" / "results.json" for seed in SEEDS}
    runs = {seed: load_results(file, "make verify") for seed, file in files.items()}
    lines = []
    if config.record:
        for seed, run in runs.items():
            write_json(expected / f"seed-{seed}.json", run)
        print(f"the results of seeds {', '.join(map(str, SEEDS))} are now the expected ones, in {expected}")
    else:
        tolerances = load_json(expected / "tolerances.json", "git checkout tests/expected")
        for seed, run in runs.items():
            before = load_results(expected / f"seed-{seed}.json", "make expected")
            lines += compare(before, run, tolerances, f"seed {seed}: ")
    lines += check_goals(list(runs.values()))
    print(table(lines))
    off = [line for line in lines if line.within is False]
    print(f"\n{len(off)} of {len(lines)} figures are not within what was expected." if off else "\nAll as expected.")
    if off:
        sys.exit(1)


if __name__ == "__main__":
    run_main(main)
