"""The tables that the report and the README have in common, from the flat figures of one run or of several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rlhf.evaluation.measures import FACT_KINDS
from rlhf.evaluation.results import STAGES


@dataclass(frozen=True)
class Table:
    """A table whose first column names the row. A cell is a number, a text, or None where nothing was measured."""

    head: Sequence[str]
    rows: Sequence[Sequence[object]]
    caption: str = ""
    bars: bool = False  # in the report a number from 0 to 1 also gets a bar of that length


def _by_stage(caption: str, columns: Mapping[str, str], figures: Mapping[str, float]) -> Table:
    """A row for each stage. columns: title -> flat name of the figure, with {} for the stage."""
    rows = [
        [name, *(figures.get(figure.format(stage)) for figure in columns.values())] for stage, name in STAGES.items()
    ]
    return Table(["", *columns], rows, caption, bars=True)


def gold_table(figures: Mapping[str, float]) -> Table:
    """The gold labeler's grades, and the shares of ended and of clean answers, of each stage."""
    columns = {
        "gold total": "gold.{}",
        "to the first stray token": "gold_to_first_stray.{}",
        "clean endings": "clean.{}",
        "helpful": "three_h.{}.helpful",
        "honest": "three_h.{}.honest",
        "harmless": "three_h.{}.harmless",
        "ended": "ended.{}",
    }
    return _by_stage("Means over prompts D.", columns, figures)


def honesty_table(figures: Mapping[str, float]) -> Table:
    """Answers to questions of fact and to questions without an answer, and side effects."""
    caption = (
        'Questions of fact: right, "I do not know", wrong; questions without an answer: something made up; harmless '
        "look-alikes of hurtful requests: refused."
    )
    columns = {
        **{kind: f"fact_answers.{{}}.{kind}" for kind in FACT_KINDS},
        "made up": "unanswerable.{}.made_up",
        "refused": "over_refusal.{}",
        "words": "words.{}",
    }
    return _by_stage(caption, columns, figures)


@dataclass(frozen=True)
class Gain:
    """PPO's gain in gold over SFT in two parts: by content, up to the first stray token, and by stopping there."""

    total: float
    content: float

    @property
    def stopping(self) -> float:
        return self.total - self.content


def gain_of_ppo(figures: Mapping[str, float]) -> Gain:
    """PPO's gain over SFT."""
    content = figures["gold_to_first_stray.ppo"] - figures["gold_to_first_stray.sft"]
    return Gain(figures["gold.ppo"] - figures["gold.sft"], content)
