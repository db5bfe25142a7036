"""Items: a prompt with K answers to rank. `python -m rlhf.web.prepare` makes them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from rlhf.web.store.database import Database


@dataclass(frozen=True)
class Item:
    """prompt: messages as {"role", "content"}. gold, scores: of the gold labeler and of the reward model, for measures.
    known: the index of the better answer of a known pair, None for any other item."""

    prompt: tuple[dict[str, str], ...]
    texts: tuple[str, ...]
    ended: tuple[bool, ...]
    gold: tuple[float, ...] | None = None
    scores: tuple[float, ...] | None = None
    known: int | None = None
    id: int = 0


def add(store: Database, items: Iterable[Item]) -> int:
    """Adds all of them or none; how many were new. An item that is there already stays as it is."""
    with store.writing() as connection:
        before = connection.total_changes
        for item in items:
            answers = [{"text": text, "ended": ended} for text, ended in zip(item.texts, item.ended, strict=True)]
            connection.execute(
                "INSERT OR IGNORE INTO items (prompt, answers, gold, scores, known) VALUES (?, ?, ?, ?, ?)",
                (*map(_json, (item.prompt, answers, item.gold, item.scores)), item.known),
            )
        return connection.total_changes - before


def _json(value: object) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False)


def as_item(row: sqlite3.Row) -> Item:
    """An item from a row of the table."""
    answers = json.loads(row["answers"])
    gold, scores = (None if row[name] is None else tuple(json.loads(row[name])) for name in ("gold", "scores"))
    texts, ended = (tuple(answer[name] for answer in answers) for name in ("text", "ended"))
    return Item(tuple(json.loads(row["prompt"])), texts, ended, gold, scores, row["known"], row["id"])


def every(store: Database) -> dict[int, Item]:
    """All items by number."""
    return {row["id"]: as_item(row) for row in store.rows("SELECT * FROM items ORDER BY id")}


def any_prompt(store: Database, person_id: int) -> str:
    """A prompt of one turn to which this person has written nothing yet; "" if there is none."""
    row = store.row(
        """
        SELECT json_extract(prompt, '$[0].content') AS text FROM items
        WHERE json_array_length(prompt) = 1
            AND text NOT IN (SELECT prompt FROM demonstrations WHERE person_id = ?)
        ORDER BY random() LIMIT 1
        """,
        person_id,
    )
    return "" if row is None else row["text"]


def count(store: Database) -> int:
    """The number of items."""
    return store.row("SELECT count(*) FROM items")[0]
