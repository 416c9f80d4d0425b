"""Who has to make room when there are too many episodes: pure functions."""

from __future__ import annotations

import enum
import heapq
from collections.abc import Mapping, Sequence

from coterie.memory.record import MemoryRecord
from coterie.memory.tiers.rules import strength


class EvictionPolicy(enum.StrEnum):
    """Which episodes make room for new ones."""

    FIFO = "fifo"
    """Those that were stored first."""
    AGE = "age"
    """All that are older than `max_age`, and then those that happened first, whenever they were stored."""
    RELEVANCE = "relevance"
    """Those that are held least firmly: the least important, the longest unused, the least often used."""


def first_stored(times: Mapping[str, float], count: int) -> list[str]:
    """Return the ids of what was stored first; `times` is in that order."""
    return [each for each, _ in zip(times, range(count), strict=False)]


def oldest(times: Mapping[str, float], count: int, now: float, max_age: float | None) -> list[str]:
    """Return the ids of what happened more than `max_age` seconds ago, and of what happened first, `count` at least."""
    old = [] if max_age is None else [each for each, time in times.items() if time < now - max_age]
    return old if len(old) >= count else heapq.nsmallest(count, times, key=times.__getitem__)


def least_relevant(records: Sequence[MemoryRecord], count: int, now: float) -> list[str]:
    """Return the ids of what is held least firmly; of two alike, the older goes."""
    weakest = heapq.nsmallest(count, records, key=lambda record: (strength(record, now), record.created, record.version))
    return [record.id for record in weakest]
