"""Connections to PostgreSQL, and the translation of its errors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import psycopg
from psycopg.adapt import Buffer, Loader
from psycopg.conninfo import make_conninfo
from psycopg.pq import TransactionStatus

from coterie.errors import StorageCorrupt, StorageError, StorageFull, StorageUnavailable
from coterie.errors.storage import ConstraintViolated, StatementFailed
from coterie.storage.dialect import Dialect, for_postgres
from coterie.storage.engine import ConnectionLost, Transacting
from coterie.storage.postgres.address import ConnectionTarget
from coterie.storage.transaction import Parameters, Row

FAILURES = (psycopg.Error, OverflowError, ValueError, TypeError)
"""The errors of the library, and Python's errors for numbers and text that the server cannot store."""

_AGAIN = frozenset({"40001", "40P01"})
"""Serialization failure and deadlock: the transaction has to be done again."""


def failure(error: Exception, address: ConnectionTarget, sql: str, *, broken: bool) -> StorageError:
    """Return the storage error for one of `FAILURES` that a statement raised; `broken` means that the connection is lost."""
    code = getattr(error, "sqlstate", None) or ""
    diagnosis = getattr(error, "diag", None)
    # The details of the server quote stored values, so only its first line is shown.
    where, text = address.shown, address.clean((diagnosis and diagnosis.message_primary) or error)
    if code == "53100":
        return StorageFull(where, text)
    if code in ("XX001", "XX002"):
        return StorageCorrupt(where, text)
    if broken or code in _AGAIN or code.startswith(("08", "57P")):
        return ConnectionLost(where, f"the connection was lost: {text}")
    if code.startswith("23"):
        return ConstraintViolated(where, text, sql)
    if code.startswith("53"):
        return StorageUnavailable(where, text)
    return StatementFailed(where, text, sql)


_BATCH = 500
"""Rows that `each` fetches at once."""

_DEFAULTS: dict[str, str | int] = {
    "application_name": "coterie",
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
"""Settings of libpq that detect a vanished server; an address may override them."""


class PostgresConnection(Transacting):
    """A read connection, or the write connection. One thread uses it at a time.

    It is in autocommit mode: a statement outside of a transaction commits by itself.
    """

    dialect = Dialect.POSTGRES

    def __init__(self, address: ConnectionTarget, *, writes: bool = False) -> None:
        self._address = address
        settings = {name: value for name, value in _DEFAULTS.items() if name not in address.options}
        try:
            self._connection: psycopg.Connection[tuple[Any, ...]] = psycopg.connect(
                make_conninfo(address.url, **settings), autocommit=True
            )
            # Compiling pays for statements that run for seconds; for ours it would take longer than it saves.
            self._connection.execute("SET jit = off")
            self._connection.adapters.register_loader("numeric", _NumberLoader)
            if not writes:
                self._connection.execute("SET default_transaction_read_only = on")
        except FAILURES as error:
            # Not chained, because the text of the library may hold the password.
            raise ConnectionLost(address.shown, f"cannot be reached: {address.clean(error)}") from None

    @property
    def in_transaction(self) -> bool:
        """True while a transaction is open, even a failed one."""
        return self._connection.info.transaction_status in (TransactionStatus.INTRANS, TransactionStatus.INERROR)

    @property
    def usable(self) -> bool:
        """True if it can be used again."""
        return not self._connection.closed and self._connection.info.transaction_status == TransactionStatus.IDLE

    def rows(self, sql: str, parameters: Parameters) -> list[Row]:
        """Return all rows."""
        try:
            cursor = self._connection.execute(for_postgres(sql), parameters)
            return cursor.fetchall() if cursor.description is not None else []
        except FAILURES as error:
            raise self._failure(error, sql) from error

    def row(self, sql: str, parameters: Parameters) -> Row | None:
        """Return the first row, or None."""
        try:
            cursor = self._connection.execute(for_postgres(sql), parameters)
            return cursor.fetchone() if cursor.description is not None else None
        except FAILURES as error:
            raise self._failure(error, sql) from error

    def each(self, sql: str, parameters: Parameters) -> Iterator[Row]:
        """Yield the rows, which the server keeps until they are fetched."""
        try:
            with self._connection.cursor(f"each_{id(parameters):x}") as cursor:
                cursor.itersize = _BATCH
                yield from cursor.execute(for_postgres(sql), parameters)
        except FAILURES as error:
            raise self._failure(error, sql) from error

    def execute(self, sql: str, parameters: Parameters) -> int:
        """Run a statement and return the number of changed rows."""
        try:
            return self._touched(self._connection.execute(for_postgres(sql), parameters))
        except FAILURES as error:
            raise self._failure(error, sql) from error

    def execute_many(self, sql: str, rows: Iterable[Parameters]) -> int:
        """Run a statement for each of `rows` and return the number of changed rows."""
        try:
            with self._connection.cursor() as cursor:
                cursor.executemany(for_postgres(sql), rows)
                return cursor.rowcount
        except FAILURES as error:
            raise self._failure(error, sql) from error

    def begin_reading(self) -> None:
        """Read from one snapshot."""
        self.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", ())

    def end_reading(self) -> None:
        """End the snapshot."""
        if self.in_transaction:
            self.execute("ROLLBACK", ())

    def script(self, sql: str) -> None:
        """Run several statements in one round trip to the server."""
        try:
            self._connection.execute(sql.encode())
        except FAILURES as error:
            raise self._failure(error, sql) from error

    def close(self) -> None:
        """Close it."""
        self._connection.close()

    def _touched(self, cursor: psycopg.Cursor[tuple[Any, ...]]) -> int:
        command = (cursor.statusmessage or "").partition(" ")[0]
        return cursor.rowcount if command in ("INSERT", "UPDATE", "DELETE", "MERGE") else -1

    def _failure(self, error: Exception, sql: str) -> StorageError:
        return failure(error, self._address, sql, broken=self._connection.closed)


class _NumberLoader(Loader):
    """Loads ``numeric``, the type of sums of integers, as `int` or `float`, as SQLite does."""

    def load(self, data: Buffer) -> int | float:
        text = bytes(data).decode()
        return int(text) if text.lstrip("-").isdigit() else float(text)
