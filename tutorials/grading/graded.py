"""A submission with its grades: what the checks said, and the points. `grade` fills it in, `reports` writes it down."""

from __future__ import annotations

from dataclasses import dataclass, field

from tutorials.exercises.work import Outcome
from tutorials.grading.inbox import Submission


@dataclass
class Graded:
    """One submission, the outcomes of its checks by exercise, and the points for each exercise."""

    submission: Submission
    outcomes: dict[str, list[Outcome]] = field(default_factory=dict)
    points: dict[str, int] = field(default_factory=dict)
    late_hours: float = 0.0

    @property
    def total(self) -> int:
        return sum(self.points.values())
