"""Time as an object: the one place that reads the machine's clocks.

Whatever waits or measures is given a `Clock`, so that a test, or a simulation, can be its own time.
"""

from __future__ import annotations

import time as machine
from typing import Protocol, runtime_checkable


class Clock(Protocol):
    """Tells the time. Implementations are safe from any thread."""

    def time(self) -> float:
        """Return the wall time in seconds since 1970, UTC. It may jump."""
        ...

    def monotonic(self) -> float:
        """Return seconds since some fixed moment. It never goes back."""
        ...


class TimerSource(Protocol):
    """Something that has deadlines, and can be told that time has passed."""

    def next_deadline(self) -> float | None:
        """Return the earliest deadline on the monotonic clock, or None when there is none."""
        ...

    def run_due(self) -> None:
        """Do what is due by now."""
        ...


@runtime_checkable
class DrivenClock(Clock, Protocol):
    """A clock that somebody moves. It drives its timer sources itself; they need no thread that waits."""

    def attach(self, source: TimerSource) -> None:
        """Drive `source` from now on: whenever time moves, stop at each of its deadlines and call `run_due`."""
        ...

    def detach(self, source: TimerSource) -> None:
        """Drive `source` no longer."""
        ...


class SystemClock:
    """The clocks of the machine."""

    time = staticmethod(machine.time)
    monotonic = staticmethod(machine.monotonic)
    processor = staticmethod(machine.process_time)
    """Seconds of processor time that this process has used, over all its threads."""
    thread = staticmethod(machine.thread_time)
    """Seconds of processor time that the calling thread has used."""


class Countdown:
    """What is left of a time limit, on the machine's clock. Without a limit there is always None left."""

    def __init__(self, timeout: float | None) -> None:
        self._end = None if timeout is None else machine.monotonic() + timeout

    def left(self) -> float | None:
        """Return the seconds that are left, never below 0, or None when there is no limit."""
        return None if self._end is None else max(0.0, self._end - machine.monotonic())

    @property
    def over(self) -> bool:
        """Whether nothing is left."""
        return self.left() == 0.0
