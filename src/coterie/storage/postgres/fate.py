"""How a writer learns, when it was not told, whether its last transaction was committed."""

from __future__ import annotations

import uuid

from coterie.errors import StatementFailed
from coterie.storage.engine import ConnectionLost
from coterie.storage.postgres.connection import PostgresConnection

_LOCK = 0x636F746572696501
"""The number of the advisory lock under which the table is made."""

_TABLE = """
CREATE TABLE IF NOT EXISTS coterie_writers (writer TEXT PRIMARY KEY, token BIGINT NOT NULL, seen TIMESTAMPTZ NOT NULL)
"""


class Fate:
    """One row that belongs to this writer, in which each of its transactions leaves its number.

    If the number is there, the transaction was committed, and so was all else in it. The server's own memory of
    transactions (`txid_status`) does not do for this: after a crash it gives the number of one that left no trace to
    somebody else's. To look at the row is to wait for whoever is still changing it, so a transaction that the server
    goes on with, because it has not noticed that its client is gone, is waited for.

    The row is deleted when the writer closes; those of writers that were killed go after a month.
    """

    def __init__(self) -> None:
        self._writer = uuid.uuid4().hex
        self._token = 0

    def prepare(self, connection: PostgresConnection) -> None:
        """Make the table and the row."""
        connection.script(
            f"BEGIN; SELECT pg_advisory_xact_lock({_LOCK}); {_TABLE};"  # noqa: S608 - nothing of anybody else's
            f"DELETE FROM coterie_writers WHERE seen < now() - interval '30 days'; {self._leave()}; COMMIT"
        )

    def opening(self) -> str:
        """Return the statement with which the next transaction begins."""
        self._token += 1
        return self._leave()

    def was_committed(self, connection: PostgresConnection) -> bool:
        """Ask over a new connection whether the last transaction was committed. Raises `ConnectionLost` to ask again."""
        try:
            connection.script("BEGIN; SET LOCAL lock_timeout = '2s'")
            row = connection.row("SELECT token FROM coterie_writers WHERE writer = ? FOR UPDATE", (self._writer,))
        except StatementFailed as error:
            raise ConnectionLost(error.where, f"a transaction whose connection was lost has not ended yet: {error}") from error
        finally:
            connection.rollback()
        return row is not None and row[0] == self._token

    def end(self, connection: PostgresConnection) -> None:
        """Delete the row."""
        connection.execute("DELETE FROM coterie_writers WHERE writer = ?", (self._writer,))

    def _leave(self) -> str:
        return (
            f"INSERT INTO coterie_writers (writer, token, seen) VALUES ('{self._writer}', {self._token}, now()) "  # noqa: S608 - as above
            "ON CONFLICT (writer) DO UPDATE SET token = excluded.token, seen = excluded.seen"
        )
