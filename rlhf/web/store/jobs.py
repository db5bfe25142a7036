"""Jobs: what the server has other processes do. At most one runs at a time; the schema sees to it."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass

from rlhf.web.store.database import Database


@dataclass(frozen=True)
class Job:
    """kind: the parts, as "reward_model,ppo". step: the part that runs, or ran last. message: the sentence of the
    command that failed."""

    id: int
    kind: str
    state: str
    step: str
    message: str
    started: float
    ended: float | None


def begin(store: Database, kind: str) -> int | None:
    """The number of a new job; None if one is running."""
    try:
        with store.writing() as connection:
            cursor = connection.execute(
                "INSERT INTO jobs (kind, state, step, message, started) VALUES (?, 'running', ?, '', ?)",
                (kind, kind.split(",")[0], time.time()),
            )
    except sqlite3.IntegrityError:
        return None
    return cursor.lastrowid


def set_step(store: Database, job: int, step: str) -> None:
    """Notes which part runs now."""
    with store.writing() as connection:
        connection.execute("UPDATE jobs SET step = ? WHERE id = ?", (step, job))


def end(store: Database, job: int, message: str = "") -> None:
    """Ends a job that runs; a message says why it failed."""
    with store.writing() as connection:
        connection.execute(
            "UPDATE jobs SET state = ?, message = ?, ended = ? WHERE id = ? AND state = 'running'",
            ("failed" if message else "done", message, time.time(), job),
        )


def last(store: Database) -> Job | None:
    """The newest job; None if there was none."""
    row = store.row("SELECT id, kind, state, step, message, started, ended FROM jobs ORDER BY id DESC LIMIT 1")
    return None if row is None else Job(*row)
