"""The write-behind queue of one tier: batches of changes, by priority."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable

from coterie.concurrency import AutoResetEvent, Rank, Signal, Thread, new_lock, start_thread
from coterie.errors import CoterieError, TierUnavailable, WriteTimeout, describe
from coterie.kernel import Countdown
from coterie.memory.contract import ArchiveChange, Delete, Put, Touch
from coterie.memory.record import MemoryRecord
from coterie.memory.writing.access import TierAccess
from coterie.memory.writing.pending import (
    FlushCompletion,
    MemoryPriority,
    PendingFlushes,
    QueuedChange,
    ReadCounts,
    WriteBatch,
    WriteCompletion,
    WriteSoon,
    key_of_change,
)

_log = logging.getLogger(__name__)
_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 2.0
"""Seconds between two attempts to reach an unavailable tier."""
_QUIET = 0.05
"""Seconds without a write after which the tier may do deferred work."""


class WriteBehindQueue:
    """Takes changes from many threads, and writes them on a thread of its own, in batches.

    Of two queued changes of one key only the later is written. `pending` finds a queued change, so that every thread reads its
    own writes. While the tier is unavailable changes stay queued, and `wait_for_room` blocks beyond `capacity`. A change that
    the tier rejects is given up: it is logged, counted, and raised to its waiters. After a quiet moment `deferred_work` is called
    until it returns False.

    If the tier has a writer of its own, `write_soon`, a change with a waiter need not wait for the thread of the queue: that
    writer takes the queued changes at its turn, with those of many callers, and reports the end. It never runs at the same time
    as the queue's own thread, so that a change cannot overtake a later one of its key; and after a failure only the queue's
    thread writes. Safe from many threads; `_lock` guards all tables, and is released during writes.
    """

    def __init__(
        self,
        access: TierAccess,
        write: WriteBatch,
        *,
        capacity: int,
        batch: int,
        deferred_work: Callable[[], bool] = lambda: False,
        write_soon: WriteSoon | None = None,
    ) -> None:
        self._access = access
        self._capacity = capacity
        self._batch = batch
        self._lock = new_lock(Rank.LANE)
        self._numbers = itertools.count(1)
        self._queues: tuple[dict[str, QueuedChange], ...] = ({}, {}, {})
        self._reads = ReadCounts()
        self._newest: dict[str, Put | Delete] = {}
        """The last unwritten change of each key. Read without the lock."""
        self._writing: list[QueuedChange] = []
        """The changes that the queue's own thread is writing."""
        self._at_writer = 0
        """The number of changes that the tier's writer has."""
        self._at_writer_last: dict[str, QueuedChange] = {}
        """The last of each key among them."""
        self._flushes = PendingFlushes()
        self._room: list[Signal] = []
        self._wake_up = AutoResetEvent()
        self.lost = 0  # Changes that were given up.
        self._unreported: BaseException | None = None
        """The reason of a given-up change that had no waiter. The next complete flush raises it."""
        self._write = write
        self._deferred_work = deferred_work
        self._write_soon = write_soon
        self._writer_asked = False
        """Whether the tier's writer was asked to take changes, and has not done so yet."""
        self._failing = False
        """Whether the last write failed."""
        self._idle = False
        """Whether its thread is idle, and must be woken."""
        self._closed = False
        self._thread: Thread | None = None

    def start(self) -> None:
        """Start the thread."""
        self._thread = start_thread(self._run, f"memory-{self._access.name}-writer", part="memory")

    def __len__(self) -> int:
        """Return the number of changes that are queued or being written."""
        return sum(map(len, self._queues)) + len(self._reads.queue) + len(self._writing) + self._at_writer

    def pending(self, key: str) -> Put | Delete | None:
        """Return the last unwritten change of that key, or None."""
        return self._newest.get(key)

    def pending_records(self) -> list[MemoryRecord]:
        """Return the unwritten records."""
        with self._lock:
            return [change.record for change in self._newest.values() if isinstance(change, Put)]

    def wait_for_room(self, timeout: float) -> None:
        """Wait until it can take a change; raise `WriteTimeout` after `timeout` seconds."""
        if len(self._newest) < self._capacity - self._batch:
            # Without the lock. Each queued change has a key of its own, except counts of reads and changes being written.
            return
        countdown = Countdown(timeout)
        while True:
            with self._lock:
                if len(self) < self._capacity:
                    return
                signal = Signal()
                self._room.append(signal)
            if not signal.wait(countdown.left()):
                reason = self._access.away or f"{self._capacity} memories already wait to be written"
                raise WriteTimeout("a memory was not taken in", timeout, reason)

    def put(
        self, change: Put | Delete, priority: MemoryPriority = MemoryPriority.NORMAL, waiter: WriteCompletion | None = None
    ) -> None:
        """Queue a change. Never waits. `waiter` is set when the change, or a later one of its key, is written."""
        key = change.key if isinstance(change, Delete) else change.record.key
        with self._lock:
            item = QueuedChange(change, priority, next(self._numbers))
            if key in self._newest:
                self._replace(key, item)
            if waiter is not None:
                item.waiters += (waiter,)
            self._queues[item.priority][key] = item
            self._newest[key] = change
            call = wake = False
            if waiter is None or self._write_soon is None or self._failing:
                wake, self._idle = self._idle, False
            elif not self._writer_asked and not self._writing:
                call = self._writer_asked = True
            # Otherwise the tier's writer takes this too, or the queue's thread, which always looks again.
        if call:
            self._call()
        elif wake:
            self._wake_up.set()

    def touch(self, key: str, count: int, last_access: float) -> None:
        """Count reads; they are written at the next complete flush at the latest. Never waits."""
        with self._lock:
            many = self._reads.add(Touch(key, count, last_access))
            if many:
                self._reads.release(self._numbers)
        if many:
            self._wake_up.set()

    def flush(self, timeout: float, *, patient: bool = True, touches: bool = True) -> None:
        """Wait until all changes queued before are written.

        Raises `WriteTimeout`, or the error of a change that the tier rejected. Unless `patient`, it raises `TierUnavailable` as
        soon as the tier is known to be unavailable. Without `touches` it neither waits for counts of reads nor raises
        rejections: readers use it that way.
        """
        with self._lock:
            if touches:
                self._reads.release(self._numbers)
            left = len(self)
            untold, self._unreported = (self._unreported, None) if touches else (None, self._unreported)
            if not left and untold is None:
                return
            flush = FlushCompletion(next(self._numbers), left, patient=patient, touches=touches)
            flush.error = untold
            if left:
                self._flushes.add(flush)
            else:
                flush.set()
        self._wake_up.set()
        if not flush.wait(timeout):
            with self._lock:
                self._flushes.discard(flush)
            reason = self._access.away or "the disk is slow, or very many memories wait"
            raise WriteTimeout(f"{flush.left} memories were not written to the {self._access.name} tier", timeout, reason)
        if flush.error is not None:
            raise flush.error

    def close(self, timeout: float) -> int:
        """Write everything that is left, end the thread, and return how many changes could not be written in time."""
        try:
            self.flush(timeout)
        except Exception as error:  # noqa: BLE001 - its waiters have it; closing goes on
            _log.warning("closing the %s tier: %s", self._access.name, describe(error))
        self._closed = True
        self._wake_up.set()
        if self._thread is not None:
            self._thread.join(timeout)
        return len(self)

    def _run(self) -> None:
        pause = _FIRST_PAUSE
        quiet: float | None = _QUIET
        while True:
            items = self._take()
            if not items:
                if self._closed:
                    return
                if not self._wake_up.wait(quiet):
                    quiet = 0.0 if self._has_more_to_do() else None
                continue
            quiet = _QUIET
            try:
                self._write([item.change for item in items])
            except TierUnavailable as error:
                self._access.failed(error)
                self._failing = True
                self._put_back(items)
                self._fail_impatient(error)
                if self._closed:
                    return
                self._wake_up.wait(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
                continue
            except Exception as error:  # noqa: BLE001 - raised to the waiters, logged and counted
                self._write_singly(items, error)
            else:
                self._access.answered(len(items))
                self._failing = False
                self._finish(items)
            pause = _FIRST_PAUSE

    def _has_more_to_do(self) -> bool:
        try:
            return self._deferred_work()
        except CoterieError as error:
            # It is retried after the next write, and by callers that need it.
            _log.warning("the %s tier could not do deferred work: %s", self._access.name, error)
            return False

    def _take(self) -> list[QueuedChange]:
        with self._lock:
            # The changes of the tier's writer come first; it wakes this thread at its end.
            taken = [] if self._at_writer else self._pick(*self._queues, self._reads.queue)
            self._writing = taken
            self._idle = not taken
            if not len(self):
                self._failing = False
            return taken

    def _call(self) -> None:
        """Ask the tier's writer to take the queued changes."""
        assert self._write_soon is not None
        taken: list[QueuedChange] = []

        def take() -> list[ArchiveChange]:
            taken.extend(self._take_for_writer())
            return [item.change for item in taken]

        try:
            self._write_soon(take, lambda error: self._returned(taken, error))
        except Exception as error:  # noqa: BLE001 - the queue's own thread retries and handles it
            self._returned(taken, error)

    def _take_for_writer(self) -> list[QueuedChange]:
        """Give the queued changes to the tier's writer; none if the queue's thread is writing, or must."""
        with self._lock:
            self._writer_asked = False
            if self._writing or self._failing:
                return []
            taken = self._pick(*self._queues)
            self._at_writer += len(taken)
            self._at_writer_last.update((key_of_change(item.change), item) for item in taken)
            return taken

    def _returned(self, taken: list[QueuedChange], error: BaseException | None) -> None:
        """Handle the end of the changes that the tier's writer had."""
        with self._lock:
            self._at_writer -= len(taken)
            for item in taken:
                key = key_of_change(item.change)
                if self._at_writer_last.get(key) is item:
                    del self._at_writer_last[key]
            if error is not None:
                self._writer_asked = False
                self._failing = True
            # Unless the tier's writer will take the changes that came since.
            wake = (
                self._idle and not self._at_writer and (bool(self._reads.queue) or (not self._writer_asked and len(self) > 0))
            )
        if error is None:
            self._access.answered(len(taken))
            self._finish(taken)
        else:
            if isinstance(error, TierUnavailable):
                self._access.failed(error)
                self._fail_impatient(error)
            self._put_back(taken)
        if wake or error is not None:
            self._wake_up.set()

    def _write_singly(self, items: list[QueuedChange], error: Exception) -> None:
        """Write a batch one by one to find the change that the tier rejects."""
        if len(items) > 1:
            for item in items:
                try:
                    self._write([item.change])
                except TierUnavailable as away:
                    self._access.failed(away)
                    rest = items[items.index(item) :]
                    self._finish(items[: items.index(item)])
                    self._put_back(rest)
                    return
                except Exception as reason:  # noqa: BLE001 - as above
                    self._give_up(item, reason)
            self._finish(items)
            return
        self._give_up(items[0], error)
        self._finish(items)

    def _give_up(self, item: QueuedChange, error: BaseException) -> None:
        self.lost += 1
        _log.error("the %s tier rejected %r: %s", self._access.name, key_of_change(item.change), describe(error))
        for waiter in item.waiters:
            waiter.error = error
        with self._lock:
            if not (self._flushes.fail(error) or item.waiters):
                self._unreported = error

    def _replace(self, key: str, item: QueuedChange) -> None:
        """Let an item replace a queued one of its key, and take over its waiters and the better priority."""
        for queue in self._queues:
            there = queue.get(key)
            if there is not None:
                item.number = there.number
                item.waiters = there.waiters
                item.priority = min(item.priority, there.priority)
                if there.priority != item.priority:
                    del queue[key]
                return

    def _pick(self, *queues: dict[str, QueuedChange]) -> list[QueuedChange]:
        taken: list[QueuedChange] = []
        for queue in queues:
            keys = list(itertools.islice(queue, self._batch - len(taken)))
            taken += [queue.pop(key) for key in keys]
        return taken

    def _put_back(self, items: list[QueuedChange]) -> None:
        """Queue changes that could not be written again, before all others of their priority."""
        over: list[QueuedChange] = []
        with self._lock:
            self._writing = []
            again: tuple[dict[str, QueuedChange], ...] = ({}, {}, {}, {})
            queues = (*self._queues, self._reads.queue)
            for item in items:
                key = key_of_change(item.change)
                touch = isinstance(item.change, Touch)
                later = next((queue[key] for queue in ((self._reads.queue,) if touch else self._queues) if key in queue), None)
                if later is None and not touch and self._newest.get(key) is not item.change:
                    # A later one was written or is being written.
                    later = self._at_writer_last.get(key)
                    if later is None:
                        over.append(item)
                        continue
                if later is None:
                    again[len(self._queues) if touch else item.priority][key] = item
                else:
                    self._flushes.merge(item, later)
            for queue, first in zip(queues, again, strict=True):
                rest = dict(queue)
                queue.clear()
                queue.update(first)
                queue.update(rest)
        if over:
            self._finish(over)

    def _fail_impatient(self, error: TierUnavailable) -> None:
        with self._lock:
            ended = self._flushes.take_impatient()
        for flush in ended:
            flush.error = error
            flush.set()

    def _finish(self, items: list[QueuedChange]) -> None:
        done: list[Signal] = []
        with self._lock:
            self._writing = []
            for item in items:
                change = item.change
                if not isinstance(change, Touch):
                    key = change.record.key if isinstance(change, Put) else change.key
                    if self._newest.get(key) is change:
                        del self._newest[key]
                done += item.waiters
            self._flushes.count(item.number for item in items)
            done += self._flushes.take_finished()
            if self._room and len(self) < self._capacity:
                done += self._room
                self._room = []
        for signal in done:
            signal.set()
