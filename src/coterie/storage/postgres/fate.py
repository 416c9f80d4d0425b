"""Find out whether a transaction was committed after the connection was lost."""

from __future__ import annotations

import uuid

from coterie.errors import StatementFailed
from coterie.storage.engine import ConnectionLost
from coterie.storage.postgres.connection import PostgresConnection

_LOCK = 0x636F746572696501
"""The number of the advisory lock that guards the creation of the table."""

_TABLE = """
CREATE TABLE IF NOT EXISTS coterie_writers (writer TEXT PRIMARY KEY, token BIGINT NOT NULL, seen TIMESTAMPTZ NOT NULL)
"""


class CommitCheck:
    """A row of this writer, in which each of its transactions stores its number.

    If the row holds the number, the whole transaction was committed. The server's own record (`txid_status`) is not
    sufficient: after a crash the server may reuse the number of a lost transaction. Reading the row waits for a
    transaction that still changes it, so it also waits for one that the server continues without its client.

    The writer deletes its row when it closes; rows of killed writers are deleted after a month.
    """

    def __init__(self) -> None:
        self._writer = uuid.uuid4().hex
        self._token = 0

    def prepare(self, connection: PostgresConnection) -> None:
        """Create the table and the row."""
        connection.script(
            f"BEGIN; SELECT pg_advisory_xact_lock({_LOCK}); {_TABLE};"  # noqa: S608 - only constants of this module
            f"DELETE FROM coterie_writers WHERE seen < now() - interval '30 days'; {self._leave()}; COMMIT"
        )

    def opening(self) -> str:
        """Return the first statement of the next transaction."""
        self._token += 1
        return self._leave()

    def was_committed(self, connection: PostgresConnection) -> bool:
        """Return whether the last transaction was committed, over a new connection. Raises `ConnectionLost` to ask again."""
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
