"""A clock that a test moves."""

from __future__ import annotations

import threading
from collections.abc import Callable

from coterie.kernel.clock import TimerSource


class ManualClock:
    """A clock that stands still between calls of `advance`.

    ::

        clock = ManualClock()
        with Runtime(clock=clock) as runtime:
            reply = agent.ask(Slow(), timeout=5)
            clock.advance(5)                      # the ask has timed out when this returns

    `advance` goes from one deadline to the next and fires the timers due at each on the calling thread, in order and at
    their exact time. Agents react on their own threads; to wait for that between two
    deadlines pass `after_step`, such as ``lambda: wait_until_idle(runtime)``.

    Safe from any thread, but only one may advance at a time. `_lock` guards the time and the sources.
    """

    def __init__(self, start: float = 0.0, wall: float = 1_000_000_000.0) -> None:
        self._lock = threading.Lock()
        self._advancing = threading.Lock()
        self._now = start
        self._wall = wall - start
        self._sources: list[TimerSource] = []

    def time(self) -> float:
        """Return the wall time."""
        return self._wall + self._now

    def monotonic(self) -> float:
        """Return `start` plus the seconds advanced."""
        return self._now

    def attach(self, source: TimerSource) -> None:
        """Drive a timer source."""
        with self._lock:
            self._sources.append(source)

    def detach(self, source: TimerSource) -> None:
        """Stop driving a timer source."""
        with self._lock:
            if source in self._sources:
                self._sources.remove(source)

    def advance(self, seconds: float, after_step: Callable[[], object] | None = None) -> None:
        """Let `seconds` pass, and fire the timers that become due, in order. Raises `ValueError` for negative seconds.

        `after_step` is called before the first step and after each, to wait until agents have reacted.
        """
        if seconds < 0:
            raise ValueError(f"time cannot go back by {-seconds:g} seconds")
        with self._advancing:
            end = self._now + seconds
            if after_step is not None:
                after_step()
            while True:
                with self._lock:
                    sources = list(self._sources)
                deadlines = [deadline for source in sources if (deadline := source.next_deadline()) is not None]
                step = min((deadline for deadline in deadlines if deadline <= end), default=None)
                with self._lock:
                    self._now = max(self._now, end if step is None else step)
                for source in sources:
                    source.run_due()
                if after_step is not None:
                    after_step()
                if step is None:
                    return
