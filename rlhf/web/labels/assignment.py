"""Who ranks what: the next prompt of a person.

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
    """Where a person stands. assignment: the item to rank now, None if the person has finished. exhausted: there is
    none left that the person has not seen."""

    assignment: Assignment | None
    ranked: int
    asked: int
    exhausted: bool = False


@dataclass(frozen=True)
class Candidate:
    """An item that a person has not seen. taken: how many people have ranked it, or have it in their hands."""

    id: int
    taken: int
    known: bool


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
    given = connection.execute("SELECT count(*) FROM assignments WHERE person_id = ?", (person_id,)).fetchone()[0]
    rng = random.Random()
    chosen = choose(candidates(connection, person_id), given, config.overlap, known_every(config), person_id, rng)
    if chosen is None:
        return State(None, ranked, config.per_person, exhausted=True)
    k = connection.execute("SELECT json_array_length(answers) FROM items WHERE id = ?", (chosen.id,)).fetchone()[0]
    rankings.assign(connection, person_id, chosen.id, rng.sample(range(k), k))
    return State(rankings.open_assignment(connection, person_id), ranked, config.per_person)


def candidates(connection: sqlite3.Connection, person_id: int) -> list[Candidate]:
    """The items that the person has not had."""
    rows = connection.execute(
        """
        SELECT items.id, items.known IS NOT NULL AS known, count(taken.item_id) AS taken
        FROM items LEFT JOIN (
            SELECT assignments.item_id FROM assignments LEFT JOIN rankings USING (person_id, item_id)
            WHERE coalesce(outcome != 'skipped', given > ?2)
        ) AS taken ON taken.item_id = items.id
        WHERE items.id NOT IN (SELECT item_id FROM assignments WHERE person_id = ?1)
        GROUP BY items.id ORDER BY items.id
        """,
        (person_id, time.time() - ABANDONED_SECONDS),
    )
    return [Candidate(row["id"], row["taken"], bool(row["known"])) for row in rows]


def known_every(config: WebConfig) -> int:
    """One item in so many is a known pair; 0 is none."""
    return round((1 + config.known_share) / config.known_share) if config.known_share else 0


def choose(
    unseen: list[Candidate], given: int, overlap: int, every: int, person_id: int, rng: random.Random
) -> Candidate | None:
    """The next item of a person who was given so many; None if there is none.

    In each row of `every` items one place is a known pair's, and another one for each person.
    """
    pairs = [candidate for candidate in unseen if candidate.known]
    if every and pairs:
        row = given // every
        place = random.Random(f"known {person_id} {row}").randrange(every)
        if given % every == place:
            return rng.choice(pairs)
    wanted = [candidate for candidate in unseen if not candidate.known and candidate.taken < overlap]
    if not wanted:
        return None
    most = max(candidate.taken for candidate in wanted)
    return rng.choice([candidate for candidate in wanted if candidate.taken == most])
