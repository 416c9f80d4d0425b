"""One shard of the cache: what threads see of it."""

from __future__ import annotations

from collections import deque

from coterie.concurrency import Rank, new_lock
from coterie.memory.cache.rehearsal import WINDOWS, MiniSimulation
from coterie.memory.cache.segments import CacheEntry, Segments
from coterie.memory.cache.sketch import FrequencySketch

_BUFFER = 64
"""Hits that are noted before they are put in order."""


class Shard:
    """A part of the cache. Safe from many threads.

    A hit takes no lock: it is noted in `_hits`, which many can add to at once, and put in order later, by the first
    thread that finds enough of them there and the lock free. `_lock` guards all else.
    """

    def __init__(self, capacity: int) -> None:
        self.hits = 0
        self.misses = 0
        self.evictions = 0
        self._lock = new_lock(Rank.CACHE)
        self._hits: deque[CacheEntry] = deque()
        self._sketch = FrequencySketch(capacity)
        self._segments = Segments(capacity, WINDOWS[0], self._sketch)
        self._rehearsal = MiniSimulation(capacity, self._sketch)
        self.entries = self._segments.entries

    @property
    def window(self) -> int:
        """How many of its places are the window now."""
        return self._segments.window_most

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
        """Take an entry in, in place of one of its key. Return what had to leave; that may be the entry itself."""
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
        """Take out an entry and return it, or None if there is none."""
        with self._lock:
            self._put_in_order()
            entry = self.entries.get(key)
            if entry is not None:
                self._segments.remove(entry)
            return entry

    def settle(self) -> None:
        """Put the hits so far in order."""
        with self._lock:
            self._put_in_order()

    def take_uses(self) -> list[tuple[str, int, float]]:
        """Return (key, uses, last use) of all that was used since the last time, and count anew."""
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
        window = self._rehearsal.see(entry.key, entry.number)
        if window is not None:
            self._segments.resize(window)
