"""The cache: shards, each safe from many threads, their counters, and a simulation of caches with other windows."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from coterie.concurrency import Rank, new_lock
from coterie.memory.cache_segments import CacheEntry, FrequencySketch, Segments

WINDOWS = (0.01, 0.2, 0.6, 1.0)
"""The simulated windows, from one for frequency alone to an LRU."""
_SMALLEST = 40
"""The minimum capacity of a simulated cache; a smaller one is not representative."""
_MAX_PART = 64
_PERIOD = 4
"""Compare the windows after this number of requests times the capacity."""
_MEMORY = 0.5
"""The weight of the hits of earlier periods."""
_BETTER = 1.03
"""The factor by which a window must be better than the current one to replace it."""
_SAMPLED_BITS = 56


class MiniSimulation:
    """Small simulated caches, one for each window, that see the same sample of the keys.

    After Waldspurger, Saemundsson, Ahmad and Park, "Cache modeling and optimization using miniature simulations", 2017.
    Climbing to the best window by changing the cache itself takes many periods, and each costs hits; here all windows are
    compared after one period. One key of up to 64 is sampled, and a sampled key costs as much as a few hits. Not safe from many
    threads; its shard guards it.
    """

    __slots__ = ("_best", "_left", "_miniatures", "_period", "_scores", "mask")

    def __init__(self, capacity: int, sketch: FrequencySketch) -> None:
        part = min(_MAX_PART, max(1, capacity // _SMALLEST))
        part = 1 << (part.bit_length() - 1)
        self.mask = part - 1
        """A key is in the sample if its hash has none of these bits, above the lowest `_SAMPLED_BITS`."""
        self._miniatures = [Segments(max(1, capacity // part), window, sketch) for window in WINDOWS]
        self._scores = [0.0] * len(WINDOWS)
        self._period = max(1, capacity * _PERIOD // part)
        self._left = self._period
        self._best = 0

    def see(self, key: str, number: int) -> float | None:
        """Record a requested key of the sample. Return the new window if it changes, else None."""
        for place, miniature in enumerate(self._miniatures):
            entry = miniature.entries.get(key)
            if entry is None:
                miniature.add(CacheEntry(key, number=number))
            else:
                miniature.use(entry)
                self._scores[place] += 1.0
        self._left -= 1
        if self._left:
            return None
        self._left = self._period
        best = max(range(len(WINDOWS)), key=self._scores.__getitem__)
        changed = self._scores[best] > self._scores[self._best] * _BETTER + 1.0
        if changed:
            self._best = best
        self._scores = [score * _MEMORY for score in self._scores]
        return WINDOWS[self._best] if changed else None


_BUFFER = 64
"""The number of hits that are recorded before they are applied."""


class Shard:
    """A part of the cache. Safe from many threads.

    A hit takes no lock: it is appended to `_hits`, which is safe from many threads, and applied later by the first thread that
    finds enough hits there and the lock free. `_lock` guards everything else.
    """

    def __init__(self, capacity: int) -> None:
        self.hits = 0
        self.misses = 0
        self.evictions = 0
        self._lock = new_lock(Rank.CACHE)
        self._hits: deque[CacheEntry] = deque()
        self._sketch = FrequencySketch(capacity)
        self._segments = Segments(capacity, WINDOWS[0], self._sketch)
        self._simulation = MiniSimulation(capacity, self._sketch)
        self.entries = self._segments.entries

    @property
    def window(self) -> int:
        """The current size of the window, in entries."""
        return self._segments.window_size

    def get(self, key: str) -> CacheEntry | None:
        """Return the entry of that key and count a hit, or return None and count a miss."""
        entry = self.entries.get(key)
        if entry is not None:
            hits = self._hits
            hits.append(entry)
            if len(hits) >= _BUFFER and self._lock.acquire(blocking=False):
                try:
                    self._put_in_order()
                finally:
                    self._lock.release()
            return entry
        with self._lock:
            self.misses += 1
        return None

    def put(self, entry: CacheEntry) -> list[CacheEntry]:
        """Add an entry, in place of one with its key. Return the evicted entries; the new one may be among them."""
        with self._lock:
            if self._hits:
                self._put_in_order()
            self._count(entry)
            there = self.entries.get(entry.key)
            if there is not None:
                entry.uses += there.uses
                entry.last = max(entry.last, there.last)
                self._segments.replace(there, entry)
                self._segments.use(entry)
                return []
            left = self._segments.add(entry)
            self.evictions += len(left)
            return left

    def discard(self, key: str) -> CacheEntry | None:
        """Remove an entry and return it, or None if it does not exist."""
        with self._lock:
            self._put_in_order()
            entry = self.entries.get(key)
            if entry is not None:
                self._segments.remove(entry)
            return entry

    def apply_hits(self) -> None:
        """Apply the recorded hits."""
        with self._lock:
            self._put_in_order()

    def take_uses(self) -> list[tuple[str, int, float]]:
        """Return (key, uses, last use) of all entries used since the last call, and reset the counters."""
        with self._lock:
            self._put_in_order()
            taken = [(entry.key, entry.uses, entry.last) for entry in self.entries.values() if entry.uses]
            for entry in self.entries.values():
                entry.uses = 0
            return taken

    def _put_in_order(self) -> None:
        hits = self._hits
        for _ in range(len(hits)):
            entry = hits.popleft()
            self.hits += 1
            entry.uses += 1
            self._count(entry)
            self._segments.use(entry)

    def _count(self, entry: CacheEntry) -> None:
        number = entry.number
        self._sketch.add(number)
        simulation = self._simulation
        if not number >> _SAMPLED_BITS & simulation.mask:
            window = simulation.see(entry.key, number)
            if window is not None:
                self._segments.resize(window)


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
        return self._shards[entry.number & self._mask].put(entry)

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
