"""Verdicts of the blind comparison: which of two stages gave the better answer."""

from __future__ import annotations

import time
from dataclasses import dataclass

from rlhf.web.store.database import Database, is_new


@dataclass(frozen=True)
class Count:
    """Wins, losses and ties of stage_a against stage_b, over all people or one."""

    stage_a: str
    stage_b: str
    wins: int
    losses: int
    ties: int


def add(store: Database, person_id: int, key: str, *, prompt: str, stage_a: str, stage_b: str, winner: str) -> None:
    """Keeps a verdict; winner is "a", "b" or "tie". What is sent twice under one key is one. On the disk at return."""
    if stage_a > stage_b:  # a pair of stages is counted as one, however it was shown
        stage_a, stage_b, winner = stage_b, stage_a, {"a": "b", "b": "a"}.get(winner, winner)
    with store.writing() as connection:
        if is_new(connection, person_id, key):
            connection.execute(
                "INSERT INTO verdicts (person_id, prompt, stage_a, stage_b, winner, at) VALUES (?, ?, ?, ?, ?, ?)",
                (person_id, prompt, stage_a, stage_b, winner, time.time()),
            )


def counts(store: Database, person_id: int | None = None) -> list[Count]:
    """A count for each pair of stages that was compared; of one person, or of all."""
    query = """
        SELECT stage_a, stage_b, sum(winner = 'a'), sum(winner = 'b'), sum(winner = 'tie') FROM verdicts
        WHERE ?1 IS NULL OR person_id = ?1 GROUP BY stage_a, stage_b ORDER BY stage_a, stage_b
    """
    return [Count(*row) for row in store.rows(query, person_id)]
