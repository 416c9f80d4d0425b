"""Time limits of the work of tools and guards, to which the waits for a thread do not count."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

MOST_WAITED = 60.0
"""Seconds for which work may wait for a thread."""
_ROUNDING = 0.001
"""Seconds before the end of a limit that count as its end."""
_PAUSE = 0.01
"""Least seconds until work that has waited for a thread is looked at again."""


class WorkTime:
    """The seconds since `restart`, in the time of the running loop, without those of waits for a thread.

    `waits` returns the seconds of all waits so far. Safe from any thread.
    """

    def __init__(self, waits: Callable[[], float]) -> None:
        self._now = asyncio.get_running_loop().time
        self._waits = waits
        self.restart()

    def restart(self) -> None:
        """Count from now."""
        self._since = (self._now(), self._waits())

    @property
    def waited(self) -> float:
        """The seconds of waits for a thread since `restart`."""
        return self._waits() - self._since[1]

    @property
    def worked(self) -> float:
        """The other seconds since `restart`."""
        began, waited = self._since
        return self._now() - began - (self._waits() - waited)


class AttemptDeadline:
    """Calls `overdue`, once, when an attempt exceeds its time limit, or has not reported progress for too long.

    Waits for a thread, whose seconds `waits` returns, do not count, but may not exceed `MOST_WAITED`. Times are in seconds of
    the running loop, which is the runtime's clock. Only for the thread of that loop.
    """

    def __init__(
        self, timeout: float | None, idle: float | None, overdue: Callable[[str], None], waits: Callable[[], float] = float
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._overdue = overdue
        self._heard = WorkTime(waits)
        self._timers: dict[str, asyncio.TimerHandle] = {}
        if timeout is not None:
            self._look(timeout, WorkTime(waits), f"it took longer than {timeout:g} s")
        if idle is not None:
            self._look(idle, self._heard, f"it said nothing for {idle:g} s")

    def alive(self) -> None:
        """Restart the idle time-out."""
        self._heard.restart()

    def close(self) -> None:
        """Cancel the time limits."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _look(self, limit: float, time: WorkTime, why: str) -> None:
        left = limit - time.worked
        if left <= _ROUNDING:
            self._notify(why)
        elif time.waited > MOST_WAITED:
            self._notify(f"no thread was free for it for {MOST_WAITED:g} s")
        else:
            self._timers[why] = self._loop.call_later(max(left, _PAUSE), self._look, limit, time, why)

    def _notify(self, why: str) -> None:
        self.close()
        self._overdue(why)


async def call_within(limit: float, waits: Callable[[], float], call: Callable[[Callable[[], None]], Awaitable[T]]) -> T:
    """Return the result of `call`, which may work for `limit` seconds. Raises `TimeoutError`.

    `call` gets a function that it calls, from any thread, when the work begins: the wait for a thread before does not count
    either. `waits` is as for `AttemptDeadline`.
    """
    loop = asyncio.get_running_loop()
    time = WorkTime(waits)
    begun = False

    def begin() -> None:
        nonlocal begun
        time.restart()
        begun = True

    async with asyncio.timeout(None) as end:
        timer = loop.call_later(min(limit, MOST_WAITED), lambda: look())  # noqa: PLW0108 - it is defined below

        def look() -> None:
            nonlocal timer
            left = limit - time.worked if begun else MOST_WAITED - time.worked
            if left <= _ROUNDING or time.waited > MOST_WAITED:
                end.reschedule(loop.time())
            else:
                timer = loop.call_later(max(left, _PAUSE) if begun else min(left, limit), look)

        try:
            return await call(begin)
        finally:
            timer.cancel()
