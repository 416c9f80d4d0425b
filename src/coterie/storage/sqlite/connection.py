"""Connections to SQLite, and the translation of its errors."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

from coterie.errors import StorageCorrupt, StorageError, StorageFull, StorageLocked, StorageUnavailable
from coterie.errors.storage import ConstraintViolated, StatementFailed
from coterie.storage.dialect import Dialect
from coterie.storage.engine import Transacting
from coterie.storage.transaction import Parameters, Row

FAILURES = (sqlite3.Error, sqlite3.Warning, OverflowError, ValueError, TypeError)
"""The errors of the module, and Python's errors for numbers and text that the file cannot store."""

_UNAVAILABLE = frozenset(
    {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_NOMEM}
)


def failure(error: Exception, path: Path, sql: str = "", *, writes: bool = False) -> StorageError:
    """Return the storage error for one of `FAILURES` that a statement or the opening of a file raised.

    `writes` tells that the connection may write: then a read-only file is not a fault of the statement.
    """
    # The lower byte is the primary code.
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return StorageCorrupt(path, error)
    if code == sqlite3.SQLITE_FULL:
        return StorageFull(path, error)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StorageLocked(path, None)
    if code == sqlite3.SQLITE_CONSTRAINT:
        return ConstraintViolated(path, error, sql)
    if code in _UNAVAILABLE and (writes or not _is_a_write_in_a_read(error)):
        return StorageUnavailable(path, f"{error}; check its folder, its permissions and its disk")
    return StatementFailed(path, error, sql)


def _is_a_write_in_a_read(error: Exception) -> bool:
    """Return whether a read connection was used to write, which is not a fault of the file."""
    return getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_READONLY and "attempt to write" in str(error)


_BUSY = 5.0
"""Seconds to wait for a foreign program that writes to the file, such as the shell of SQLite."""

_AUTOCHECKPOINT = 10_000
"""Pages of the log at which a commit checkpoints it. The store normally does so earlier, between commits."""


LOG_KEPT = 4 * 2**20
"""Bytes to which the file of the log is cut when the log begins anew."""


class SqliteConnection(Transacting):
    """A read connection, or the write connection. One thread uses it at a time.

    It is in autocommit mode: a statement outside of a transaction commits by itself.
    """

    dialect = Dialect.SQLITE

    def __init__(self, path: Path, *, writes: bool = False) -> None:
        self._path = path
        self._writes = writes
        self._durable: bool | None = None
        try:
            self._connection = sqlite3.connect(
                path, timeout=_BUSY, isolation_level=None, check_same_thread=False, cached_statements=256
            )
        except FAILURES as error:
            raise failure(error, path) from error
        try:
            self._set_up(writes=writes)
        except BaseException:
            self._connection.close()
            raise

    @property
    def in_transaction(self) -> bool:
        """True while a transaction is open."""
        return self._connection.in_transaction

    @property
    def usable(self) -> bool:
        """True if it can be used again."""
        return not self._connection.in_transaction

    def rows(self, sql: str, parameters: Parameters) -> list[Row]:
        """Return all rows."""
        try:
            return self._connection.execute(sql, parameters).fetchall()
        except FAILURES as error:
            raise failure(error, self._path, sql, writes=self._writes) from error

    def row(self, sql: str, parameters: Parameters) -> Row | None:
        """Return the first row, or None."""
        try:
            cursor = self._connection.execute(sql, parameters)
            row: Row | None = cursor.fetchone()
            # An open statement would hold its snapshot and block checkpoints.
            cursor.close()
        except FAILURES as error:
            raise failure(error, self._path, sql, writes=self._writes) from error
        return row

    def each(self, sql: str, parameters: Parameters) -> Iterator[Row]:
        """Yield the rows."""
        with contextlib.closing(self._connection.cursor()) as cursor:
            try:
                cursor.execute(sql, parameters)
                row = cursor.fetchone()
            except FAILURES as error:
                raise failure(error, self._path, sql, writes=self._writes) from error
            while row is not None:
                yield row
                try:
                    row = cursor.fetchone()
                except FAILURES as error:
                    raise failure(error, self._path, sql, writes=self._writes) from error

    def execute(self, sql: str, parameters: Parameters) -> int:
        """Run a statement and return the number of changed rows."""
        try:
            return self._connection.execute(sql, parameters).rowcount
        except FAILURES as error:
            raise failure(error, self._path, sql, writes=self._writes) from error

    def execute_many(self, sql: str, rows: Iterable[Parameters]) -> int:
        """Run a statement for each of `rows` and return the number of changed rows."""
        try:
            return self._connection.executemany(sql, rows).rowcount
        except FAILURES as error:
            raise failure(error, self._path, sql, writes=self._writes) from error

    def begin_reading(self) -> None:
        """Read from one snapshot."""
        self.execute("BEGIN", ())

    def end_reading(self) -> None:
        """End the snapshot."""
        if self._connection.in_transaction:
            self.execute("COMMIT", ())

    def begin(self, *, durable: bool) -> None:
        """Begin a write transaction. A `durable` commit returns when all commits are on the disk."""
        if durable is not self._durable:
            self.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}", ())
            self._durable = durable
        self.execute("BEGIN IMMEDIATE", ())

    @contextlib.contextmanager
    def patience(self, seconds: float) -> Iterator[None]:
        """Wait so many seconds, rather than the usual time, for other connections of the file."""
        self.rows(f"PRAGMA busy_timeout = {round(seconds * 1000)}", ())
        try:
            yield
        finally:
            self.rows(f"PRAGMA busy_timeout = {round(_BUSY * 1000)}", ())

    def close(self) -> None:
        """Close it. Closing the last connection of a file checkpoints its log."""
        self._connection.close()

    def _set_up(self, *, writes: bool) -> None:
        if writes:
            mode = self.rows("PRAGMA journal_mode = WAL", ())[0][0]
            if mode != "wal":
                problem = f"it cannot use a write-ahead log, only {mode!r}; put it on a local, writable disk"
                raise StorageUnavailable(self._path, problem)
            self.execute(f"PRAGMA wal_autocheckpoint = {_AUTOCHECKPOINT}", ())
            self.rows(f"PRAGMA journal_size_limit = {LOG_KEPT}", ())
            self.execute("PRAGMA foreign_keys = ON", ())
        else:
            self.execute("PRAGMA query_only = ON", ())
        # The cache keeps its small default: the system caches the pages too, and thirty times as much makes a point read
        # only 1.08 times as fast. Mapping the file into memory makes it 1.4 times as fast, but then a disk error or a
        # truncated file would kill the process.
        self.execute("PRAGMA temp_store = MEMORY", ())
        # Reads the schema, which detects a file that is damaged or not a database.
        self.rows("SELECT count(*) FROM sqlite_master", ())
