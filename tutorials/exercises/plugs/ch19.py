"""`plug` for chapter 19: the student's win rate writes the table, and the other functions are applied to a run."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from rlhf.evaluation.results import load_answers
from rlhf.evaluation.win_rate import BOOTSTRAP_SAMPLES
from rlhf.evaluation.win_rate import win_rate as package_win_rate
from tutorials.exercises.measure import EQUAL_POLICIES, SIXTY_PERCENT
from tutorials.exercises.plugs.common import student_function, student_module
from tutorials.exercises.registry import ROOT, Exercise
from tutorials.tools.numbers import load_numbers

PAIRS = (("sft", "base_first_line"), ("ppo", "base_first_line"), ("ppo", "sft"))


def grades() -> tuple[dict[str, list[float]], str]:
    """The gold totals of each stage, one a prompt, and where they are from: a run of yours, or the recorded one."""
    for preset in ("small", "tiny"):
        path = ROOT / "runs" / preset / "evaluation" / "answers.jsonl"
        if path.is_file():
            items = load_answers(path)
            stages = {stage for pair in PAIRS for stage in pair}
            found = {stage: [item["every_answer"][stage][0]["total"] for item in items] for stage in sorted(stages)}
            return found, f"your run runs/{preset}"
    return load_numbers("who-wins")["totals"], "the recorded run of preset small (you have none of your own)"


def resamples(prompts: int, seed: int = 0) -> Tensor:
    """The prompts that the package's bootstrap draws: [R,P]."""
    rng = random.Random(f"bootstrap {seed}")
    return torch.tensor([rng.choices(range(prompts), k=prompts) for _ in range(BOOTSTRAP_SAMPLES)])


def write_the_table(exercise: Exercise) -> None:
    """The table of win rates, by the student's function and by the package's."""
    mine, (totals, source) = student_function(exercise), grades()
    draws = resamples(len(totals["sft"]))
    print(f"{'':34}{'yours':>22}{'the package':>24}      {source}")
    for first, second in PAIRS:
        rate, low, high = mine(torch.tensor(totals[first]), torch.tensor(totals[second]), draws).tolist()
        theirs = package_win_rate(totals[first], totals[second])
        cells = f"{rate:.3f} [{low:.3f}, {high:.3f}]", f"{theirs.rate:.3f} [{theirs.low:.3f}, {theirs.high:.3f}]"
        print(f"{f'{first} against {second}':<34}{cells[0]:>22}{cells[1]:>24}")


def compare_intervals(exercise: Exercise) -> None:
    """PPO against SFT in each family: Wilson's interval by the student's function, and the bootstrap."""
    wilson, (totals, source) = student_function(exercise), grades()
    families = load_numbers("who-wins")["family_of"] if "recorded" in source else ["all"] * len(totals["sft"])
    print(f"{'PPO against SFT':<18}{'won':>5}{'lost':>6}{'Wilson (yours)':>18}{'bootstrap':>18}      {source}")
    for family in dict.fromkeys(families):
        rows = [n for n, name in enumerate(families) if name == family]
        theirs = package_win_rate(*(pick(totals[stage], rows) for stage in ("ppo", "sft")))
        low, high = wilson(theirs.wins, theirs.losses, 1.96)
        cells = f"[{low:.2f}, {high:.2f}]", f"[{theirs.low:.2f}, {theirs.high:.2f}]"
        print(f"{family:<18}{theirs.wins:5d}{theirs.losses:6d}{cells[0]:>18}{cells[1]:>18}")


def pick(values: Sequence[float], rows: Sequence[int]) -> list[float]:
    """Some of the values."""
    return [values[row] for row in rows]


def measure_luck(exercise: Exercise) -> None:
    """How often one of two equal policies wins 60 % or more of the decided prompts."""
    chance = student_function(exercise)
    print(f"{'decided prompts':>16}{'60 % or more':>14}{'probability':>13}")
    for n in EQUAL_POLICIES:
        least = round(SIXTY_PERCENT * n)
        print(f"{n:16d}{least:14d}{chance(n, least):13.3f}")
    print("write the last column into answers.toml, and why it came out like that")


def count_alarms(exercise: Exercise) -> None:
    """The repaired program's own experiments."""
    module: Any = student_module(exercise)
    print(f"{module.EXPERIMENTS} experiments with two equal policies: ½ is outside in {module.alarms():.0%} of them")


PLUGS: dict[str, Callable[[Exercise], None]] = {
    "19.1": write_the_table,
    "19.2": compare_intervals,
    "19.3": measure_luck,
    "19.4": count_alarms,
}
