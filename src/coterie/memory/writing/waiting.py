"""What waits to be written to a tier, and who waits for that."""

from __future__ import annotations

import enum

import msgspec

from coterie.concurrency import Signal
from coterie.memory.contract import ArchiveChange, Put, Touch


class MemoryPriority(enum.IntEnum):
    """Which writes go first."""

    HIGH = 0
    """Somebody waits for it."""
    NORMAL = 1
    LOW = 2
    """Counts of reads, and other things that can wait."""


class Written(Signal):
    """Done when a change was written, or was given up because of `error`."""

    __slots__ = ("error",)

    def __init__(self) -> None:
        super().__init__()
        self.error: BaseException | None = None


class Item(msgspec.Struct, gc=False):
    """A change that waits. Many do, and so it is none that the garbage collector goes through."""

    change: ArchiveChange
    urgency: int
    number: int
    waiters: tuple[Written, ...] = ()


class Flush(Written):
    """Done when all changes up to the number `until` were written, of which `left` are not yet."""

    __slots__ = ("left", "patient", "touches", "until")

    def __init__(self, until: int, left: int, *, patient: bool, touches: bool) -> None:
        super().__init__()
        self.touches = touches
        self.until = until
        self.left = left
        self.patient = patient


def key_of_change(change: ArchiveChange) -> str:
    """Return the key that a change is about."""
    return change.record.key if isinstance(change, Put) else change.key


def sum_of(one: Touch | None, other: Touch) -> Touch:
    """Return the reads that two touches of one key count together."""
    if one is None:
        return other
    return Touch(one.key, one.count + other.count, max(one.last_access, other.last_access))
