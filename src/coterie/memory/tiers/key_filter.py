"""Which keys cannot be known, without looking."""

from __future__ import annotations

_BITS_FIRST = 1 << 20
_BITS_EACH = 10
"""Bits for each key: of keys that were never added, about one in fifty seems to have been."""
_SPREAD = 0x9E3779B97F4A7C15


class KeyFilter:
    """Says of a key that it was never added, or that it may have been (Bloom, "Space/time trade-offs in hash coding with
    allowable errors", 1970). It grows by another filter of twice the size whenever the last is full.

    Read by many threads at once; whoever adds holds a lock.
    """  # noqa: D205 - the source belongs to the first sentence

    def __init__(self) -> None:
        self._layers = [bytearray(_BITS_FIRST // 8)]
        self._left = _BITS_FIRST // _BITS_EACH

    def add(self, key: str) -> None:
        """Note a key that was not added before, as far as it knows."""
        if not self._left:
            layer = bytearray(len(self._layers[-1]) * 2)
            self._left = len(layer) * 8 // _BITS_EACH
            self._layers = [*self._layers, layer]
        self._left -= 1
        newest = self._layers[-1]
        number = hash(key)
        mask = len(newest) * 8 - 1
        for place in (number & mask, number * _SPREAD >> 20 & mask, number >> 24 & mask):
            newest[place >> 3] |= 1 << (place & 7)

    def __contains__(self, key: str) -> bool:
        number = hash(key)
        other = number * _SPREAD >> 20
        third = number >> 24
        for layer in self._layers:
            mask = len(layer) * 8 - 1
            place = number & mask
            # Most that were never added end here.
            if not layer[place >> 3] & 1 << (place & 7):
                continue
            place = other & mask
            if not layer[place >> 3] & 1 << (place & 7):
                continue
            place = third & mask
            if layer[place >> 3] & 1 << (place & 7):
                return True
        return False
