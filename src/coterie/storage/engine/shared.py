"""The shared part of a database in one process: a writer and a pool of read connections."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable

from coterie.concurrency import Rank, Signal, new_lock
from coterie.concurrency.exits import ExitOrder, register_exit_handler, unregister_exit_handler
from coterie.concurrency.forks import register_fork_handler
from coterie.errors.storage import StorageBusy, StorageClosed, StorageForked
from coterie.kernel import Clock, Countdown
from coterie.storage.dialect import Dialect
from coterie.storage.engine.contract import ReadingConnection, Store
from coterie.storage.engine.writer import Writer


class ReaderPool:
    """Lends up to `most` connections at once and opens them on demand.

    A connection belongs to the pool and not to a thread. The last used connection is lent first, because its cache is
    warm. Safe from any thread; `_lock` guards all fields, and connections are opened without it.
    """

    def __init__(self, where: str, connect: Callable[[], ReadingConnection], most: int, patience: float) -> None:
        self._where = where
        self._connect = connect
        self._most = most
        self._patience = patience
        self._lock = new_lock(Rank.READERS)
        self._free: list[ReadingConnection] = []
        self._waiting: deque[Signal] = deque()
        self._open = 0
        self._closed = False
        self._emptied = Signal()

    @property
    def open(self) -> int:
        """The number of connections, lent or free."""
        return self._open

    def take(self) -> ReadingConnection:
        """Borrow a connection. Raises `StorageBusy` after `patience` seconds, `StorageClosed`, and errors of connecting."""
        countdown: Countdown | None = None
        while True:
            with self._lock:
                if self._closed:
                    raise StorageClosed(self._where)
                if self._free:
                    return self._free.pop()
                if self._open < self._most:
                    self._open += 1
                    break
                signal = Signal()
                self._waiting.append(signal)
            if countdown is None:
                countdown = Countdown(self._patience)
            if not signal.wait(countdown.left()) and self._leave(signal):
                raise StorageBusy(self._where, f"none of its {self._most} readers was free", self._patience)
        try:
            return self._connect()
        except BaseException:
            with self._lock:
                self._forget()
            raise

    def give(self, connection: ReadingConnection) -> None:
        """Return a connection."""
        if connection.usable:
            with self._lock:
                if not self._closed:
                    self._free.append(connection)
                    if self._waiting:
                        self._wake()
                    return
        connection.close()
        with self._lock:
            self._forget()

    def clear(self) -> None:
        """Close the free connections, because their server is lost."""
        with self._lock:
            free, self._free = self._free, []
        for connection in free:
            connection.close()
            with self._lock:
                self._forget()

    def close(self, timeout: float) -> bool:
        """Lend no more and wait up to `timeout` seconds for lent connections. Return whether all came back."""
        with self._lock:
            self._closed = True
            for signal in self._waiting:
                signal.set()
            self._waiting.clear()
            if self._open == 0:
                self._emptied.set()
        self.clear()
        return self._emptied.wait(timeout)

    def _forget(self) -> None:
        """Count one connection less. The caller holds the lock."""
        self._open -= 1
        self._wake()
        if self._closed and self._open == 0:
            self._emptied.set()

    def _wake(self) -> None:
        if self._waiting:
            self._waiting.popleft().set()

    def _leave(self, signal: Signal) -> bool:
        """Stop waiting. Return False if the signal was already set: then the caller must take or pass on its turn."""
        with self._lock:
            if signal in self._waiting:
                self._waiting.remove(signal)
                return True
            return False


_log = logging.getLogger(__name__)

_EXIT_WITHIN = 10.0
"""Seconds that the end of the process waits for accepted writes."""


class SharedDatabase:
    """The writer and readers that all users of one database in one process share. Closing it calls `release`.

    Accepted writes are done even if a program ends without closing: the writer's thread is a daemon, so that a stuck work
    cannot keep the process alive, and an exit handler waits for it.
    """

    def __init__(
        self,
        where: str,
        dialect: Dialect,
        store: Store,
        connect: Callable[[], ReadingConnection],
        clock: Clock,
        *,
        readers: int,
        capacity: int,
        patience: float,
        release: Callable[[], object] | None = None,
    ) -> None:
        self.where = where
        self.dialect = dialect
        self.clock = clock
        self.writer = Writer(where, store, capacity)
        self.readers = ReaderPool(where, connect, readers, patience)
        self._release = release
        self.is_forked = False
        """True in a child of the process that opened it, which must not use it."""
        register_fork_handler(self)
        register_exit_handler(self, ExitOrder.STORAGE)

    def enter(self) -> None:
        """Raise `StorageForked` in a process that did not create it."""
        if self.is_forked:
            raise StorageForked(self.where)

    def after_fork_in_child(self) -> None:
        """Mark this as the database of the parent, which this process must not use."""
        self.is_forked = True

    def close(self, timeout: float) -> None:
        """Finish the accepted writes and close all connections. Writes that are not done in time fail and are logged."""
        # The writer goes first, because queued works may read.
        if not self.writer.close(timeout):
            _log.warning("%s: the writer has not ended; a work is stuck", self.where)
        if not self.readers.close(timeout):
            _log.warning(
                "%s: %d reads have not ended; their connections stay open until they do", self.where, self.readers.open
            )
        if self._release is not None:
            self._release()
        unregister_exit_handler(self)

    def finish_at_exit(self) -> str | None:
        """Finish the accepted writes and close. Return how many were lost, as text, or None."""
        failed, queued = self.writer.failed, self.writer.queued
        self.close(_EXIT_WITHIN)
        failed = self.writer.failed - failed
        if not self.writer.ended:
            return f"{self.where}: up to {queued} accepted writes, because one was stuck for {_EXIT_WITHIN:g} s"
        return f"{self.where}: {failed} accepted writes failed" if failed else None
