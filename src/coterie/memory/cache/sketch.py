"""An approximate counter of recent requests in little memory."""

from __future__ import annotations

_MAX = 15
"""The maximum of a counter. More would not improve the choice of an entry to evict."""
_HALVED = bytes(value // 2 for value in range(256))
_SPREAD = 0x9E3779B97F4A7C15
"""An odd number that spreads a hash over its upper bits (Knuth's multiplicative hashing)."""


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
        second = self._width + ((number * _SPREAD >> 32) & self._mask)
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
        other = self._table[self._width + ((number * _SPREAD >> 32) & self._mask)]
        return min(other, one)
