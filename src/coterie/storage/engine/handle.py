"""What a user of a database holds."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import partial
from types import TracebackType
from typing import Self, TypeVar

from coterie.concurrency import Rank, new_lock
from coterie.errors import StatementFailed, StorageClosed, WriteInsideWrite
from coterie.storage import migrations
from coterie.storage.database import StorageStatistics
from coterie.storage.dialect import Dialect, fault_of
from coterie.storage.engine.contract import ConnectionLost, ReadingConnection
from coterie.storage.engine.engine import SharedDatabase
from coterie.storage.pending import Pending
from coterie.storage.transaction import Parameters, ReadTransaction, Row, Transaction

T = TypeVar("T")


class BaseDatabase(ABC):
    """One use of a database, which may have others in this process. Implements `Database` over an engine.

    Safe from any thread. `_lock` guards that it is closed once.
    """

    def __init__(self, engine: SharedDatabase) -> None:
        self._engine = engine
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
        """Its path, or its address without the password."""
        return self._engine.where

    @property
    def dialect(self) -> Dialect:
        """Whose SQL it speaks."""
        return self._engine.dialect

    def write(self, work: Callable[[Transaction], T], *, durable: bool = True, timeout: float | None = None) -> Pending[T]:
        """Have `work` done by the writer; see `Database.write`."""
        self._enter()
        return self._engine.writer.submit(work, durable=durable, timeout=timeout)

    def read(self, work: Callable[[ReadTransaction], T]) -> T:
        """Do `work` on this thread, with all that it reads of one moment; see `Database.read`."""
        self._enter()
        outer = self._here.view
        if outer is not None:
            return work(outer)
        return self._lend(partial(self._snapshot, work))

    def rows(self, sql: str, parameters: Parameters = ()) -> list[Row]:
        """Read the rows of a single statement."""
        self._enter()
        outer = self._here.view
        if outer is not None:
            return outer.rows(sql, parameters)
        self._admit(sql)
        return self._lend(lambda connection: connection.rows(sql, parameters))

    def row(self, sql: str, parameters: Parameters = ()) -> Row | None:
        """Read the first row of a single statement, or None."""
        self._enter()
        outer = self._here.view
        if outer is not None:
            return outer.row(sql, parameters)
        self._admit(sql)
        # As `_lend` does it, and nearly all there is to the cost of reading one row.
        pool = self._engine.readers
        connection = pool.take()
        try:
            return connection.row(sql, parameters)
        except ConnectionLost:
            pass
        finally:
            pool.give(connection)
        return self._lend_anew(lambda fresh: fresh.row(sql, parameters))

    def migrate(self, schema: migrations.Schema) -> int:
        """Bring a room's tables to the newest version of its schema, and return that version; see `Database.migrate`."""
        take = partial(migrations.apply, schema, where=self.name, clock=self._engine.clock)
        return self.write(take).result()

    def flush(self, timeout: float | None = None) -> None:
        """Return when all that was written before is on the disk, or has failed."""
        self.write(self._engine.writer.store.touch).result(timeout)

    @abstractmethod
    def check(self) -> list[str]:
        """Read through the whole database, and return a line for each damage found."""

    def statistics(self) -> StorageStatistics:
        """Return what it has done, for all its users in this process."""
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
        """Write what was accepted, and let go; see `Database.close`."""
        if not self._engine.is_of_this_process:
            # A child has nothing of its own to close, and must not touch what is its parent's.
            return
        if self._engine.writer.is_current:
            raise WriteInsideWrite(self.name)
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._leave(timeout)

    @abstractmethod
    def _leave(self, timeout: float) -> None:
        """Use the engine no longer, and close it if nobody else does."""

    def _enter(self) -> None:
        self._engine.enter()
        if self._closed:
            raise StorageClosed(self.name)

    def _admit(self, sql: str) -> None:
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
        """Lend a connection once more, after one was lost: the server may be back already, and that one just a leftover."""
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


class _Here(threading.local):
    """The view that this thread is reading from, if it is."""

    view: OpenView | None = None


class OpenView:
    """The view that a work is given."""

    __slots__ = ("_connection", "_over", "_where")

    def __init__(self, connection: ReadingConnection, where: str) -> None:
        self._connection = connection
        self._where = where
        self._over = False

    @property
    def dialect(self) -> Dialect:
        """Whose SQL it speaks."""
        return self._connection.dialect

    def rows(self, sql: str, parameters: Parameters = ()) -> list[Row]:
        """Return all rows."""
        self._enter(sql)
        return self._connection.rows(sql, parameters)

    def row(self, sql: str, parameters: Parameters = ()) -> Row | None:
        """Return the first row, or None if there is none."""
        self._enter(sql)
        return self._connection.row(sql, parameters)

    def each(self, sql: str, parameters: Parameters = ()) -> Iterator[Row]:
        """Go through the rows without holding all of them in memory."""
        self._enter(sql)
        for row in self._connection.each(sql, parameters):
            yield row
            self._enter(sql)

    def end(self) -> None:
        """Answer no more."""
        self._over = True

    def _enter(self, sql: str) -> None:
        if self._over:
            raise StatementFailed(self._where, "the read of this view has ended", sql)
        if fault := fault_of(sql):
            raise StatementFailed(self._where, fault, sql)
