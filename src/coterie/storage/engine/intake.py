"""The bounded queue of writes."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from coterie.concurrency import AutoResetEvent, Rank, Signal, new_lock
from coterie.errors import StorageBusy, StorageClosed
from coterie.storage.engine.contract import Work
from coterie.storage.pending import Pending


class Write(NamedTuple):
    """One requested write."""

    work: Work
    pending: Pending[object]
    durable: bool


class _Waiting:
    """A write that waits for a place in the queue. `accepted` is read after the signal."""

    __slots__ = ("accepted", "signal", "write")

    def __init__(self, write: Write) -> None:
        self.write = write
        self.signal = Signal()
        self.accepted = False


class WriteQueue:
    """A bounded queue, first in, first out. Waiting writers enter in their order, before later ones.

    Safe from any thread; one thread takes. `_lock` guards all fields.
    """

    def __init__(self, where: str, capacity: int) -> None:
        self._where = where
        self._capacity = capacity
        self._lock = new_lock(Rank.WRITES)
        self._queue: deque[Write] = deque()
        self._waiting: deque[_Waiting] = deque()
        self._doorbell = AutoResetEvent()
        self._resting = False
        self._closed = False

    def __len__(self) -> int:
        return len(self._queue)

    def put(self, write: Write, timeout: float | None) -> None:
        """Add a write, waiting up to `timeout` seconds for a place; None waits without a limit.

        Raises `StorageBusy` if no place became free, and `StorageClosed`.
        """
        with self._lock:
            if self._closed:
                raise StorageClosed(self._where)
            if len(self._queue) < self._capacity and not self._waiting:
                self._queue.append(write)
                ring, self._resting = self._resting, False
                waiting = None
            else:
                ring = False
                waiting = _Waiting(write)
                self._waiting.append(waiting)
        if ring:
            self._doorbell.set()
        if waiting is not None:
            self._await(waiting, timeout)

    def force(self, write: Write) -> None:
        """Add a write regardless of the capacity, even after `close`. Only for the thread that takes."""
        with self._lock:
            self._queue.append(write)

    def take(self, most: int, idle: float | None) -> list[Write] | None:
        """Return up to `most` writes; an empty list after `idle` seconds without one; None when closed and empty."""
        while True:
            with self._lock:
                if self._queue:
                    return self._pop(most)
                if self._closed:
                    return None
                self._resting = True
            if not self._doorbell.wait(idle):
                with self._lock:
                    self._resting = False
                    if not self._queue:
                        return []

    def close(self) -> None:
        """Accept no more writes. Waiting writers get `StorageClosed`."""
        with self._lock:
            self._closed = True
            waiting, self._waiting = self._waiting, deque()
        for each in waiting:
            each.signal.set()
        self._doorbell.set()

    def drain(self) -> list[Write]:
        """Remove and return all queued writes. Safe from any thread."""
        with self._lock:
            writes = list(self._queue)
            self._queue.clear()
        return writes

    def _pop(self, most: int) -> list[Write]:
        """Remove writes and admit waiting ones. The caller holds the lock; signals only wake a thread."""
        queue = self._queue
        taken = [queue.popleft() for _ in range(min(most, len(queue)))]
        while self._waiting and len(queue) < self._capacity:
            waiting = self._waiting.popleft()
            queue.append(waiting.write)
            waiting.accepted = True
            waiting.signal.set()
        return taken

    def _await(self, waiting: _Waiting, timeout: float | None) -> None:
        waiting.signal.wait(timeout)
        with self._lock:
            if waiting.accepted:
                return
            closed = self._closed
            if not closed:
                self._waiting.remove(waiting)
        if closed:
            raise StorageClosed(self._where)
        raise StorageBusy(self._where, "the queue of writes had no free place", timeout or 0.0)
