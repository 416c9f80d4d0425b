"""The order of eviction of a cache: W-TinyLFU with a window of any size, and its sketch of frequencies."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

_MAX = 15
"""The maximum of a counter. More would not improve the choice of an entry to evict."""
_HALVED = bytes(value // 2 for value in range(256))
_OTHER_BITS = 31
"""The second row of the sketch takes its place from the bits of a hash above these, the first from the lowest."""


class FrequencySketch:
    """Counts how often each hash was seen, and halves all counts after ten times the capacity.

    A count-min sketch of two rows (Cormode and Muthukrishnan, 2005) as in TinyLFU (Einziger, Friedman and Manes, "TinyLFU: A
    highly efficient cache admission policy", 2017). It never underestimates, apart from halving and the maximum. Not safe from
    many threads; its shard guards it.
    """

    __slots__ = ("_left", "_mask", "_period", "_table", "_width")

    def __init__(self, capacity: int) -> None:
        self._width = 1 << max(6, (capacity * 8 - 1).bit_length())
        self._mask = self._width - 1
        self._table = bytearray(self._width * 2)
        self._period = max(capacity * 10, 100)
        self._left = self._period

    def add(self, number: int) -> None:
        """Count a hash."""
        table = self._table
        first = number & self._mask
        second = self._width + (number >> _OTHER_BITS & self._mask)
        one = table[first]
        other = table[second]
        # Only the smaller counter is the estimate; raising the other would make estimates of hashes that share it worse.
        if one <= other and one < _MAX:
            table[first] = one + 1
        if other <= one and other < _MAX:
            table[second] = other + 1
        self._left -= 1
        if not self._left:
            self._table = table.translate(_HALVED)
            self._left = self._period

    def estimate(self, number: int) -> int:
        """Return how often a hash was counted recently, from 0 to 15; never too few."""
        one = self._table[number & self._mask]
        other = self._table[self._width + (number >> _OTHER_BITS & self._mask)]
        return min(other, one)


_FOR_EVER = float("inf")
_PROTECTED = 0.8
"""The part of the main segment reserved for entries that were requested again."""


class CacheEntry:
    """An entry of the cache.

    `record`, `held`, `until` and `last` belong to the owner of the cache. `uses` counts the hits that were applied so far.
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


def entry_of(record: Any, now: float, uses: int, trusted_for: float | None) -> CacheEntry:
    """Return an entry for a record, which is valid until the record expires, and for `trusted_for` seconds at most."""
    entry = CacheEntry(record.key, record)
    if uses:
        entry.uses = uses
        entry.last = now
    if trusted_for is not None:
        entry.until = now + trusted_for
    if record.expires is not None:
        entry.until = min(entry.until, record.expires)
    return entry


class Segments:
    """A window for new entries, and a main part that admits an entry only over a less requested one.

    After Einziger, Friedman and Manes, "TinyLFU: A highly efficient cache admission policy", 2017. With a window of 1% it keeps
    frequently requested entries; with a window of 100% it is an LRU. The owner updates the sketch. Not safe from many threads;
    its shard guards it.
    """

    __slots__ = ("_probation", "_protected", "_protected_size", "_sketch", "_window", "capacity", "entries", "window_size")

    def __init__(self, capacity: int, window: float, sketch: FrequencySketch) -> None:
        self.capacity = capacity
        self.entries: dict[str, CacheEntry] = {}
        self._sketch = sketch
        self._window: OrderedDict[str, CacheEntry] = OrderedDict()
        self._probation: OrderedDict[str, CacheEntry] = OrderedDict()
        self._protected: OrderedDict[str, CacheEntry] = OrderedDict()
        self.window_size = capacity
        self._protected_size = 0
        self.resize(window)

    def use(self, entry: CacheEntry) -> None:
        """Move a requested entry to its new place; do nothing if it was evicted."""
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
        """Add an entry with a new key. Return the evicted entries; the new one may be among them."""
        window = self._window
        window[entry.key] = entry
        self.entries[entry.key] = entry
        entry.segment = window
        while len(window) > self.window_size:
            self._move_first(window, self._probation)
        left = []
        while len(self.entries) > self.capacity:
            left.append(self._evict())
        return left

    def replace(self, there: CacheEntry, entry: CacheEntry) -> None:
        """Replace an entry by another with its key."""
        segment = there.segment
        assert segment is not None
        entry.segment = segment
        segment[entry.key] = entry
        self.entries[entry.key] = entry
        there.segment = None

    def remove(self, entry: CacheEntry) -> None:
        """Remove an entry."""
        if entry.segment is not None:
            del entry.segment[entry.key]
            del self.entries[entry.key]
            entry.segment = None

    def resize(self, window: float) -> None:
        """Set the window to a part of the capacity, from 0 to 1, and at least one place. No entry is evicted."""
        self.window_size = max(1, round(self.capacity * window))
        self._protected_size = int((self.capacity - self.window_size) * _PROTECTED)
        self._relegate()
        while len(self._window) > self.window_size:
            self._move_first(self._window, self._probation)
        while len(self._window) < self.window_size and self._probation:
            key, entry = self._probation.popitem()
            # Entries of the main part were requested less recently than those in the window.
            self._window[key] = entry
            self._window.move_to_end(key, last=False)
            entry.segment = self._window

    def _relegate(self) -> None:
        while len(self._protected) > self._protected_size:
            self._move_first(self._protected, self._probation)

    def _evict(self) -> CacheEntry:
        """Compare the oldest and the newest of the probation segment, and remove the less requested one."""
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
