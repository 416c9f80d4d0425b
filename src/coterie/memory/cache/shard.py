"""One shard of the cache, safe from many threads."""

from __future__ import annotations

from collections import deque

from coterie.concurrency import Rank, new_lock
from coterie.memory.cache.rehearsal import WINDOWS, MiniSimulation
from coterie.memory.cache.segments import CacheEntry, Segments
from coterie.memory.cache.sketch import FrequencySketch

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
        self._sketch.add(entry.number)
        window = self._simulation.see(entry.key, entry.number)
        if window is not None:
            self._segments.resize(window)
