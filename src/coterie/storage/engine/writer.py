"""The writer thread of a database."""

from __future__ import annotations

import logging
import threading
from typing import TypeVar

from coterie.concurrency import start_thread
from coterie.errors import StorageError, StorageFull, StorageUnavailable, describe
from coterie.storage.engine.contract import Store, Work, WriteOutcome
from coterie.storage.engine.intake import Write, WriteQueue
from coterie.storage.pending import Pending

T = TypeVar("T")

_log = logging.getLogger(__name__)

_MOST = 500
"""Writes that are taken off the queue at once and share one commit."""

_REST_AFTER = 1.0
"""Seconds without a write after which the store does deferred maintenance."""


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
        self._thread = start_thread(self._run, f"storage-writer {where}")
        self._ident = self._thread.ident or 0

    @property
    def queued(self) -> int:
        """The number of queued writes."""
        return len(self._queue)

    @property
    def is_current(self) -> bool:
        """Whether the calling thread is the writer's thread."""
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
        finally:
            self.store.close()

    def _write(self, writes: list[Write]) -> None:
        while writes:
            outcomes = self._store(writes)
            done = len(outcomes)
            for write, outcome in zip(writes[:done], outcomes, strict=True):
                if outcome.error is None:
                    self.stored += 1
                    write.pending.succeed(outcome.value)
                else:
                    self.failed += 1
                    write.pending.fail(outcome.error)
            writes = writes[done:]

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
