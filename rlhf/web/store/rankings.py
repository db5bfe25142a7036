"""Assignments of items to people, and their rankings. Every function returns when its change is on the disk."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass

from minigpt.runs.errors import UserError
from rlhf.web.store.database import Database, is_new
from rlhf.web.store.items import Item, as_item

REASONS = ("", "helpful", "honest", "harmless")
LONGEST_SECONDS = 24 * 3600.0


@dataclass(frozen=True)
class Assignment:
    """An item in the hands of a person. shown: the order of its answers on the page, as indices."""

    item: Item
    shown: tuple[int, ...]


@dataclass(frozen=True)
class Label:
    """The label of an item by a person. ranks: in the order of the item's answers, 0 for the best, equal for a tie; all
    equal if all are bad, None if the item was skipped."""

    person_id: int
    item_id: int
    outcome: str
    ranks: tuple[int, ...] | None
    reason: str
    seconds: float
    at: float


# ---- Handing out -------------------------------------------------------------------------------------------------


def open_assignment(connection: sqlite3.Connection, person_id: int) -> Assignment | None:
    """The item that the person has and has not ranked; None if there is none."""
    row = connection.execute(
        """
        SELECT items.*, shown FROM items JOIN (
            SELECT item_id, shown FROM assignments
            WHERE person_id = ?1 AND item_id NOT IN (SELECT item_id FROM rankings WHERE person_id = ?1)
            ORDER BY given DESC LIMIT 1
        ) AS newest ON newest.item_id = items.id
        """,
        (person_id,),
    ).fetchone()
    return None if row is None else Assignment(as_item(row), tuple(json.loads(row["shown"])))


def assign(connection: sqlite3.Connection, person_id: int, item_id: int, shown: Sequence[int]) -> None:
    """Gives an item to a person. The primary key refuses one that this person has had."""
    connection.execute(
        "INSERT INTO assignments (person_id, item_id, shown, given) VALUES (?, ?, ?, ?)",
        (person_id, item_id, json.dumps(list(shown)), time.time()),
    )


# ---- Labels ------------------------------------------------------------------------------------------------------


def dense(ranks: Sequence[int]) -> tuple[int, ...]:
    """Ranks as the number of answers that are better: [1, 5, 1] becomes [0, 2, 0]."""
    return tuple(sum(other < rank for other in ranks) for rank in ranks)


def save(
    connection: sqlite3.Connection,
    person_id: int,
    key: str,
    *,
    item_id: int,
    outcome: str,
    shown_ranks: Sequence[int],
    reason: str,
    seconds: float,
) -> None:
    """Keeps a label; under a key that was sent before, nothing. shown_ranks: in the order of the page. Raises UserError
    for an item that the person was not given, or has ranked already."""
    if not is_new(connection, person_id, key):
        return
    row = connection.execute(
        "SELECT shown FROM assignments WHERE person_id = ? AND item_id = ?", (person_id, item_id)
    ).fetchone()
    if row is None:
        raise UserError("this prompt was not given to you: load the page again")
    shown = json.loads(row["shown"])
    ranks = None
    if outcome == "all_bad":
        ranks = (0,) * len(shown)
    elif outcome == "ranked":
        if len(shown_ranks) != len(shown):
            raise UserError(f"there are {len(shown)} answers, but {len(shown_ranks)} ranks")
        ranks = dense([rank for _, rank in sorted(zip(shown, shown_ranks, strict=True))])
    try:
        connection.execute(
            "INSERT INTO rankings VALUES (:person, :item, :outcome, :ranks, :reason, :seconds, :at)",
            {
                "person": person_id,
                "item": item_id,
                "outcome": outcome,
                "ranks": ranks and json.dumps(ranks),
                "reason": reason,
                "seconds": min(max(seconds, 0.0), LONGEST_SECONDS),
                "at": time.time(),
            },
        )
    except sqlite3.IntegrityError:
        raise UserError("you have ranked this prompt already, perhaps in another window: load the page again") from None


def undo(connection: sqlite3.Connection, person_id: int, key: str) -> None:
    """Takes the person's last label back, so that its item is open again, and takes the item that is open out of the
    person's hands. Under a key that was sent before, nothing. Raises UserError if there is no label."""
    if not is_new(connection, person_id, key):
        return
    last = connection.execute(
        "SELECT item_id FROM rankings WHERE person_id = ? ORDER BY at DESC LIMIT 1", (person_id,)
    ).fetchone()
    if last is None:
        raise UserError("there is nothing to undo")
    waiting = open_assignment(connection, person_id)
    if waiting is not None:
        connection.execute("DELETE FROM assignments WHERE person_id = ? AND item_id = ?", (person_id, waiting.item.id))
    connection.execute("DELETE FROM rankings WHERE person_id = ? AND item_id = ?", (person_id, last["item_id"]))


def every(store: Database) -> list[Label]:
    """All labels, in the order in which they came."""
    return [_label(row) for row in store.rows("SELECT * FROM rankings ORDER BY at, person_id")]


def of_the_same_items(store: Database, person_id: int) -> list[Label]:
    """The labels of the items that this person has labelled, everybody's."""
    query = "SELECT * FROM rankings WHERE item_id IN (SELECT item_id FROM rankings WHERE person_id = ?)"
    return [_label(row) for row in store.rows(query, person_id)]


def _label(row: sqlite3.Row) -> Label:
    values = dict(row)
    return Label(**values | {"ranks": None if row["ranks"] is None else tuple(json.loads(row["ranks"]))})


def ranked_count(connection: sqlite3.Connection, person_id: int) -> int:
    """The number of items that the person has ranked; skipped ones are not."""
    query = "SELECT count(*) FROM rankings WHERE person_id = ? AND outcome != 'skipped'"
    return connection.execute(query, (person_id,)).fetchone()[0]
