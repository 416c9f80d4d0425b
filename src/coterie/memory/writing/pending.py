"""Queued changes of a tier, and the callers that wait for them."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias

import msgspec

from coterie.concurrency import Signal
from coterie.memory.contract import ArchiveChange, Put, Touch

_MANY_TOUCHES = 20_000
"""The maximum of memories with unwritten counts of reads."""

WriteBatch: TypeAlias = Callable[[Sequence[ArchiveChange]], list[bool]]
WriteSoon: TypeAlias = Callable[[Callable[[], Sequence[ArchiveChange]], Callable[[BaseException | None], object]], None]


class MemoryPriority(enum.IntEnum):
    """The order of queued writes."""

    HIGH = 0
    """A caller waits for it."""
    NORMAL = 1
    LOW = 2
    """Counts of reads, and other changes that can wait."""


class WriteCompletion(Signal):
    """Set when a change was written, or given up because of `error`."""

    __slots__ = ("error",)

    def __init__(self) -> None:
        super().__init__()
        self.error: BaseException | None = None


class QueuedChange(msgspec.Struct, gc=False):
    """A queued change. The garbage collector does not track it, because there are many."""

    change: ArchiveChange
    priority: int
    number: int
    waiters: tuple[WriteCompletion, ...] = ()


class FlushCompletion(WriteCompletion):
    """Set when all changes up to the number `until` are written; `left` of them are not yet."""

    __slots__ = ("left", "patient", "touches", "until")

    def __init__(self, until: int, left: int, *, patient: bool, touches: bool) -> None:
        super().__init__()
        self.touches = touches
        self.until = until
        self.left = left
        self.patient = patient


def key_of_change(change: ArchiveChange) -> str:
    """Return the key of a change."""
    return change.record.key if isinstance(change, Put) else change.key


def add_touches(one: Touch | None, other: Touch) -> Touch:
    """Return one touch for the reads of two touches of a key."""
    if one is None:
        return other
    return Touch(one.key, one.count + other.count, max(one.last_access, other.last_access))


class PendingFlushes:
    """The flushes that wait for changes. The queue's lock guards it."""

    def __init__(self) -> None:
        self._flushes: list[FlushCompletion] = []

    def add(self, flush: FlushCompletion) -> None:
        """Add a flush."""
        self._flushes.append(flush)

    def discard(self, flush: FlushCompletion) -> None:
        """Remove a flush whose caller has given up."""
        self._flushes = [each for each in self._flushes if each is not flush]

    def count(self, numbers: Iterable[int]) -> None:
        """Count that the changes with these numbers need no more waiting."""
        if self._flushes:
            for number in numbers:
                for flush in self._flushes:
                    flush.left -= flush.until >= number

    def merge(self, earlier: QueuedChange, later: QueuedChange) -> None:
        """Let a later change of the same key replace an unwritten one."""
        later.waiters = (*earlier.waiters, *later.waiters)
        if isinstance(earlier.change, Touch) and isinstance(later.change, Touch):
            later.change = add_touches(earlier.change, later.change)
        # A flush that waits for both waits for one from now on, and must not end with that.
        self.count((max(earlier.number, later.number),))
        later.number = min(earlier.number, later.number)

    def take_finished(self) -> list[FlushCompletion]:
        """Remove the flushes whose changes are all written, and return them."""
        finished = [flush for flush in self._flushes if flush.left <= 0]
        self._flushes = [flush for flush in self._flushes if flush.left > 0]
        return finished

    def take_impatient(self) -> list[FlushCompletion]:
        """Remove the flushes that do not wait for an unavailable tier, and return them."""
        impatient = [flush for flush in self._flushes if not flush.patient]
        self._flushes = [flush for flush in self._flushes if flush.patient]
        return impatient

    def fail(self, error: BaseException) -> bool:
        """Let complete flushes raise the error of a rejected change. Return whether there are any.

        A flush for reading must not fail because of another memory.
        """
        complete = [flush for flush in self._flushes if flush.touches]
        for flush in complete:
            flush.error = flush.error or error
        return bool(complete)


class ReadCounts:
    """Counts of reads, written together when needed: each would be a write of its own. The queue's lock guards it."""

    def __init__(self) -> None:
        self._held: dict[str, Touch] = {}
        self.queue: dict[str, QueuedChange] = {}
        """The counts that are to be written now."""

    def add(self, touch: Touch) -> bool:
        """Add reads of one memory. Return whether there are so many counts that they should be released."""
        self._held[touch.key] = add_touches(self._held.get(touch.key), touch)
        return len(self._held) >= _MANY_TOUCHES

    def release(self, numbers: Iterator[int]) -> None:
        """Queue all counts for the next batches."""
        for key, touch in self._held.items():
            there = self.queue.get(key)
            if there is None:
                self.queue[key] = QueuedChange(touch, MemoryPriority.LOW, next(numbers))
            else:
                assert isinstance(there.change, Touch)
                there.change = add_touches(there.change, touch)
        self._held = {}
