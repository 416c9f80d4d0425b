"""Metrics of a memory store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from coterie.memory.cache import CacheStatistics
from coterie.memory.compression import CompressedBackend, CompressionStatistics
from coterie.memory.tiers.store import TierStore


@dataclass(frozen=True, slots=True)
class TierMetrics:
    """One tier below the cache."""

    name: str
    records: int | None
    """The number of memories in this tier; None if it is unknown now."""
    hits: int
    """Reads that found a memory in this tier."""
    misses: int
    writes: int
    waiting: int
    """Changes that are not written yet."""
    lost: int
    """Changes that the tier rejected and that were given up."""
    failures: int
    """How often it was unavailable."""
    away: str
    """Why it is unavailable now; empty if it is available."""


@dataclass(frozen=True, slots=True)
class MemoryMetrics:
    """A memory store at one time. Counters start when it is opened."""

    cache: CacheStatistics
    tiers: Mapping[str, TierMetrics]
    """By name: short, intermediate, long."""
    stores: int
    deletes: int
    promotions: int
    demotions: int
    expirations: int
    kept: int
    """Memories that maintenance kept in their tier."""
    maintenance_runs: int
    maintenance_failures: int
    """Runs that stopped because a tier was unavailable, or that raised."""
    waiting_reads: int
    """Requests of event loops that no worker has started."""
    compression: CompressionStatistics


@dataclass(slots=True)
class MaintenanceReport:
    """The result of one maintenance run."""

    promoted: int = 0
    demoted: int = 0
    expired: int = 0
    kept: int = 0
    skipped: int = 0
    """Memories that changed or were being written meanwhile; the next run looks at them."""
    trained: bool = False
    """Whether it trained a new dictionary for compression."""
    problem: str = ""
    """Why it is incomplete; empty if it is complete."""


def measure_tiers(store: TierStore) -> dict[str, TierMetrics]:
    """Return the metrics of each tier below the cache, by name."""
    tally = store.lists.tally()
    found = {}
    for tier, access, queue in store.accesses():
        found[access.name] = TierMetrics(
            name=access.name,
            records=None if tally is None else sum(count for (place, _), count in tally.items() if place == tier),
            hits=access.hits,
            misses=access.misses,
            writes=access.writes,
            waiting=len(queue) if queue is not None else 0,
            lost=queue.lost if queue is not None else 0,
            failures=access.failures,
            away=access.away,
        )
    return found


def measure_compression(store: TierStore) -> CompressionStatistics:
    """Return the counters of the intermediate tier's compression; zeros without compression."""
    backend = store.working[1].backend
    return backend.compressor.statistics() if isinstance(backend, CompressedBackend) else CompressionStatistics()
