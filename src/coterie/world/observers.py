"""Observers of commits."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

from coterie.concurrency import CONTAINED, Rank, new_lock
from coterie.errors import describe
from coterie.world.state.event import Event
from coterie.world.state.view import View

Observer: TypeAlias = Callable[[View, tuple[Event, ...]], object]
"""Called with the view after a commit and the events of the commit."""

_log = logging.getLogger(__name__)


class Observers:
    """Calls observers for each commit, once and in order.

    An observer that raises is logged and counted, and called for the next commit as before. One of the committing threads
    calls them, outside of any lock. They may change the world; observers see that commit after the earlier ones. Safe
    from any thread; `_lock` guards all fields.
    """

    def __init__(self) -> None:
        self._lock = new_lock(Rank.RECORDS)
        self._observers: dict[int, Observer] = {}
        self._next = 0
        self._news: deque[tuple[View, tuple[Event, ...]]] = deque()
        self._telling = False
        self.failures = 0
        """Number of errors of observers."""
        self.last_failure = ""
        """The last error, as text."""

    def add(self, observer: Observer) -> Callable[[], None]:
        """Call `observer` for all commits from now on; return a function that ends this."""
        with self._lock:
            number = self._next
            self._next += 1
            self._observers[number] = observer

        def end() -> None:
            with self._lock:
                self._observers.pop(number, None)

        return end

    def queue(self, view: View, events: tuple[Event, ...]) -> None:
        """Queue a commit. The committing threads call this in the order of the commits."""
        with self._lock:
            if self._observers:
                self._news.append((view, events))

    def tell(self) -> None:
        """Call the observers for queued commits, unless another thread is doing so."""
        while True:
            with self._lock:
                if self._telling or not self._news:
                    return
                self._telling = True
                view, events = self._news.popleft()
                observers = list(self._observers.values())
            try:
                for observer in observers:
                    self._call(observer, view, events)
            finally:
                with self._lock:
                    self._telling = False

    def _call(self, observer: Observer, view: View, events: tuple[Event, ...]) -> None:
        try:
            observer(view, events)
        except CONTAINED as error:  # it is logged and counted, and the others are called
            _log.exception("an observer of a world raised at event %d", view.sequence)
            with self._lock:
                self.failures += 1
                self.last_failure = describe(error)
