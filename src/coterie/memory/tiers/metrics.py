"""What a store of memories counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from coterie.memory.cache import CacheStatistics
from coterie.memory.compression import CompressionStatistics


@dataclass(frozen=True, slots=True)
class TierMetrics:
    """One tier below the cache."""

    name: str
    records: int | None
    """Memories that are at home in it; None if that cannot be known now."""
    hits: int
    """Reads that found a memory here."""
    misses: int
    writes: int
    waiting: int
    """Changes that are not written yet."""
    lost: int
    """Changes that the tier could not take, and never will."""
    failures: int
    """How often it could not be reached."""
    away: str
    """Why it cannot be reached now; empty if it can."""


@dataclass(frozen=True, slots=True)
class MemoryMetrics:
    """A store of memories, at one moment. EpisodeCounts are since it was opened."""

    cache: CacheStatistics
    tiers: Mapping[str, TierMetrics]
    """By name: short, intermediate, long."""
    stores: int
    deletes: int
    promotions: int
    demotions: int
    expirations: int
    kept: int
    """Memories that were decided on and stay where they are."""
    maintenance_runs: int
    maintenance_failures: int
    """Runs that had to stop because a tier was away, or that raised."""
    waiting_reads: int
    """What event loops have asked for, and no worker has begun with."""
    compression: CompressionStatistics


@dataclass(slots=True)
class MaintenanceReport:
    """What one maintenance did."""

    promoted: int = 0
    demoted: int = 0
    expired: int = 0
    kept: int = 0
    skipped: int = 0
    """Memories that somebody was writing, or had changed, meanwhile; they are looked at next time."""
    trained: bool = False
    """Whether it made a new dictionary for the compression."""
    problem: str = ""
    """Why it could not do all of it; empty if it did."""
