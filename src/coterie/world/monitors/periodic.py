"""The base of monitors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

from coterie.concurrency import PeriodicJob, Timers
from coterie.kernel import Clock, check_number, clock_or_system


class PeriodicMonitor(ABC):
    """Calls `look` every `every` seconds of a clock, from `start` to `close`.

    On the clock of the system this happens on a thread of the monitor; on a driven clock, on the thread that moves it.
    `look` can also be called directly, from any thread. A ``with`` block starts and closes the monitor.
    """

    def __init__(self, every: float, clock: Clock | None, name: str) -> None:
        check_number(f"{type(self).__name__}.every", every, above=0)
        self.every = every
        self.clock: Clock = clock_or_system("clock", clock)
        self._name = name
        self._timers: Timers | None = None
        self._job: PeriodicJob | None = None

    @abstractmethod
    def look(self) -> object:
        """Measure once."""

    def start(self) -> Self:
        """Measure now, and then periodically."""
        self.look()
        if self._timers is None:
            self._timers = Timers(self.clock, self._name)
            self._job = PeriodicJob(self._timers, self.every, self.look, self._name)
        return self

    def close(self) -> None:
        """Stop measuring."""
        job, timers, self._job, self._timers = self._job, self._timers, None, None
        if job is not None:
            job.close()
        if timers is not None:
            timers.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        self.close()
