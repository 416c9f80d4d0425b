"""A look that is taken again and again."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

from coterie.concurrency import PeriodicJob, Timers
from coterie.kernel import Clock, check_number, clock_or_system


class PeriodicMonitor(ABC):
    """The base of monitors: `look` is called every `every` seconds of the given clock, from `start` to `close`.

    On the system's clock that is on a thread of the monitor's own; on a driven clock whoever moves it looks. `look` may
    also be called by hand, from any thread. Used in a ``with`` block, it starts and closes by itself.
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
        """Take a look."""

    def start(self) -> Self:
        """Look now, and then again and again."""
        self.look()
        if self._timers is None:
            self._timers = Timers(self.clock, self._name)
            self._job = PeriodicJob(self._timers, self.every, self.look, self._name)
        return self

    def close(self) -> None:
        """Look no more."""
        job, timers, self._job, self._timers = self._job, self._timers, None, None
        if job is not None:
            job.close()
        if timers is not None:
            timers.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        self.close()
