"""Pure functions that choose the episodes to evict."""

from __future__ import annotations

import enum
import heapq
from collections.abc import Mapping, Sequence

from coterie.memory.record import MemoryRecord
from coterie.memory.tiers.rules import strength


class EvictionPolicy(enum.StrEnum):
    """The policy that chooses the episodes to evict for new ones."""

    FIFO = "fifo"
    """Evict the episodes stored first."""
    AGE = "age"
    """Evict all episodes older than `max_age`, then those that happened first, whenever they were stored."""
    RELEVANCE = "relevance"
    """Evict the weakest episodes: the least important, least recently and least often used."""


def first_stored(times: Mapping[str, float], count: int) -> list[str]:
    """Return the ids of the first `count` episodes; `times` is in the order of storing."""
    return [each for each, _ in zip(times, range(count), strict=False)]


def oldest(times: Mapping[str, float], count: int, now: float, max_age: float | None) -> list[str]:
    """Return the ids of the episodes older than `max_age` seconds; of the `count` oldest if those are fewer."""
    old = [] if max_age is None else [each for each, time in times.items() if time < now - max_age]
    return old if len(old) >= count else heapq.nsmallest(count, times, key=times.__getitem__)


def least_relevant(records: Sequence[MemoryRecord], count: int, now: float) -> list[str]:
    """Return the ids of the `count` weakest records; of two equals, the older."""
    weakest = heapq.nsmallest(count, records, key=lambda record: (strength(record, now), record.created, record.version))
    return [record.id for record in weakest]
