"""A job that is done again and again."""

from __future__ import annotations

import logging
from collections.abc import Callable

from coterie.concurrency.frames import calls_out
from coterie.concurrency.locks import Rank, new_lock
from coterie.concurrency.timers import Timer, Timers

_log = logging.getLogger(__name__)


class PeriodicJob:
    """Calls `work` every `interval` seconds of the timers' clock, on the timers' thread, until it is closed.

    `work` must be short. The next time counts from the end of the last, so that a slow job never piles up. A job that
    raises is logged, and done again. Safe from any thread; `_lock` guards the timer.
    """

    def __init__(self, timers: Timers, interval: float, work: Callable[[], object], name: str) -> None:
        self.interval = interval
        self.name = name
        self._timers = timers
        self._work = work
        self._lock = new_lock(Rank.RECORDS)
        self._closed = False
        self._timer: Timer | None = None
        self._plan()

    def close(self) -> None:
        """Do it no more."""
        with self._lock:
            self._closed = True
            timer = self._timer
        if timer is not None:
            timer.cancel()

    def _plan(self) -> None:
        timer = self._timers.call_later(self.interval, self._run)
        with self._lock:
            self._timer = timer
            closed = self._closed
        if closed:
            timer.cancel()

    @calls_out
    def _run(self) -> None:
        try:
            self._work()
        except Exception:  # noqa: BLE001 - it is logged, and others go on
            _log.exception("the periodic job %s raised", self.name)
        self._plan()
