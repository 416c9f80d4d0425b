"""The time limits of one attempt."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class AttemptDeadline:
    """Calls `overdue`, once, when an attempt has taken too long in all, or has been silent for too long.

    Times are in seconds of the running loop, which is the runtime's clock. Only for the thread of that loop.
    """

    def __init__(self, timeout: float | None, idle: float | None, overdue: Callable[[str], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._overdue = overdue
        self._idle = idle
        self._heard = self._loop.time()
        self._timers: list[asyncio.TimerHandle] = []
        if timeout is not None:
            self._timers.append(self._loop.call_later(timeout, self._ring, f"it took longer than {timeout:g} s"))
        if idle is not None:
            self._listen(idle)

    def alive(self) -> None:
        """Be told that there was progress."""
        self._heard = self._loop.time()

    def close(self) -> None:
        """Watch no longer."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    def _listen(self, seconds: float) -> None:
        self._timers.append(self._loop.call_later(seconds, self._look))

    def _look(self) -> None:
        assert self._idle is not None
        left = self._heard + self._idle - self._loop.time()
        if left <= 0:
            self._ring(f"it said nothing for {self._idle:g} s")
        else:
            self._timers = [each for each in self._timers if each.when() > self._loop.time()]
            self._listen(left)

    def _ring(self, why: str) -> None:
        self.close()
        self._overdue(why)
