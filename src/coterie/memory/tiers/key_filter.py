"""A filter of keys that cannot exist, without reading any tier."""

from __future__ import annotations

_BITS_FIRST = 1 << 20
_BITS_EACH = 10
"""Bits for each key; about one in thirty unknown keys is a false positive."""
_SPREAD = 0x9E3779B97F4A7C15


class KeyFilter:
    """A Bloom filter of keys that grows.

    After Bloom, "Space/time trade-offs in hash coding with allowable errors", 1970. When the last layer is full it adds another
    of twice the size. Many threads may read it at once; writers hold a lock.
    """

    def __init__(self) -> None:
        self._layers = [bytearray(_BITS_FIRST // 8)]
        self._left = _BITS_FIRST // _BITS_EACH

    def note(self, key: str) -> bool:
        """Add a key, and return whether it was certainly absent before."""
        number = hash(key)
        other = number * _SPREAD >> 20
        for layer in self._layers:
            mask = len(layer) * 8 - 1
            place = number & mask
            # Most absent keys end here.
            if layer[place >> 3] & 1 << (place & 7):
                place = other & mask
                if layer[place >> 3] & 1 << (place & 7):
                    return False
        if not self._left:
            layer = bytearray(len(layer) * 2)
            mask = len(layer) * 8 - 1
            self._left = len(layer) * 8 // _BITS_EACH
            self._layers = [*self._layers, layer]
        self._left -= 1
        place = number & mask
        layer[place >> 3] |= 1 << (place & 7)
        place = other & mask
        layer[place >> 3] |= 1 << (place & 7)
        return True

    def __contains__(self, key: str) -> bool:
        number = hash(key)
        other = number * _SPREAD >> 20
        for layer in self._layers:
            mask = len(layer) * 8 - 1
            place = number & mask
            if layer[place >> 3] & 1 << (place & 7):
                place = other & mask
                if layer[place >> 3] & 1 << (place & 7):
                    return True
        return False
