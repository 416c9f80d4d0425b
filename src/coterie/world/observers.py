"""Those who look on."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

from coterie.concurrency import Rank, new_lock
from coterie.errors import describe
from coterie.world.state.event import Event
from coterie.world.state.view import View

Observer: TypeAlias = Callable[[View, tuple[Event, ...]], object]
"""Called with the view after a commit and the events of that commit."""

_log = logging.getLogger(__name__)


class Observers:
    """Tells observers of commits, each once and in order, whatever they do.

    One that raises is logged and counted, and told of the next commit as before. They are called by one of the threads
    that commit, outside of any lock, and may change the world themselves; what comes of that is told after what came
    before it. Safe from any thread; `_lock` guards all fields.
    """

    def __init__(self) -> None:
        self._lock = new_lock(Rank.RECORDS)
        self._observers: dict[int, Observer] = {}
        self._next = 0
        self._news: deque[tuple[View, tuple[Event, ...]]] = deque()
        self._telling = False
        self.failures = 0
        """How often an observer raised."""
        self.last_failure = ""
        """The last of these, as text."""

    def add(self, observer: Observer) -> Callable[[], None]:
        """Tell `observer` of all commits from now on; return what ends that."""
        with self._lock:
            number = self._next
            self._next += 1
            self._observers[number] = observer

        def end() -> None:
            with self._lock:
                self._observers.pop(number, None)

        return end

    def queue(self, view: View, events: tuple[Event, ...]) -> None:
        """Note what is to be told. Whoever commits calls this in the order of the commits."""
        with self._lock:
            if self._observers:
                self._news.append((view, events))

    def tell(self) -> None:
        """Tell what has been queued, unless another thread is at it."""
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
        except Exception as error:  # noqa: BLE001 - it is logged and counted, and the others are told
            _log.exception("an observer of a world raised at event %d", view.sequence)
            with self._lock:
                self.failures += 1
                self.last_failure = describe(error)
