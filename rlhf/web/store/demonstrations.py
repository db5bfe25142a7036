"""Demonstrations that people wrote."""

from __future__ import annotations

import time
from dataclasses import dataclass

from rlhf.web.store.database import Database, is_new


@dataclass(frozen=True)
class Written:
    """A prompt with the answer that a person wrote to it."""

    id: int
    person_id: int
    prompt: str
    response: str


def add(store: Database, person_id: int, key: str, prompt: str, response: str) -> None:
    """Keeps one; what is sent twice under one key is one. On the disk at return."""
    with store.writing() as connection:
        if is_new(connection, person_id, key):
            connection.execute(
                "INSERT INTO demonstrations (person_id, prompt, response, at) VALUES (?, ?, ?, ?)",
                (person_id, prompt, response, time.time()),
            )


def remove(store: Database, person_id: int, number: int) -> None:
    """Deletes one of the person's own."""
    with store.writing() as connection:
        connection.execute("DELETE FROM demonstrations WHERE id = ? AND person_id = ?", (number, person_id))


def written(store: Database, person_id: int | None = None) -> list[Written]:
    """Those of one person, or of all."""
    query = "SELECT id, person_id, prompt, response FROM demonstrations WHERE ?1 IS NULL OR person_id = ?1 ORDER BY id"
    return [Written(*row) for row in store.rows(query, person_id)]
