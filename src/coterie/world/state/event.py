"""Events, the entries of a world's log, and folds, which apply events to a view."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from typing import Any

import immutables
import msgspec

from coterie.world.state.values import freeze
from coterie.world.state.view import View


class EventKind(enum.StrEnum):
    """The kinds of events that the world itself makes. Users may give other kinds, of any name."""

    BEGAN = "began"
    """The first event of a world, with its initial state."""
    GRANTED = "granted"
    """An intent was granted in full."""
    PARTIAL = "cut"
    """An intent was granted in part; see the reason."""
    REFUSED = "refused"
    """An intent was refused; see the reason."""
    CHANGED = "changed"
    """The world was changed from outside."""
    EXPIRED = "expired"
    """Keys expired."""


class Event(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One entry of the log. Immutable; do not change its mappings either.

    A world is the fold of its events: `changes` are set, `removed` keys are removed; other fields do not affect the state.
    """

    sequence: int
    """The position in the log, from 1, without gaps."""
    kind: str
    """One of `EventKind`, or a kind of the user."""
    agent: str = ""
    """The agent of the intent; empty without an intent."""
    action: str = ""
    """The action of the intent."""
    reason: str = ""
    """The reason of a partial or refused intent."""
    changes: Mapping[str, Any] = {}
    """The new values of changed keys."""
    removed: tuple[str, ...] = ()
    """Removed keys."""
    expires: Mapping[str, float] = {}
    """Times at which set keys expire, in seconds of the world's time."""
    details: Mapping[str, Any] = {}
    """Further data, such as requested and granted amounts."""
    round: int = 0
    """The round of the intent; 0 outside of rounds."""
    stage: int = 0
    """The position of the stage in the graph; 0 outside of rounds."""
    time: float = 0.0
    """The world's time, in seconds."""


EMPTY = View(immutables.Map())
"""The world before its first event."""


class Fold:
    """A mutable view to which events are applied. Used by one thread.

    `touched` is the set of written keys; `apply` adds only removed ones.
    """

    __slots__ = ("_before", "_deadlines", "_keys", "_removed", "_timed", "sequence", "time", "touched")

    def __init__(self, view: View) -> None:
        self._before = view
        self._removed = False
        self._keys = view.keys_map.mutate()
        self._deadlines = view.deadlines_map.mutate()
        self._timed = len(view.deadlines_map) > 0
        self.sequence = view.sequence
        self.time = view.time
        self.touched: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        """Return the current value of a key."""
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
        self._removed = True
        self._keys.pop(key, None)
        self.touched.add(key)
        if self._timed:
            self._deadlines.pop(key, None)

    def expire_at(self, key: str, when: float) -> None:
        """Set the time at which a key, which was just set, expires."""
        self._deadlines[key] = when
        self._timed = True

    def apply(self, event: Event, *, frozen: bool = False) -> None:
        """Apply an event. With `frozen`, its values are known to be frozen."""
        if frozen:
            self._keys.update(event.changes)
        else:
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
        """Return the result as a view."""
        keys, before = self._keys.finish(), self._before
        # Without a removal, as many keys are the same keys.
        same = not self._removed and len(keys) == len(before)
        return View(keys, self._deadlines.finish(), self.sequence, self.time, before.order if same else None)


def fold(view: View, events: Iterable[Event]) -> View:
    """Return `view` with `events` applied."""
    making = Fold(view)
    for event in events:
        making.apply(event)
    return making.view()


def start(keys: Mapping[str, Any], deadlines: Mapping[str, float], sequence: int, time: float) -> View:
    """Return the view of a snapshot."""
    frozen = {key: freeze(value, key) for key, value in keys.items()}
    return View(immutables.Map(frozen), immutables.Map(deadlines), sequence, time)
