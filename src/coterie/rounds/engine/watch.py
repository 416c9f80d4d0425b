"""What is asked of somebody's code on the thread that runs a simulation, and takes too long."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from coterie.concurrency import PeriodicJob, Timers, stack_of
from coterie.kernel import Clock

_log = logging.getLogger(__name__)


class Watch:
    """Names conditions, judgements of parameters, resolvers and the like that have not returned after `timeout` seconds.

    They are called between turns, where nobody can take their place: they cannot be given up, but they are told of, in
    the log, with the stack. `during` is called by the engine's thread, `look` by that of the timers; each field is
    written by one assignment.
    """

    def __init__(self, timers: Timers, clock: Clock, timeout: float | None) -> None:
        self._clock = clock
        self._timeout = timeout
        self._doing: tuple[str, float, int] | None = None
        self._told: tuple[str, float, int] | None = None
        self._job = None if timeout is None else PeriodicJob(timers, timeout / 2, self.look, "the watch of a simulation")

    @contextmanager
    def during(self, what: str) -> Iterator[None]:
        """Have `what` be watched while the block lasts."""
        before = self._doing
        self._doing = (what, self._clock.monotonic(), threading.get_ident())
        try:
            yield
        finally:
            self._doing = before

    def look(self) -> None:
        """Tell of what takes too long, once."""
        doing = self._doing
        if doing is None or doing is self._told or self._timeout is None:
            return
        what, since, thread = doing
        seconds = self._clock.monotonic() - since
        if seconds >= self._timeout:
            self._told = doing
            _log.error(
                "%s has not returned after %.3g s, and everybody waits for it; it is here:\n%s", what, seconds, stack_of(thread)
            )

    def close(self) -> None:
        """Look no more."""
        if self._job is not None:
            self._job.close()
