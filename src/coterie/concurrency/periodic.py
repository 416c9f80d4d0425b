"""Periodic jobs."""

from __future__ import annotations

import logging
from collections.abc import Callable

from coterie.concurrency.frames import calls_out
from coterie.concurrency.locks import Rank, new_lock
from coterie.concurrency.timers import Timer, Timers

_log = logging.getLogger(__name__)


class PeriodicJob:
    """Calls `work` every `interval` seconds of the timers' clock, on the timers' thread, until it is closed.

    `work` must be short. Each interval begins when the previous call has ended, so slow calls never pile up. An error of
    `work` is logged, and the job goes on. Safe from any thread; `_lock` guards the timer.
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
        """Stop the job."""
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
        except Exception:  # noqa: BLE001 - it is logged, and the others go on
            _log.exception("the periodic job %s raised", self.name)
        self._plan()
