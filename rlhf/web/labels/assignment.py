"""Assignment of prompts to people: the next prompt of a person.

Each prompt goes to `overlap` people, nobody gets one twice, and the answers stand in an order drawn for each person, so
that the first place on the page favours no answer. Prompts that somebody has ranked come first: the overlap is complete
early, and agreement can be measured while a class has ranked only a part. Known pairs are mixed in, for everybody.
"""

from __future__ import annotations

import random
import sqlite3
import time
from dataclasses import dataclass

from rlhf.web.config import WebConfig
from rlhf.web.store import rankings
from rlhf.web.store.database import Database
from rlhf.web.store.rankings import Assignment

# an item that was given to somebody who has not answered for so long goes to another person
ABANDONED_SECONDS = 15 * 60


@dataclass(frozen=True)
class State:
    """The progress of a person. assignment: the item to rank now, None if the person has finished. exhausted: there is
    none left that the person has not seen."""

    assignment: Assignment | None
    ranked: int
    asked: int
    exhausted: bool = False


def current_state(store: Database, config: WebConfig, person_id: int, more: bool = False) -> State:
    """The person's open item, or the next one. more: beyond what was asked of the person."""
    with store.writing() as connection:
        return next_state(connection, config, person_id, more)


def next_state(connection: sqlite3.Connection, config: WebConfig, person_id: int, more: bool) -> State:
    """The same inside a transaction: what is counted stays true until the item is given."""
    ranked = rankings.ranked_count(connection, person_id)
    waiting = rankings.open_assignment(connection, person_id)
    if waiting is not None and (more or ranked < config.per_person):
        return State(waiting, ranked, config.per_person)
    if ranked >= config.per_person and not more:
        return State(None, ranked, config.per_person)
    chosen = known_pair(connection, config, person_id) or ordinary_item(connection, config.overlap, person_id)
    if chosen is None:
        return State(None, ranked, config.per_person, exhausted=True)
    k = connection.execute("SELECT json_array_length(answers) FROM items WHERE id = ?", (chosen,)).fetchone()[0]
    rankings.assign(connection, person_id, chosen, random.sample(range(k), k))
    return State(rankings.open_assignment(connection, person_id), ranked, config.per_person)


def ordinary_item(connection: sqlite3.Connection, overlap: int, person_id: int) -> int | None:
    """An item that the person has not had and that fewer than `overlap` people have ranked or have in their hands, of
    these one that most have; None if there is none."""
    row = connection.execute(
        """
        SELECT items.id FROM items LEFT JOIN (
            SELECT assignments.item_id, count(*) AS people
            FROM assignments LEFT JOIN rankings USING (person_id, item_id)
            WHERE coalesce(outcome != 'skipped', given > :now - :abandoned)
            GROUP BY assignments.item_id
        ) AS taken ON taken.item_id = items.id
        WHERE known IS NULL AND coalesce(people, 0) < :overlap
            AND items.id NOT IN (SELECT item_id FROM assignments WHERE person_id = :person)
        ORDER BY people DESC, random() LIMIT 1
        """,
        {"person": person_id, "overlap": overlap, "now": time.time(), "abandoned": ABANDONED_SECONDS},
    ).fetchone()
    return None if row is None else row["id"]


def known_pair(connection: sqlite3.Connection, config: WebConfig, person_id: int) -> int | None:
    """A known pair that the person has not had, if it is the turn of one; else None.

    In each row of so many items one place is a known pair's, and another one for each person.
    """
    if not config.known_share:
        return None
    every = round((1 + config.known_share) / config.known_share)
    given = connection.execute("SELECT count(*) FROM assignments WHERE person_id = ?", (person_id,)).fetchone()[0]
    row, place = divmod(given, every)
    if place != random.Random(f"known {person_id} {row}").randrange(every):
        return None
    found = connection.execute(
        """
        SELECT id FROM items
        WHERE known IS NOT NULL AND id NOT IN (SELECT item_id FROM assignments WHERE person_id = ?)
        ORDER BY random() LIMIT 1
        """,
        (person_id,),
    ).fetchone()
    return None if found is None else found["id"]
