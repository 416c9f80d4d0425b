"""Leases on resources that operations of several processes share, in their database."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from coterie.conversation.operations.operation import Effect, Operation
from coterie.storage import Database, Pending, Schema, Transaction
from coterie.storage.dialect import Dialect

LEASE = 15.0
"""Seconds for which a lease holds unless it is renewed."""
_WAITING = 3.0
"""Seconds for which a request that is not repeated keeps its place in the order."""

_SCHEMA = Schema(
    "conversation_leases",
    (
        """
        CREATE TABLE conversation_leases (
            reach TEXT NOT NULL,
            resource TEXT NOT NULL,
            holder TEXT NOT NULL,
            operation BIGINT NOT NULL,
            writes BIGINT NOT NULL,
            granted BIGINT NOT NULL,
            since DOUBLE PRECISION NOT NULL,
            expires DOUBLE PRECISION NOT NULL,
            PRIMARY KEY (reach, resource, holder, operation)
        );
        """,
    ),
)
_NOW = {
    Dialect.SQLITE: "SELECT (julianday('now') - 2440587.5) * 86400.0",
    Dialect.POSTGRES: "SELECT CAST(extract(epoch FROM clock_timestamp()) AS DOUBLE PRECISION)",
}
_CONFLICT = """
SELECT 1 FROM conversation_leases WHERE reach = ? AND holder <> ? AND writes + ? > 0
AND (resource = ? OR resource = '*' OR ? = '*') AND (granted = 1 OR since < ? OR (since = ? AND holder < ?)) LIMIT 1
"""
_OF = "reach = ? AND holder = ? AND operation = ?"


class LeaseTable:
    """The leases of all processes over one database. Safe from any thread; it holds no state but the database.

    A lease is on a resource in a reach: a user, or all. Reads share, and writes exclude all others. All resources of an
    operation are granted in one transaction or none, in the order of the requests, so waits cannot form a cycle. Times are
    those of the database, so the clocks of the processes do not matter. The holder is a conversation, which only one process
    has open, so it takes its own leases over after a crash. A lease that is not renewed expires.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        database.migrate(_SCHEMA)

    def acquire(self, holder: str, reach: Sequence[str], operation: Operation) -> Pending[bool]:
        """Request the resources of an operation, and return whether it has them now. Repeat a request that has not.

        The result is pending.
        """
        place = json.dumps(reach)
        mine = (place, holder, operation.number)
        writes = int(operation.effect is Effect.WRITE)

        def work(write: Transaction) -> bool:
            if write.dialect is Dialect.POSTGRES:
                # One process at a time looks at a reach; the others come again instead of waiting in their transactions.
                row = write.row("SELECT pg_try_advisory_xact_lock(hashtextextended(?, 0))", (f"coterie lease {place}",))
                if row is None or not row[0]:
                    return False
            now = _now(write)
            write.execute("DELETE FROM conversation_leases WHERE reach = ? AND expires < ?", (place, now))
            row = write.row(f"SELECT min(since) FROM conversation_leases WHERE {_OF}", mine)  # noqa: S608 - a constant
            since = row[0] if row is not None and row[0] is not None else now
            free = True
            for each in operation.resources:
                about = (place, holder, writes, each, each, since, since, holder)
                free = free and write.row(_CONFLICT, about) is None
            write.execute(f"DELETE FROM conversation_leases WHERE {_OF}", mine)  # noqa: S608 - as above
            for each in operation.resources:
                row = (place, each, holder, operation.number, writes, int(free), since, now + (LEASE if free else _WAITING))
                write.execute("INSERT INTO conversation_leases VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
            return free

        return self._database.write(work, durable=False)

    def renew(self, holder: str, numbers: Iterable[int]) -> Pending[set[int]]:
        """Renew the leases of operations, and return the numbers of those that still had them. The result is pending."""
        wanted = tuple(numbers)

        def work(write: Transaction) -> set[int]:
            now = _now(write)
            sql = (
                "UPDATE conversation_leases SET expires = ? WHERE holder = ? AND operation = ? AND granted = 1 AND expires >= ?"
            )
            return {number for number in wanted if write.execute(sql, (now + LEASE, holder, number, now))}

        return self._database.write(work, durable=False)

    def release(self, holder: str, number: int) -> Pending[int]:
        """Give up the leases and the request of an operation. The result is pending."""
        sql = "DELETE FROM conversation_leases WHERE holder = ? AND operation = ?"
        return self._database.write(lambda write: write.execute(sql, (holder, number)), durable=False)


def _now(write: Transaction) -> float:
    row = write.row(_NOW[write.dialect])
    assert row is not None
    return float(row[0])
