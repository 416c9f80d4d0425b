"""Clocks: the only module that reads the clocks of the machine.

Every object that waits or measures receives a `Clock`, so a test or a simulation can control time.
"""

from __future__ import annotations

import sys
import time as machine
from typing import Protocol, runtime_checkable


class Clock(Protocol):
    """Tells the time. Implementations are safe from any thread."""

    def time(self) -> float:
        """Return the wall time in seconds since 1970, UTC. It may jump."""
        ...

    def monotonic(self) -> float:
        """Return seconds since a fixed moment. The value never decreases."""
        ...


class TimerSource(Protocol):
    """An object with deadlines, such as a heap of timers, that a driven clock runs."""

    def next_deadline(self) -> float | None:
        """Return the earliest deadline on the monotonic clock, or None without deadlines."""
        ...

    def run_due(self) -> None:
        """Run everything that is due now."""
        ...


@runtime_checkable
class DrivenClock(Clock, Protocol):
    """A clock that a test or a simulation moves. It runs its timer sources itself, so they need no thread that waits."""

    def attach(self, source: TimerSource) -> None:
        """Drive `source` from now on: when time moves, stop at each of its deadlines and call `run_due`."""
        ...

    def detach(self, source: TimerSource) -> None:
        """Stop driving `source`."""
        ...


_WITH_SUSPENSION: int | None = getattr(machine, "CLOCK_BOOTTIME", None)


class SystemClock:
    """The clocks of the machine."""

    time = staticmethod(machine.time)
    monotonic = staticmethod(machine.monotonic)

    @staticmethod
    def elapsed() -> float:
        """Return seconds since a fixed moment, as `monotonic`, with the time for which the machine was suspended, if it can tell."""
        return machine.clock_gettime(_WITH_SUSPENSION) if _WITH_SUSPENSION is not None else machine.monotonic()

    processor = staticmethod(machine.process_time)
    """Seconds of processor time that this process has used, over all its threads."""
    thread = staticmethod(machine.thread_time)
    """Seconds of processor time that the calling thread has used."""

    @staticmethod
    def thread_of(number: int) -> float:
        """Return the seconds of processor time of a thread, given by its number in the system.

        Returns 0 without such a thread, and on systems other than Linux.
        """
        if sys.platform != "linux":
            return 0.0
        try:
            return machine.clock_gettime(~number << 3 | 6)  # the clock of one thread, as in clock_getcpuclockid(3)
        except OSError:
            return 0.0


class Throttle:
    """Permits a number of events in each span of time, and counts those that it does not permit.

    It takes no lock: threads that ask at the same moment may be permitted a few more.
    """

    __slots__ = ("_began", "_left", "_most", "_omitted", "_seconds")

    def __init__(self, most: int, seconds: float) -> None:
        self._most = most
        self._seconds = seconds
        self._began = float("-inf")
        self._left = 0
        self._omitted = 0

    def permit(self, now: float) -> int | None:
        """Return None if an event is not permitted now; else how many were not permitted since the last that was."""
        if now - self._began >= self._seconds:
            self._began = now
            self._left = self._most
        if self._left <= 0:
            self._omitted += 1
            return None
        self._left -= 1
        omitted, self._omitted = self._omitted, 0
        return omitted


class Countdown:
    """The remaining time of a limit, on the monotonic clock of the machine."""

    def __init__(self, timeout: float | None) -> None:
        self._end = None if timeout is None else machine.monotonic() + timeout

    def left(self) -> float | None:
        """Return the remaining seconds, at least 0, or None without a limit."""
        return None if self._end is None else max(0.0, self._end - machine.monotonic())

    @property
    def over(self) -> bool:
        """Return whether the time limit has passed. Without a limit it never passes."""
        return self.left() == 0.0
