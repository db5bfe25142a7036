"""The people of the class: a name, and a code of their own to come back with."""

from __future__ import annotations

import hmac
import secrets
import time
from dataclasses import dataclass

from minigpt.runs.errors import UserError
from rlhf.web.store.database import Database

ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"  # nothing that can be mistaken on a blackboard
CODE_LENGTH = 6
LONGEST_NAME = 40
LOCAL_NAME = "You"


class WrongCodeError(UserError):
    """A code that was typed and is not the right one."""


@dataclass(frozen=True)
class Person:
    """Somebody of the class. teacher: may see the teacher's page in this session."""

    id: int
    name: str
    return_code: str
    teacher: bool = False


def new_code() -> str:
    """A code that people can read to each other; one of 2^30."""
    return "".join(secrets.choice(ALPHABET) for _ in range(CODE_LENGTH))


def same_code(typed: str, code: str) -> bool:
    """True if the codes are equal, whatever the case, in a time that does not tell where they differ."""
    return hmac.compare_digest(typed.strip().upper().encode(), code.upper().encode())


def find(store: Database, person_id: int) -> Person | None:
    """The person with this number; None if there is none (any more)."""
    row = store.row("SELECT id, name, return_code FROM people WHERE id = ?", person_id)
    return None if row is None else Person(*row)


def join(store: Database, name: str, return_code: str | None) -> Person:
    """The person of this name, new or come back. Raises UserError for a name that is none, or that somebody has.

    return_code: what was typed; None asks for none, on one's own machine.
    """
    name = " ".join(name.split())
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise UserError(f"a name has 1 to {LONGEST_NAME} letters")
    with store.writing() as connection:
        row = connection.execute("SELECT id, name, return_code FROM people WHERE name = ?", (name,)).fetchone()
        if row is None:
            code, now = new_code(), time.time()
            values = (name, code, now)
            cursor = connection.execute("INSERT INTO people (name, return_code, joined) VALUES (?, ?, ?)", values)
            return Person(cursor.lastrowid, name, code)
    if return_code is not None and not same_code(return_code, row["return_code"]):
        mistake = WrongCodeError if return_code.strip() else UserError  # whoever typed none has not guessed
        raise mistake(
            f"somebody here is called {row['name']}: take another name, or type the return code that you were shown"
        )
    return Person(*row)


def local_person(store: Database) -> Person:
    """The person at a server that only this machine can reach, before a name is typed."""
    return join(store, LOCAL_NAME, None)


def everybody(store: Database) -> list[Person]:
    """All people, in the order in which they came."""
    return [Person(*row) for row in store.rows("SELECT id, name, return_code FROM people ORDER BY id")]


def delete(store: Database, person_id: int) -> None:
    """Deletes a person and all that the person typed, and empties the log that still holds it."""
    with store.writing() as connection:
        connection.execute("DELETE FROM people WHERE id = ?", (person_id,))
    store.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
