"""The writer thread of a database and its bounded queue."""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import NamedTuple, TypeVar

from coterie.concurrency import AutoResetEvent, Rank, Signal, new_lock, start_thread
from coterie.errors import StorageError, StorageFull, StorageUnavailable, describe
from coterie.errors.storage import StorageBusy, StorageClosed
from coterie.storage.engine.contract import Store, Work, WriteOutcome
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


T = TypeVar("T")

_log = logging.getLogger(__name__)

_MOST = 500
"""Writes that are taken off the queue at once and share one commit."""

_REST_AFTER = 1.0
"""Seconds without a write after which the store does deferred maintenance."""


def _compact(_: object) -> None:
    """Mark a request to compact the database."""


class Writer:
    """Takes writes off the queue, lets the store commit them in groups, and completes their pending results.

    A group holds the writes that arrived while the previous group was written; the writer never waits for a group to
    fill. Safe from any thread; only its own thread changes the counts.
    """

    def __init__(self, where: str, store: Store, capacity: int) -> None:
        self.where = where
        self.store = store
        self.stored = 0
        self.failed = 0
        self.commits = 0
        self._queue = WriteQueue(where, capacity)
        self._rested = True
        self._thread = start_thread(self._run, f"storage-writer {where}", part=f"storage {where}")
        self._ident = self._thread.ident or 0

    @property
    def queued(self) -> int:
        """The number of queued writes."""
        return len(self._queue)

    @property
    def ended(self) -> bool:
        """True if its thread has ended."""
        return not self._thread.is_alive()

    @property
    def is_current(self) -> bool:
        """True if the calling thread is the writer's thread."""
        return threading.get_ident() == self._ident

    def submit(self, work: Work, *, durable: bool, timeout: float | None) -> Pending[T]:
        """Queue a work. Raises `StorageBusy` if the queue stays full, and `StorageClosed` after `close`."""
        pending: Pending[T] = Pending(self.where, self._ident)
        write = Write(work, pending, durable)
        if self.is_current:
            # The writer cannot wait for itself.
            self._queue.force(write)
        else:
            self._queue.put(write, timeout)
        return pending

    def compact(self) -> Pending[None]:
        """Queue a rewrite of the whole database after all earlier writes. Raises `StorageClosed` after `close`."""
        return self.submit(_compact, durable=True, timeout=None)

    def close(self, timeout: float) -> bool:
        """Finish the accepted writes and end; fail those not done after `timeout` seconds. Return whether the thread ended."""
        self._queue.close()
        self._thread.join(timeout)
        if self._thread.is_alive():
            self.store.give_up()
            self._thread.join(timeout)
        ended = not self._thread.is_alive()
        if not ended:
            for write in self._queue.drain():
                write.pending.fail(StorageUnavailable(self.where, "it was closed while an earlier write was stuck"))
        return ended

    def _run(self) -> None:
        try:
            while (writes := self._queue.take(_MOST, None if self._rested else _REST_AFTER)) is not None:
                if writes:
                    self._rested = False
                    self._write(writes)
                else:
                    self._rested = True
                    self.store.rest()
                # While it waits for the next write, it keeps nothing of these alive.
                del writes
        finally:
            self.store.close()

    def _write(self, writes: list[Write]) -> None:
        while writes:
            # A compaction runs outside of a transaction.
            before = next((place for place, write in enumerate(writes) if write.work is _compact), len(writes))
            outcomes = self._store(writes[:before]) if before else [self._compact()]
            done = len(outcomes)
            for write, outcome in zip(writes[:done], outcomes, strict=True):
                if outcome.error is None:
                    self.stored += 1
                    write.pending.succeed(outcome.value)
                else:
                    self.failed += 1
                    write.pending.fail(outcome.error)
            writes = writes[done:]

    def _compact(self) -> WriteOutcome:
        try:
            self.store.compact()
        except StorageError as error:
            return WriteOutcome(None, error)
        return WriteOutcome(None, None)

    def _store(self, writes: list[Write]) -> list[WriteOutcome]:
        try:
            outcomes = self.store.store([write.work for write in writes], durable=any(write.durable for write in writes))
        except StorageFull as error:
            # A full disk undoes the whole transaction. Store one at a time, so that small writes can still succeed.
            if len(writes) > 1:
                return [outcome for write in writes for outcome in self._store([write])]
            return [WriteOutcome(None, error)]
        except StorageError as error:
            return [WriteOutcome(None, error)] * len(writes)
        except BaseException as error:  # noqa: BLE001 - the waiting callers get it, and the writer must go on
            _log.exception("the writer of %s met an unknown error", self.where)
            unknown = StorageUnavailable(self.where, describe(error), doubtful=True)
            unknown.__cause__ = error
            return [WriteOutcome(None, unknown)] * len(writes)
        self.commits += 1
        return outcomes
