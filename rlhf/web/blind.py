"""Blind comparisons: which stage wrote which answer is known here, and to the browser only when the person asks for the
results.

A round is two answers to one prompt, in an order that is drawn here. A verdict is kept under the number of its round,
so one that is sent twice counts once. Rounds without a verdict are kept in memory alone.
"""

from __future__ import annotations

import random
import secrets
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from minigpt.runs.errors import UserError
from rlhf.evaluation.win_rate import win_rate
from rlhf.web.store import verdicts
from rlhf.web.store.database import Database
from rlhf.web.store.verdicts import Count

MOST_ROUNDS = 5000  # of all people; the oldest are forgotten first
WINNERS = {"first": "a", "second": "b", "tie": "tie"}


@dataclass
class Round:
    """A comparison that a person was shown: the stages in the order of the answers, and the verdict, once there is."""

    id: str
    person_id: int
    prompt: str
    stages: tuple[str, str]
    verdict: str = ""


class Rounds:
    """The rounds of all people since the server was started. Threads may share it."""

    def __init__(self, rng: random.Random | None = None) -> None:
        self._rng = rng or random.SystemRandom()  # nobody can work out the next order from earlier ones
        self._of: dict[str, Round] = {}
        self._lock = threading.Lock()

    def begin(self, person_id: int, prompt: str, stages: Iterable[str]) -> Round:
        """A new round of two of these stages, drawn, in an order that is drawn."""
        first, second = self._rng.sample(sorted(set(stages)), 2)
        begun = Round(secrets.token_urlsafe(16), person_id, prompt, (first, second))
        with self._lock:
            self._of[begun.id] = begun
            while len(self._of) > MOST_ROUNDS:
                del self._of[next(iter(self._of))]
        return begun

    def decide(self, store: Database, person_id: int, round_id: object, winner: object) -> None:
        """Keeps a verdict: "first", "second" or "tie"; the first one of a round counts. It is on the disk at return.

        Raises UserError for a round that this person was not shown, or another word.
        """
        with self._lock:
            found = self._of.get(round_id) if isinstance(round_id, str) else None
        if found is None or found.person_id != person_id:
            raise UserError("this comparison is not known any more: make another one")
        if winner not in WINNERS:
            raise UserError(f"a verdict is one of {', '.join(WINNERS)}")
        first, second = found.stages
        verdicts.add(
            store,
            person_id,
            f"blind {found.id}",
            prompt=found.prompt,
            stage_a=first,
            stage_b=second,
            winner=WINNERS[str(winner)],
        )
        found.verdict = found.verdict or str(winner)

    def decided(self, person_id: int) -> list[Round]:
        """The rounds that this person has decided, in their order."""
        with self._lock:
            return [one for one in self._of.values() if one.person_id == person_id and one.verdict]

    def forget(self, person_id: int) -> None:
        """Removes the rounds of a person who is deleted."""
        with self._lock:
            self._of = {number: one for number, one in self._of.items() if one.person_id != person_id}


def rates(counts: Iterable[Count]) -> list[dict[str, Any]]:
    """The win rate of the first stage of each pair, with its interval, as `evaluation.win_rate` computes them."""
    found = []
    for count in counts:
        outcomes = [1.0] * count.wins + [-1.0] * count.losses + [0.0] * count.ties
        rate = win_rate(outcomes, [0.0] * len(outcomes))
        found.append({"first": count.stage_a, "second": count.stage_b, **rate.as_dict()})
    return found
