"""The digest of a world, updated incrementally."""

from __future__ import annotations

from typing import Any

from coterie.world.state.values import fingerprint
from coterie.world.state.view import View, seal

MISSING: Any = object()
"""The value of a missing key."""

_MOST = 10_000
"""Pending changes are counted above this number, or above twice the number of keys if that is more."""


class Digest:
    """The sum of the fingerprints of all entries; changes are counted when the sum is read.

    So a change is cheap, and reading takes time in proportion to the keys changed since the last read, independent of the
    size of the world. Not safe from several threads: the world guards it.
    """

    def __init__(self, total: int = 0) -> None:
        self._total = total
        self._before: dict[str, tuple[Any, float | None]] = {}

    @classmethod
    def of(cls, view: View) -> Digest:
        """Return the digest of a view, computed from all its entries."""
        deadline = view.deadlines_map.get
        return cls(sum(fingerprint(key, value, deadline(key)) for key, value in view.keys_map.items()))

    def lighten(self, view: View) -> None:
        """Count pending changes if there are many, so that they stay bounded without reads."""
        if len(self._before) > max(_MOST, 2 * len(view)):
            self.total(view)

    @property
    def waiting(self) -> int:
        """The number of pending changes."""
        return len(self._before)

    def touch(self, key: str, before: View) -> None:
        """Record that a key has changed since `before`."""
        if key not in self._before:
            self._before[key] = (before.keys_map.get(key, MISSING), before.deadlines_map.get(key))

    def total(self, view: View) -> int:
        """Return the sum for `view`, the state after all recorded changes."""
        if self._before:
            total = self._total
            keys, deadlines = view.keys_map, view.deadlines_map
            for key, (value, deadline) in self._before.items():
                now = keys.get(key, MISSING)
                later = deadlines.get(key)
                if now is value and deadline == later:
                    continue
                if value is not MISSING:
                    total -= fingerprint(key, value, deadline)
                if now is not MISSING:
                    total += fingerprint(key, now, later)
            self._total = total % (1 << 256)
            self._before.clear()
        return self._total

    def text(self, view: View) -> str:
        """Return the digest of `view`."""
        return seal(self.total(view), len(view))
