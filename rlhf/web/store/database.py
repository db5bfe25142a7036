"""A SQLite file that several threads read and write, and that loses nothing it has acknowledged."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from minigpt.runs.errors import UserError

SCHEMA = (Path(__file__).parent / "schema.sql").read_text(encoding="utf-8")
VERSION = 1  # of the schema; a file of another one is not touched
BUSY_SECONDS = 30
PRIVATE = 0o700  # of the folder: nobody else with an account on this machine reads what people typed


class Database:
    """The file and a connection for each thread that asks."""

    def __init__(self, path: Path) -> None:
        """Opens the file, and creates what is missing. Raises UserError if it is no such file."""
        self.path, self._of_thread = path, threading.local()
        path.parent.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        try:
            version = self.connection.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, VERSION):  # 0: a new file
                raise UserError(f"{path} is of another version of this program; move it aside to begin a new class")
            self.connection.executescript(f"BEGIN IMMEDIATE; {SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;")
        except sqlite3.OperationalError as error:  # the disk is full, or may only be read
            raise UserError(f"{path} could not be written: {error}") from None
        except sqlite3.DatabaseError as error:
            raise UserError(f"{path} cannot be used ({error}); move it aside to begin a new class") from None

    @property
    def connection(self) -> sqlite3.Connection:
        """This thread's connection. Each statement is its own transaction, unless it stands in `writing`."""
        connection = getattr(self._of_thread, "connection", None)
        if connection is None:
            connection = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None)
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA journal_mode = WAL")  # readers never wait for a writer
            # the log reaches the disk with each commit: a label that was acknowledged survives a power cut
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA secure_delete = ON")  # what is deleted is overwritten
            self._of_thread.connection = connection
        return connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: on the disk when the block has ended, and nothing of it if the block raises."""
        connection = self.connection
        connection.execute("BEGIN IMMEDIATE")  # the write lock at once: what is read here stays true until the commit
        try:
            yield connection
        except BaseException:
            connection.rollback()
            raise
        connection.commit()

    def rows(self, query: str, *values: Any) -> list[sqlite3.Row]:
        """All rows of a query."""
        return self.connection.execute(query, values).fetchall()

    def row(self, query: str, *values: Any) -> sqlite3.Row | None:
        """The first row of a query; None if there is none."""
        return self.connection.execute(query, values).fetchone()


def is_new(connection: sqlite3.Connection, person_id: int, key: str) -> bool:
    """True if this person has sent nothing under this key yet; from here on there is something. Inside `writing`.

    A telephone that lost its network does not know whether its label has arrived, and sends it again.
    """
    cursor = connection.execute("INSERT OR IGNORE INTO receipts (person_id, key) VALUES (?, ?)", (person_id, key))
    return cursor.rowcount == 1
