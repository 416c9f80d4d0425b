"""One connection to a file."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

from coterie.errors import StorageUnavailable
from coterie.storage.dialect import Dialect
from coterie.storage.engine import Transacting
from coterie.storage.sqlite.failures import FAILURES, failure
from coterie.storage.transaction import Parameters, Row

_BUSY = 5.0
"""Seconds to wait for another program that writes to the file, such as the shell of SQLite: ours have the lock."""

_AUTOCHECKPOINT = 10_000
"""Pages of the log at which a commit itself moves them into the file. The store does so earlier, after commits."""


class SqliteConnection(Transacting):
    """A connection that reads, or the one that writes. One thread uses it at a time.

    The module `sqlite3` begins no transactions by itself here: what is not within one is a statement alone.
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
        """Whether a transaction is open."""
        return self._connection.in_transaction

    @property
    def usable(self) -> bool:
        """Whether it may be used again."""
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
            # A statement with rows left would keep its moment, and the log from being taken in.
            cursor.close()
        except FAILURES as error:
            raise failure(error, self._path, sql, writes=self._writes) from error
        return row

    def each(self, sql: str, parameters: Parameters) -> Iterator[Row]:
        """Go through the rows."""
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
        """Run a statement, and return how many rows it touched."""
        try:
            return self._connection.execute(sql, parameters).rowcount
        except FAILURES as error:
            raise failure(error, self._path, sql, writes=self._writes) from error

    def execute_many(self, sql: str, rows: Iterable[Parameters]) -> int:
        """Run a statement for each of `rows`, and return how many rows it touched in all."""
        try:
            return self._connection.executemany(sql, rows).rowcount
        except FAILURES as error:
            raise failure(error, self._path, sql, writes=self._writes) from error

    def begin_reading(self) -> None:
        """Let all that is read be of one moment."""
        self.execute("BEGIN", ())

    def end_reading(self) -> None:
        """Let what is read be of the present again."""
        if self._connection.in_transaction:
            self.execute("COMMIT", ())

    def begin(self, *, durable: bool) -> None:
        """Begin to write. A commit that is `durable` returns when all that was committed is on the disk."""
        if durable is not self._durable:
            self.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}", ())
            self._durable = durable
        self.execute("BEGIN IMMEDIATE", ())

    def close(self) -> None:
        """Close it. The last connection to a file takes its log in."""
        self._connection.close()

    def _set_up(self, *, writes: bool) -> None:
        if writes:
            mode = self.rows("PRAGMA journal_mode = WAL", ())[0][0]
            if mode != "wal":
                problem = f"it cannot have a write-ahead log, only {mode!r}; put it on a local disk, where it can be written"
                raise StorageUnavailable(self._path, problem)
            self.execute(f"PRAGMA wal_autocheckpoint = {_AUTOCHECKPOINT}", ())
            self.execute("PRAGMA foreign_keys = ON", ())
        else:
            self.execute("PRAGMA query_only = ON", ())
        # The cache stays as small as it is: the system keeps the pages as well, and with thirty times as much a point
        # read is 1.08 times as fast. Mapping the file into memory makes it 1.4 times as fast, but would turn an error of
        # the disk, or a file that somebody cuts off, into the end of the process.
        self.execute("PRAGMA temp_store = MEMORY", ())
        # Reads the tables of the schema: what is damaged, or no database at all, shows here.
        self.rows("SELECT count(*) FROM sqlite_master", ())
