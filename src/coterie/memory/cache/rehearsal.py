"""Finding the best window for a cache by trying several at once, each on a small part of what is asked for."""

from __future__ import annotations

from coterie.memory.cache.segments import CacheEntry, Segments
from coterie.memory.cache.sketch import FrequencySketch

WINDOWS = (0.01, 0.2, 0.6, 1.0)
"""The windows that are tried: from one for frequency alone to an LRU."""
_SMALLEST = 40
"""Places of a miniature, at least; fewer know too little."""
_MOST_PART = 64
_PERIOD = 4
"""The windows are compared each time so many times the capacity was asked for."""
_MEMORY = 0.5
"""What the hits of earlier periods count, each time."""
_BETTER = 1.03
"""By how much a window must do better than the present one before it takes its place."""
_SPREAD = 0xD6E8FEB86659FD93


class MiniSimulation:
    """Miniatures of a cache, one for each window, that see the same sample of the keys (Waldspurger, Saemundsson, Ahmad
    and Park, "Cache modeling and optimization using miniature simulations", 2017).

    To climb towards the better window by changing that of the cache itself takes many periods, and each costs hits; here
    all are known after one. A sampled key costs as much as a few hits; one key of up to 64 is sampled. Not safe from many
    threads; its shard guards it.
    """  # noqa: D205 - the source belongs to the first sentence

    __slots__ = ("_best", "_left", "_mask", "_miniatures", "_period", "_scores")

    def __init__(self, capacity: int, sketch: FrequencySketch) -> None:
        part = min(_MOST_PART, max(1, capacity // _SMALLEST))
        part = 1 << (part.bit_length() - 1)
        self._mask = part - 1
        self._miniatures = [Segments(max(1, capacity // part), window, sketch) for window in WINDOWS]
        self._scores = [0.0] * len(WINDOWS)
        self._period = max(1, capacity * _PERIOD // part)
        self._left = self._period
        self._best = 0

    def see(self, key: str, number: int) -> float | None:
        """Show a key that was asked for. Return the window to have from now on, if it is another one now."""
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
