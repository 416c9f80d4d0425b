"""Versions and ids of memories, and a filter of keys that cannot exist."""

from __future__ import annotations

import secrets

_MICRO = 1_000_000


class VersionGenerator:
    """Returns versions, each greater than all before. Callers hold the lock of the store."""

    def __init__(self, newest: int, *, shared: bool) -> None:
        """Start after `newest`.

        If several processes create ids, a random suffix makes theirs differ; a single process creates the same ids in every
        run.
        """
        self._version = newest
        self._mark = f"-{secrets.token_hex(4)}" if shared else ""

    def next(self, now: float) -> int:
        """Return the time in microseconds, or the last version plus one if that is greater."""
        version = int(now * _MICRO)
        if version <= self._version:
            version = self._version + 1
        self._version = version
        return version

    def id_of(self, version: int) -> str:
        """Return the id of the memory with this first version."""
        return f"{version:x}{self._mark}"


_BITS_FIRST = 1 << 20
_BITS_EACH = 10
"""Bits for each key; about one in thirty unknown keys is a false positive."""
_OTHER_BITS = 31
"""The second place of a key is taken from the bits of its hash above these."""


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
        other = number >> _OTHER_BITS
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
        other = number >> _OTHER_BITS
        for layer in self._layers:
            mask = len(layer) * 8 - 1
            place = number & mask
            if layer[place >> 3] & 1 << (place & 7):
                place = other & mask
                if layer[place >> 3] & 1 << (place & 7):
                    return True
        return False
