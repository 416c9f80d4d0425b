"""From one moment of a world to a later one, event by event."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import immutables

from coterie.world.state.event import Event
from coterie.world.state.values import freeze
from coterie.world.state.view import View

EMPTY = View(immutables.Map())
"""The world before its first event."""


class Fold:
    """A moment that is being made out of another and what happened since. Used by one thread.

    `touched` is which keys were written, if it was asked for.
    """

    __slots__ = ("_deadlines", "_keys", "_timed", "sequence", "time", "touched")

    def __init__(self, view: View) -> None:
        self._keys = view.keys_map.mutate()
        self._deadlines = view.deadlines_map.mutate()
        self._timed = len(view.deadlines_map) > 0
        self.sequence = view.sequence
        self.time = view.time
        self.touched: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        """Return what a key is by now."""
        return self._keys.get(key, default)

    def __contains__(self, key: str) -> bool:
        return key in self._keys

    def set(self, key: str, value: Any) -> None:
        """Set a key to a frozen value that does not expire."""
        self._keys[key] = value
        self.touched.add(key)
        if self._timed:
            self._deadlines.pop(key, None)

    def remove(self, key: str) -> None:
        """Remove a key, if it is there."""
        self._keys.pop(key, None)
        self.touched.add(key)
        if self._timed:
            self._deadlines.pop(key, None)

    def expire_at(self, key: str, when: float) -> None:
        """Have a key, which was just set, expire."""
        self._deadlines[key] = when
        self._timed = True

    def apply(self, event: Event) -> None:
        """Let an event of the log happen."""
        for key, value in event.changes.items():
            self._keys[key] = freeze(value, key)
        if self._timed:
            for key in event.changes:
                self._deadlines.pop(key, None)
        for key in event.removed:
            self.remove(key)
        for key, when in event.expires.items():
            self.expire_at(key, when)
        self.sequence = event.sequence
        self.time = event.time

    def view(self) -> View:
        """Return the moment that this has come to."""
        return View(self._keys.finish(), self._deadlines.finish(), self.sequence, self.time)


def fold(view: View, events: Iterable[Event]) -> View:
    """Return what `view` has become after `events`."""
    making = Fold(view)
    for event in events:
        making.apply(event)
    return making.view()


def start(keys: Mapping[str, Any], deadlines: Mapping[str, float], sequence: int, time: float) -> View:
    """Return a view of what a snapshot holds."""
    frozen = {key: freeze(value, key) for key, value in keys.items()}
    return View(immutables.Map(frozen), immutables.Map(deadlines), sequence, time)
