"""The notes that the cases of the suite write and read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from coterie.storage import Database, Schema, Transaction
from coterie.testing.conformance.base import Gate

NOTES = Schema("notes", ("CREATE TABLE notes (id BIGINT PRIMARY KEY, body TEXT NOT NULL);",))

INSERT = "INSERT INTO notes (id, body) VALUES (?, ?)"


def insert(number: int, body: str = "x") -> Callable[[Transaction], int]:
    """Return a work that stores a note, and returns its number."""

    def work(transaction: Transaction) -> int:
        transaction.execute(INSERT, (number, body))
        return number

    return work


def spoil(number: int, error: BaseException) -> Callable[[Transaction], None]:
    """Return a work that stores a note and then raises."""

    def work(transaction: Transaction) -> None:
        transaction.execute(INSERT, (number, "never"))
        raise error

    return work


def numbers(database: Database) -> list[int]:
    """Return the numbers of all notes."""
    return [row[0] for row in database.rows("SELECT id FROM notes ORDER BY id")]


def wait_within(gate: Gate, _: Transaction) -> None:
    """Wait at the gate, within a work."""
    gate.wait()


def insert_and_wait(gate: Gate, transaction: Transaction) -> None:
    """Store a note, and wait at the gate before the work ends."""
    transaction.execute(INSERT, (1, "x"))
    gate.wait()


def delete(number: int, transaction: Transaction) -> None:
    """Delete a note."""
    transaction.execute("DELETE FROM notes WHERE id = ?", (number,))


class Notes:
    """A database of notes, which a test begins with. `open` opens it, as often as it is called."""

    def open(self, **options: Any) -> Database:
        """Return a new handle on the database of the test. Override this."""
        raise NotImplementedError("override `open`")

    def notes(self, **options: Any) -> Database:
        """Return a new handle, with the table there."""
        database = self.open(**options)
        database.migrate(NOTES)
        return database
