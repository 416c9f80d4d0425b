"""The cache as a whole: shards, and their counts."""

from __future__ import annotations

from dataclasses import dataclass

from coterie.memory.cache.segments import CacheEntry
from coterie.memory.cache.shard import Shard

_SHARD = 2_048
"""Places that a shard has at least, if there is more than one: the fewer it has, the worse it knows what is worth keeping."""
_MOST_SHARDS = 8


@dataclass(frozen=True, slots=True)
class CacheStatistics:
    """What a cache has done so far."""

    entries: int
    capacity: int
    hits: int
    misses: int
    evictions: int
    window: int
    """Places for what is new, over all shards."""

    @property
    def hit_ratio(self) -> float:
        """The part of what was asked for that was there, from 0 to 1."""
        asked = self.hits + self.misses
        return self.hits / asked if asked else 0.0


class AdaptiveCache:
    """Holds up to `capacity` entries, and chooses which by how lately and how often they were asked for.

    It adapts: on a scan or a loop it keeps what it has, and where only what is new counts it is an LRU. Safe from many
    threads, and a hit takes no lock.
    """

    def __init__(self, capacity: int, shards: int | None = None) -> None:
        count = max(1, min(_MOST_SHARDS, capacity // _SHARD)) if shards is None else shards
        count = 1 << (count.bit_length() - 1)
        self.capacity = capacity
        self._mask = count - 1
        share, more = divmod(capacity, count)
        self._shards = [Shard(share + (number < more)) for number in range(count)]
        if count == 1:
            # Nearly every small cache: one call less for each hit.
            self.get = self._shards[0].get  # type: ignore[method-assign]

    def __len__(self) -> int:
        return sum(len(shard.entries) for shard in self._shards)

    def get(self, key: str) -> CacheEntry | None:
        """Return the entry of that key and count a hit, or return None and count a miss."""
        return self._shards[hash(key) & self._mask].get(key)

    def peek(self, key: str) -> CacheEntry | None:
        """Return the entry of that key, or None, and count nothing."""
        return self._shards[hash(key) & self._mask].entries.get(key)

    def put(self, entry: CacheEntry) -> list[CacheEntry]:
        """Take an entry in, in place of one of its key. Return what had to leave; that may be the entry itself."""
        return self._shards[hash(entry.key) & self._mask].put(entry)

    def discard(self, key: str) -> CacheEntry | None:
        """Take out an entry and return it, or None if there is none."""
        return self._shards[hash(key) & self._mask].discard(key)

    def settle(self) -> None:
        """Have the uses of all entries counted up to now."""
        for shard in self._shards:
            shard.settle()

    def take_uses(self) -> list[tuple[str, int, float]]:
        """Return (key, uses, time of the last) of all that was used since the last time, and count anew."""
        return [use for shard in self._shards for use in shard.take_uses()]

    def statistics(self) -> CacheStatistics:
        """Return what it has done so far."""
        self.settle()
        return CacheStatistics(
            entries=len(self),
            capacity=self.capacity,
            hits=sum(shard.hits for shard in self._shards),
            misses=sum(shard.misses for shard in self._shards),
            evictions=sum(shard.evictions for shard in self._shards),
            window=sum(shard.window for shard in self._shards),
        )
