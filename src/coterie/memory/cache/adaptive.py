"""The cache: shards and their counters."""

from __future__ import annotations

from dataclasses import dataclass

from coterie.memory.cache.segments import CacheEntry
from coterie.memory.cache.shard import Shard

_SHARD = 2_048
"""The minimum capacity of a shard if there is more than one: a smaller shard estimates frequencies worse."""
_MAX_SHARDS = 8


@dataclass(frozen=True, slots=True)
class CacheStatistics:
    """Counters of a cache."""

    entries: int
    capacity: int
    hits: int
    misses: int
    evictions: int
    window: int
    """The size of the window for new entries, over all shards."""

    @property
    def hit_ratio(self) -> float:
        """The part of requests that were hits, from 0 to 1."""
        asked = self.hits + self.misses
        return self.hits / asked if asked else 0.0


class AdaptiveCache:
    """Holds up to `capacity` entries, chosen by how recently and how often they were requested.

    It adapts: it resists scans and loops, and becomes an LRU where only recency matters. Safe from many threads; a hit takes no
    lock.
    """

    def __init__(self, capacity: int, shards: int | None = None) -> None:
        count = max(1, min(_MAX_SHARDS, capacity // _SHARD)) if shards is None else shards
        count = 1 << (count.bit_length() - 1)
        self.capacity = capacity
        self._mask = count - 1
        share, more = divmod(capacity, count)
        self._shards = [Shard(share + (number < more)) for number in range(count)]
        if count == 1:
            # For a small cache: one call less for each hit.
            self.get = self._shards[0].get  # type: ignore[method-assign]

    def __len__(self) -> int:
        return sum(len(shard.entries) for shard in self._shards)

    def get(self, key: str) -> CacheEntry | None:
        """Return the entry of that key and count a hit, or return None and count a miss."""
        return self._shards[hash(key) & self._mask].get(key)

    def peek(self, key: str) -> CacheEntry | None:
        """Return the entry of that key or None, without counting."""
        return self._shards[hash(key) & self._mask].entries.get(key)

    def put(self, entry: CacheEntry) -> list[CacheEntry]:
        """Add an entry, in place of one with its key. Return the evicted entries; the new one may be among them."""
        return self._shards[hash(entry.key) & self._mask].put(entry)

    def discard(self, key: str) -> CacheEntry | None:
        """Remove an entry and return it, or None if it does not exist."""
        return self._shards[hash(key) & self._mask].discard(key)

    def apply_hits(self) -> None:
        """Apply the recorded hits to the counters and the order of eviction."""
        for shard in self._shards:
            shard.apply_hits()

    def take_uses(self) -> list[tuple[str, int, float]]:
        """Return (key, uses, time of the last) of all entries used since the last call, and reset the counters."""
        return [use for shard in self._shards for use in shard.take_uses()]

    def statistics(self) -> CacheStatistics:
        """Return the counters."""
        self.apply_hits()
        return CacheStatistics(
            entries=len(self),
            capacity=self.capacity,
            hits=sum(shard.hits for shard in self._shards),
            misses=sum(shard.misses for shard in self._shards),
            evictions=sum(shard.evictions for shard in self._shards),
            window=sum(shard.window for shard in self._shards),
        )
