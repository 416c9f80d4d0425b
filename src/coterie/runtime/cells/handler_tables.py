"""The handlers of the classes of agents in a runtime, by the type of message, as they were looked up so far."""

from __future__ import annotations

import weakref
from typing import TypeAlias

from coterie.concurrency import Rank, new_lock
from coterie.runtime.definition.handlers import Handler
from coterie.telemetry import spans

HandlerTable: TypeAlias = dict[type, Handler | None]
"""Handlers by the type of message; None for a type without one. The agents of a class share one, and add to it."""


class HandlerTables:
    """The tables of a runtime, by the class of agents. Safe from any thread: `_lock` guards the tables of new classes.

    The lookups are done anew when a `Tracing` opens or closes: handlers make spans from then on, or no longer.
    """

    def __init__(self) -> None:
        self._lock = new_lock(Rank.RECORDS)
        self._tables: weakref.WeakKeyDictionary[type, HandlerTable] = weakref.WeakKeyDictionary()
        spans.on_change(self)

    def of(self, kind: type) -> HandlerTable | None:
        """Return the table of a class, or None if it has none yet."""
        return self._tables.get(kind)

    def add(self, kind: type) -> HandlerTable:
        """Return the table of a class, and make it if there is none."""
        with self._lock:
            return self._tables.setdefault(kind, {})

    def spans_changed(self) -> None:
        """Have all handlers looked up anew."""
        with self._lock:
            for table in self._tables.values():
                table.clear()
