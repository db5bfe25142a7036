"""Does a policy abstain where it would be wrong? Questions of fact by how often the SFT policy's claims are right.

For each question, the SFT policy's many answers say how likely a claim of its is right; beside it stands how often each
policy says "I do not know". A policy that knows what it knows abstains where claims are wrong, and seldom elsewhere
(Kadavath et al. 2022, arXiv 2207.05221; for RLHF: Schulman 2023, "Reinforcement learning from human feedback: progress
and challenges").
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from minigpt.runs.files import write_json, write_text
from rlhf.evaluation.measures import fact_kind, frequency_of
from rlhf.people.prompts import Prompt

BINS = 4  # of the probability that a claim is right


@dataclass(frozen=True)
class Bin:
    """Questions of fact whose claims are right with a probability from `low` to `high`: how many there are, the mean
    of that probability, and the share of "I do not know" among each policy's answers to them."""

    low: float
    high: float
    questions: int
    right: float
    abstains: dict[str, float]


def calibration(
    prompts: Sequence[Prompt], claims: Sequence[Sequence[str]], policies: Mapping[str, Sequence[Sequence[str]]]
) -> list[Bin]:
    """claims: for each prompt the answers from which the probability is estimated; policies: each policy's answers.

    A question to which no claim was made has no such probability and is left out, and so is a bin without a question.
    """
    rows = []
    for index, prompt in enumerate(prompts):
        if not frequency_of(prompt):
            continue
        kinds = [fact_kind(prompt.request, text) for text in claims[index]]
        claimed = len(kinds) - kinds.count("unknown")
        if claimed:
            abstains = {
                name: fmean(fact_kind(prompt.request, text) == "unknown" for text in answers[index])
                for name, answers in policies.items()
            }
            rows.append((kinds.count("right") / claimed, abstains))
    found = []
    for number in range(BINS):
        low, high = number / BINS, (number + 1) / BINS
        inside = [row for row in rows if low <= row[0] < high or (row[0] == high == 1.0)]
        if inside:
            abstains = {name: fmean(row[1][name] for row in inside) for name in policies}
            found.append(Bin(low, high, len(inside), fmean(row[0] for row in inside), abstains))
    return found


def write_calibration(folder: Path, bins: Sequence[Bin]) -> None:
    """calibration.json and calibration.svg."""
    data: dict[str, Any] = {"bins": [asdict(each) for each in bins]}
    write_json(folder / "calibration.json", data)
    figure = Figure(figsize=(5.2, 3.4), layout="constrained")
    axes = figure.add_subplot()
    for name in bins[0].abstains if bins else ():
        axes.plot([each.right for each in bins], [each.abstains[name] for each in bins], marker="o", label=name)
    axes.set_xlabel("probability that a claim of the SFT policy is right")
    axes.set_ylabel('share of "I do not know"')
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlim(-0.02, 1.02)
    if bins:
        axes.legend()
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "rlhf"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    write_text(folder / "calibration.svg", buffer.getvalue())
