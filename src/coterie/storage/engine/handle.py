"""The base of the database classes: one user's handle."""

from __future__ import annotations

import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import partial
from types import TracebackType
from typing import Self, TypeVar

from coterie.concurrency import Rank, new_lock
from coterie.concurrency.exits import end_dropped
from coterie.errors.storage import StatementFailed, StorageClosed, WriteInsideWrite
from coterie.storage import migrations
from coterie.storage.database import StorageStatistics
from coterie.storage.dialect import Dialect, fault_of
from coterie.storage.engine.contract import ConnectionLost, ReadingConnection
from coterie.storage.engine.shared import SharedDatabase
from coterie.storage.pending import Pending
from coterie.storage.transaction import Parameters, ReadTransaction, Row, Transaction

T = TypeVar("T")


class BaseDatabase(ABC):
    """One user's handle of a database that the process may share. Implements `Database` over a `SharedDatabase`.

    `leave` releases the shared database within a number of seconds; the last user closes it. Safe from any thread. `_lock`
    guards `_closed`.
    """

    def __init__(self, engine: SharedDatabase, leave: Callable[[float], object]) -> None:
        self._engine = engine
        self._leave = leave
        self._dropped = weakref.finalize(self, _end_dropped, engine, leave)
        self._dropped.atexit = False
        self._lock = new_lock(Rank.RECORDS)
        self._closed = False
        self._here = _Here()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}{' (closed)' if self._closed else ''}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        self.close()

    @property
    def name(self) -> str:
        """The path, or the address without its password."""
        return self._engine.where

    @property
    def dialect(self) -> Dialect:
        """The dialect of its SQL."""
        return self._engine.dialect

    def write(self, work: Callable[[Transaction], T], *, durable: bool = True, timeout: float | None = None) -> Pending[T]:
        """Queue `work` for the writer and return its pending result; see `Database.write`."""
        self._enter()
        return self._engine.writer.submit(work, durable=durable, timeout=timeout)

    def read(self, work: Callable[[ReadTransaction], T]) -> T:
        """Call `work` on this thread with one snapshot and return its result; see `Database.read`."""
        self._enter()
        outer = self._here.view
        if outer is not None:
            return work(outer)
        return self._lend(partial(self._snapshot, work))

    def rows(self, sql: str, parameters: Parameters = ()) -> list[Row]:
        """Return the rows of a single statement."""
        self._enter()
        outer = self._here.view
        if outer is not None:
            return outer.rows(sql, parameters)
        self._check(sql)
        return self._lend(lambda connection: connection.rows(sql, parameters))

    def row(self, sql: str, parameters: Parameters = ()) -> Row | None:
        """Return the first row of a single statement, or None."""
        # Inlined from `_enter`, `_check` and `_lend`: the calls are most of the cost of reading one row.
        engine = self._engine
        if self._closed or engine.is_forked:
            self._enter()
        outer = self._here.view
        if outer is not None:
            return outer.row(sql, parameters)
        if fault_of(sql):
            self._check(sql)
        pool = engine.readers
        connection = pool.take()
        try:
            return connection.row(sql, parameters)
        except ConnectionLost:
            pass
        finally:
            pool.give(connection)
        return self._lend_anew(lambda fresh: fresh.row(sql, parameters))

    def migrate(self, schema: migrations.Schema) -> int:
        """Migrate tables to the newest version of their schema, and return that version; see `Database.migrate`."""
        take = partial(migrations.apply, schema, where=self.name, clock=self._engine.clock)
        return self.write(take).result()

    def flush(self, timeout: float | None = None) -> None:
        """Wait until all earlier writes are on the disk or have failed; see `Database.flush`."""
        self.write(self._engine.writer.store.touch).result(timeout)

    def compact(self) -> None:
        """Rewrite the database, so that the bytes of deleted rows are gone from its files; see `Database.compact`."""
        self._enter()
        self._engine.writer.compact().result()

    @abstractmethod
    def check(self) -> list[str]:
        """Check the whole database and return a line for each damage."""

    def statistics(self) -> StorageStatistics:
        """Return the counts of all users in this process."""
        writer = self._engine.writer
        return StorageStatistics(
            stored=writer.stored,
            failed=writer.failed,
            commits=writer.commits,
            queued=writer.queued,
            readers=self._engine.readers.open,
            reconnects=writer.store.reconnects,
        )

    def close(self, timeout: float = 10.0) -> None:
        """Finish the accepted writes and close; see `Database.close`."""
        if self._engine.is_forked:
            # A forked child owns no connections and must not touch those of its parent.
            return
        if self._engine.writer.is_current:
            raise WriteInsideWrite(self.name)
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._dropped.detach()
        self._leave(timeout)

    def _enter(self) -> None:
        self._engine.enter()
        if self._closed:
            raise StorageClosed(self.name)

    def _check(self, sql: str) -> None:
        if fault := fault_of(sql):
            raise StatementFailed(self.name, fault, sql)

    def _lend(self, use: Callable[[ReadingConnection], T]) -> T:
        pool = self._engine.readers
        connection = pool.take()
        try:
            return use(connection)
        except ConnectionLost:
            pass
        finally:
            pool.give(connection)
        return self._lend_anew(use)

    def _lend_anew(self, use: Callable[[ReadingConnection], T]) -> T:
        """Lend another connection after one was lost: the server may be back, and only the old connection broken."""
        pool = self._engine.readers
        pool.clear()
        try:
            connection = pool.take()
            try:
                return use(connection)
            finally:
                pool.give(connection)
        except ConnectionLost as lost:
            raise lost.ended() from lost

    def _snapshot(self, work: Callable[[ReadTransaction], T], connection: ReadingConnection) -> T:
        connection.begin_reading()
        view = OpenView(connection, self.name)
        self._here.view = view
        try:
            return work(view)
        finally:
            self._here.view = None
            view.end()
            connection.end_reading()


def _end_dropped(engine: SharedDatabase, leave: Callable[[float], object]) -> None:
    """Release the shared database, because a handle was dropped while it was open; accepted writes are done."""
    if not engine.is_forked and not engine.writer.ended:
        end_dropped(f"the database {engine.where}", partial(leave, _PATIENCE))


_PATIENCE = 10.0
"""Seconds for the accepted writes of a handle that was dropped."""


class _Here(threading.local):
    """The open snapshot of this thread, if any."""

    view: OpenView | None = None


class OpenView:
    """The read transaction that a work receives."""

    __slots__ = ("_connection", "_over", "_where")

    def __init__(self, connection: ReadingConnection, where: str) -> None:
        self._connection = connection
        self._where = where
        self._over = False

    @property
    def dialect(self) -> Dialect:
        """The dialect of its SQL."""
        return self._connection.dialect

    def rows(self, sql: str, parameters: Parameters = ()) -> list[Row]:
        """Return all rows."""
        self._enter(sql)
        return self._connection.rows(sql, parameters)

    def row(self, sql: str, parameters: Parameters = ()) -> Row | None:
        """Return the first row, or None."""
        self._enter(sql)
        return self._connection.row(sql, parameters)

    def each(self, sql: str, parameters: Parameters = ()) -> Iterator[Row]:
        """Yield the rows without holding all of them in memory."""
        self._enter(sql)
        for row in self._connection.each(sql, parameters):
            yield row
            self._enter(sql)

    def end(self) -> None:
        """Refuse further reads."""
        self._over = True

    def _enter(self, sql: str) -> None:
        if self._over:
            raise StatementFailed(self._where, "the read of this view has ended", sql)
        if fault := fault_of(sql):
            raise StatementFailed(self._where, fault, sql)
