"""Queued changes of a tier, and the callers that wait for them."""

from __future__ import annotations

import enum

import msgspec

from coterie.concurrency import Signal
from coterie.memory.contract import ArchiveChange, Put, Touch


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
