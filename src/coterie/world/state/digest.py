"""The digest of a world, kept up with its changes."""

from __future__ import annotations

from typing import Any

from coterie.world.state.values import fingerprint
from coterie.world.state.view import View, seal

MISSING: Any = object()
"""What a key was that was not there."""

_MOST = 10_000
"""Changes that wait to be counted, or twice as many as there are keys, if those are more."""


class Digest:
    """The sum of the fingerprints of all entries; what has changed since it was last asked for waits to be counted.

    So a change costs nearly nothing, and asking costs as much as there were keys changed in between, however large the
    world and however often each changed. Not safe from several threads: the world guards it.
    """

    def __init__(self, total: int = 0) -> None:
        self._total = total
        self._before: dict[str, tuple[Any, float | None]] = {}

    @classmethod
    def of(cls, view: View) -> Digest:
        """Return the digest of a view, counted whole."""
        deadline = view.deadlines_map.get
        return cls(sum(fingerprint(key, value, deadline(key)) for key, value in view.keys_map.items()))

    def lighten(self, view: View) -> None:
        """Count what waits, if that is much: keys that come and go would add up for ever if nobody asked."""
        if len(self._before) > max(_MOST, 2 * len(view)):
            self.total(view)

    @property
    def waiting(self) -> int:
        """How many changes wait to be counted."""
        return len(self._before)

    def touch(self, key: str, before: View) -> None:
        """Note that a key has changed, and what it was before."""
        if key not in self._before:
            self._before[key] = (before.keys_map.get(key, MISSING), before.deadlines_map.get(key))

    def total(self, view: View) -> int:
        """Return the sum for `view`, which is what all that was noted has led to."""
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
