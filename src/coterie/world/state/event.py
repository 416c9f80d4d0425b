"""Events, the entries of a world's log, and folds, which apply events to a view."""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import immutables
import msgspec

from coterie.errors import InvalidValue
from coterie.world.state.column import Column, ColumnDraft
from coterie.world.state.order import KeyOrder
from coterie.world.state.values import freeze
from coterie.world.state.view import MISSING, View, view_of


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


def has_column(changes: Mapping[str, Any]) -> bool:
    """Return whether a value is a column."""
    for value in changes.values():  # noqa: SIM110 - a generator takes twice as long for one key
        if value.__class__ is Column:
            return True
    return False


class Fold:
    """A mutable view to which events are applied. Used by one thread.

    `touched` is the set of written keys; `apply` adds only removed ones.
    """

    __slots__ = (
        "_applied",
        "_before",
        "_columns",
        "_deadlines",
        "_drafts",
        "_keys",
        "_ordered",
        "_removed",
        "_timed",
        "sequence",
        "time",
        "touched",
    )

    def __init__(self, view: View) -> None:
        self._before = view
        self._removed = False
        self._ordered = view.order.known
        self._applied: list[Collection[str]] = []
        """The keys of applied events, if the order of the keys is kept up."""
        self._keys = view.keys_map.mutate()
        self._columns = view.columns
        self._drafts: dict[str, ColumnDraft] = {}
        """The columns whose elements were changed, by key."""
        self._deadlines = view.deadlines_map.mutate()
        self._timed = len(view.deadlines_map) > 0
        self.sequence = view.sequence
        self.time = view.time
        self.touched: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        """Return the current value of a key, or of an element of a column."""
        if not self._columns:
            return self._keys.get(key, default)
        value = self._keys.get(key, MISSING)
        if value is not MISSING:
            return value
        column = self._column_of(key)
        return default if column is None else column.get(key.rpartition("/")[2], default)

    def __contains__(self, key: str) -> bool:
        return self.get(key, MISSING) is not MISSING

    def touched_by(self, event: Event) -> set[str]:
        """Return the keys that an applied event has changed, the columns of changed elements among them."""
        keys = {*event.changes, *event.removed}
        if not self._columns:
            return keys
        return {prefix if (prefix := key.rpartition("/")[0]) in self._columns else key for key in keys}

    def set(self, key: str, value: Any) -> None:
        """Set a key to a frozen value that does not expire. Raises `InvalidValue` for an element that a column cannot have."""
        if self._columns or value.__class__ is Column:
            column = self._column_of(key) if self._columns else None
            if column is not None:
                prefix, _, name = key.rpartition("/")
                column.set(key, name, value)
                self.touched.add(prefix)
                return
            self._drafts.pop(key, None)
            if (value.__class__ is Column) is not (key in self._columns):
                self._columns ^= {key}
        self._keys[key] = value
        self.touched.add(key)
        if self._timed:
            self._deadlines.pop(key, None)

    def remove(self, key: str) -> None:
        """Remove a key, if it is there. Raises `InvalidValue` for an element of a column."""
        if self._columns:
            if self._column_of(key) is not None:
                raise InvalidValue(
                    key, "an element of a column cannot be removed; set the column, or a truth value in another one"
                )
            self._drafts.pop(key, None)
            self._columns -= {key}
        self._removed = True
        self._keys.pop(key, None)
        self.touched.add(key)
        if self._timed:
            self._deadlines.pop(key, None)

    def expire_at(self, key: str, when: float) -> None:
        """Set the time at which a key, which was just set, expires. Raises `InvalidValue` for an element of a column."""
        if self._columns and self._column_of(key) is not None:
            raise InvalidValue(key, "an element of a column does not expire")
        self._deadlines[key] = when
        self._timed = True

    def apply(self, event: Event, *, frozen: bool = False) -> None:
        """Apply an event. With `frozen`, its values are known to be frozen."""
        if self._ordered:
            self._applied.append(event.changes)
        if self._columns or has_column(event.changes):
            for key, value in event.changes.items():
                self.set(key, value if frozen else freeze(value, key))
        elif frozen:
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
        for key, draft in self._drafts.items():
            self._keys[key] = draft.column()
        keys, before = self._keys.finish(), self._before
        # Without a removal, as many keys are the same keys.
        same = not self._removed and len(keys) == len(before)
        order = before.order if same else self._order()
        return view_of(keys, self._deadlines.finish(), self.sequence, self.time, order, self._columns)

    def _order(self) -> KeyOrder:
        """Return the order of the keys, of which some were added or removed."""
        if not self._ordered:
            return KeyOrder()
        return self._before.order.after(self.touched.union(*self._applied))

    def _column_of(self, key: str) -> ColumnDraft | None:
        """Return the column that a key is an element of, for changes; None if it is none."""
        prefix = key.rpartition("/")[0]
        if prefix not in self._columns:
            return None
        draft = self._drafts.get(prefix)
        if draft is None:
            draft = self._drafts[prefix] = ColumnDraft(self._keys[prefix])
        return draft


def fold(view: View, events: Iterable[Event]) -> View:
    """Return `view` with `events` applied."""
    making = Fold(view)
    for event in events:
        making.apply(event)
    return making.view()


def start(keys: Mapping[str, Any], deadlines: Mapping[str, float], sequence: int, time: float) -> View:
    """Return the view of a snapshot."""
    frozen = {key: freeze(value, key) for key, value in keys.items()}
    columns = frozenset(key for key, value in frozen.items() if value.__class__ is Column)
    return view_of(immutables.Map(frozen), immutables.Map(deadlines), sequence, time, None, columns)
