"""The order in which entries leave a cache: W-TinyLFU, for a window of any size."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from coterie.memory.cache.sketch import FrequencySketch

_FOR_EVER = float("inf")
_PROTECTED = 0.8
"""The part of what is not the window that is kept for what was asked for again."""


class CacheEntry:
    """Something in the cache.

    `record`, `held` and `until` are its owner's, and so is `last`. `uses` counts the hits that were put in order so far.
    """

    __slots__ = ("held", "key", "last", "number", "record", "segment", "until", "uses")

    def __init__(self, key: str, record: Any = None, held: Any = None, number: int | None = None) -> None:
        self.key = key
        self.number = hash(key) if number is None else number
        self.record = record
        self.held = held
        self.last = 0.0
        self.until = _FOR_EVER
        self.uses = 0
        self.segment: OrderedDict[str, CacheEntry] | None = None


class Segments:
    """A window for what is new, and a main part that is entered only by what is asked for more often than what would have
    to leave it (Einziger, Friedman and Manes, "TinyLFU: A highly efficient cache admission policy", 2017).

    With a window of a hundredth it keeps what is asked for often; where all of it is the window it is an LRU. Who counts
    in the sketch is up to the owner. Not safe from many threads; its shard guards it.
    """  # noqa: D205 - the source belongs to the first sentence

    __slots__ = ("_probation", "_protected", "_protected_most", "_sketch", "_window", "capacity", "entries", "window_most")

    def __init__(self, capacity: int, window: float, sketch: FrequencySketch) -> None:
        self.capacity = capacity
        self.entries: dict[str, CacheEntry] = {}
        self._sketch = sketch
        self._window: OrderedDict[str, CacheEntry] = OrderedDict()
        self._probation: OrderedDict[str, CacheEntry] = OrderedDict()
        self._protected: OrderedDict[str, CacheEntry] = OrderedDict()
        self.window_most = capacity
        self._protected_most = 0
        self.resize(window)

    def use(self, entry: CacheEntry) -> None:
        """Put an entry that was asked for again where it belongs; nothing if it has left."""
        segment = entry.segment
        if segment is None:
            return
        if segment is not self._probation:
            segment.move_to_end(entry.key)
            return
        del segment[entry.key]
        self._protected[entry.key] = entry
        entry.segment = self._protected
        self._relegate()

    def add(self, entry: CacheEntry) -> list[CacheEntry]:
        """Take in an entry whose key is not there. Return what had to leave; that may be the entry itself."""
        window = self._window
        window[entry.key] = entry
        self.entries[entry.key] = entry
        entry.segment = window
        while len(window) > self.window_most:
            self._move_first(window, self._probation)
        left = []
        while len(self.entries) > self.capacity:
            left.append(self._evict())
        return left

    def replace(self, there: CacheEntry, entry: CacheEntry) -> None:
        """Put an entry in place of another of its key."""
        segment = there.segment
        assert segment is not None
        entry.segment = segment
        segment[entry.key] = entry
        self.entries[entry.key] = entry
        there.segment = None

    def remove(self, entry: CacheEntry) -> None:
        """Take an entry out."""
        if entry.segment is not None:
            del entry.segment[entry.key]
            del self.entries[entry.key]
            entry.segment = None

    def resize(self, window: float) -> None:
        """Make the window this part of the whole, from 0 to 1, and at least one place. Nothing has to leave."""
        self.window_most = max(1, round(self.capacity * window))
        self._protected_most = int((self.capacity - self.window_most) * _PROTECTED)
        self._relegate()
        while len(self._window) > self.window_most:
            self._move_first(self._window, self._probation)
        while len(self._window) < self.window_most and self._probation:
            key, entry = self._probation.popitem()
            # What was in the main part has been asked for less lately than what is in the window.
            self._window[key] = entry
            self._window.move_to_end(key, last=False)
            entry.segment = self._window

    def _relegate(self) -> None:
        while len(self._protected) > self._protected_most:
            self._move_first(self._protected, self._probation)

    def _evict(self) -> CacheEntry:
        """Let the oldest and the newest of the probation compete, and take out the one that was asked for less."""
        segment = self._probation or self._protected or self._window
        victim = next(iter(segment.values()))
        candidate = next(reversed(segment.values()))
        if self._sketch.estimate(candidate.number) <= self._sketch.estimate(victim.number):
            victim = candidate
        self.remove(victim)
        return victim

    @staticmethod
    def _move_first(source: OrderedDict[str, CacheEntry], target: OrderedDict[str, CacheEntry]) -> None:
        key, entry = source.popitem(last=False)
        target[key] = entry
        entry.segment = target
