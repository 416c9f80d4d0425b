"""The queued changes of one tier, and their accounting."""

from __future__ import annotations

import itertools

from coterie.concurrency import AutoResetEvent, Rank, Signal, new_lock
from coterie.errors import TierUnavailable, WriteTimeout
from coterie.kernel import Countdown
from coterie.memory.contract import Delete, Put, Touch
from coterie.memory.record import MemoryRecord
from coterie.memory.writing.access import TierAccess
from coterie.memory.writing.waiting import FlushCompletion, MemoryPriority, QueuedChange, add_touches, key_of_change

_MANY_TOUCHES = 20_000
"""The maximum of memories with unwritten counts of reads."""


class Backlog:
    """The changes that wait, those that are being written, and who waits for them. `_lock` guards all tables."""

    def __init__(self, access: TierAccess, capacity: int, batch: int) -> None:
        self._access = access
        self._capacity = capacity
        self._batch = batch
        self._lock = new_lock(Rank.LANE)
        self._numbers = itertools.count(1)
        self._queues: tuple[dict[str, QueuedChange], ...] = ({}, {}, {})
        self._held: dict[str, Touch] = {}
        """Counted reads, written together when needed: each would be a write of its own."""
        self._touches: dict[str, QueuedChange] = {}
        """Counts of reads that are to be written now."""
        self._newest: dict[str, Put | Delete] = {}
        """The last unwritten change of each key. Read without the lock."""
        self._writing: list[QueuedChange] = []
        """The changes that the queue's own thread is writing."""
        self._at_writer = 0
        """The number of changes that the tier's writer has."""
        self._at_writer_last: dict[str, QueuedChange] = {}
        """The last of each key among them."""
        self._flushes: list[FlushCompletion] = []
        self._room: list[Signal] = []
        self._wake_up = AutoResetEvent()

    def __len__(self) -> int:
        """Return the number of changes that are queued or being written."""
        return sum(map(len, self._queues)) + len(self._touches) + len(self._writing) + self._at_writer

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

    def touch(self, key: str, count: int, last_access: float) -> None:
        """Count reads; they are written at the next complete flush at the latest. Never waits."""
        with self._lock:
            self._held[key] = add_touches(self._held.get(key), Touch(key, count, last_access))
            many = len(self._held) >= _MANY_TOUCHES
            if many:
                self._release_touches()
        if many:
            self._wake_up.set()

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
            queues = (*self._queues, self._touches)
            for item in items:
                key = key_of_change(item.change)
                touch = isinstance(item.change, Touch)
                later = next((queue[key] for queue in ((self._touches,) if touch else self._queues) if key in queue), None)
                if later is None and not touch and self._newest.get(key) is not item.change:
                    # A later one was written or is being written.
                    later = self._at_writer_last.get(key)
                    if later is None:
                        over.append(item)
                        continue
                if later is None:
                    again[len(self._queues) if touch else item.priority][key] = item
                else:
                    self._merge(item, later)
            for queue, first in zip(queues, again, strict=True):
                rest = dict(queue)
                queue.clear()
                queue.update(first)
                queue.update(rest)
        if over:
            self._finish(over)

    def _end_impatient(self, error: TierUnavailable) -> None:
        with self._lock:
            ended = [flush for flush in self._flushes if not flush.patient]
            self._flushes = [flush for flush in self._flushes if flush.patient]
        for flush in ended:
            flush.error = error
            flush.set()

    def _release_touches(self) -> None:
        """Queue the counts of reads for the next batches, under the lock."""
        for key, touch in self._held.items():
            there = self._touches.get(key)
            if there is None:
                self._touches[key] = QueuedChange(touch, MemoryPriority.LOW, next(self._numbers))
            else:
                assert isinstance(there.change, Touch)
                there.change = add_touches(there.change, touch)
        self._held = {}

    def _merge(self, earlier: QueuedChange, later: QueuedChange) -> None:
        """Let a later change of the same key replace an unwritten one."""
        later.waiters = (*earlier.waiters, *later.waiters)
        if isinstance(earlier.change, Touch) and isinstance(later.change, Touch):
            later.change = add_touches(earlier.change, later.change)
        # A flush that waits for both waits for one from now on, and must not end with that.
        for flush in self._flushes:
            flush.left -= flush.until >= max(earlier.number, later.number)
        later.number = min(earlier.number, later.number)

    def _finish(self, items: list[QueuedChange]) -> None:
        done: list[Signal] = []
        with self._lock:
            self._writing = []
            for item in items:
                change = item.change
                if not isinstance(change, Touch):
                    key = key_of_change(change)
                    if self._newest.get(key) is change:
                        del self._newest[key]
                for flush in self._flushes:
                    flush.left -= flush.until >= item.number
                done += item.waiters
            done += [flush for flush in self._flushes if flush.left <= 0]
            self._flushes = [flush for flush in self._flushes if flush.left > 0]
            if self._room and len(self) < self._capacity:
                done += self._room
                self._room = []
        for signal in done:
            signal.set()
