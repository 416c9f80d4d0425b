"""Adaptation of a cache's window by simulating several sizes on a sample of the requests."""

from __future__ import annotations

from coterie.memory.cache.segments import CacheEntry, FrequencySketch, Segments

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
_SPREAD = 0xD6E8FEB86659FD93


class MiniSimulation:
    """Small simulated caches, one for each window, that see the same sample of the keys.

    After Waldspurger, Saemundsson, Ahmad and Park, "Cache modeling and optimization using miniature simulations", 2017.
    Climbing to the best window by changing the cache itself takes many periods, and each costs hits; here all windows are
    compared after one period. One key of up to 64 is sampled, and a sampled key costs as much as a few hits. Not safe from many
    threads; its shard guards it.
    """

    __slots__ = ("_best", "_left", "_mask", "_miniatures", "_period", "_scores")

    def __init__(self, capacity: int, sketch: FrequencySketch) -> None:
        part = min(_MAX_PART, max(1, capacity // _SMALLEST))
        part = 1 << (part.bit_length() - 1)
        self._mask = part - 1
        self._miniatures = [Segments(max(1, capacity // part), window, sketch) for window in WINDOWS]
        self._scores = [0.0] * len(WINDOWS)
        self._period = max(1, capacity * _PERIOD // part)
        self._left = self._period
        self._best = 0

    def see(self, key: str, number: int) -> float | None:
        """Record a requested key. Return the new window if it changes, else None."""
        if (number * _SPREAD >> 32) & self._mask:
            return None
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
