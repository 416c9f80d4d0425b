"""The pool of read connections."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from coterie.concurrency import Rank, Signal, new_lock
from coterie.errors import StorageBusy, StorageClosed
from coterie.kernel import Countdown
from coterie.storage.engine.contract import ReadingConnection


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
        with self._lock:
            if connection.usable and not self._closed:
                self._free.append(connection)
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
