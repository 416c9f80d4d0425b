"""The end of an engine or an action system: by `stop`, by the end of the program, or because it was dropped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from coterie.concurrency import Timers
from coterie.concurrency.exits import ExitOrder, end_dropped, register_exit_handler, unregister_exit_handler
from coterie.concurrency.forks import ForkAware, register_fork_handler
from coterie.concurrency.interrupts import InterruptGuard
from coterie.kernel import Countdown
from coterie.kernel.clock import DrivenClock
from coterie.work.pool.pool import WorkPool
from coterie.work.pool.stopping import WorkStopReport, stop_pools, wait_until_empty

_NAMED = 5
"""Functions that the report of a loss names."""


class EngineEnd:
    """Ends the parts of an engine. It does not refer to the engine itself, so that a dropped engine is noticed.

    Safe from any thread. `forked` are the parts that must know of a fork.
    """

    def __init__(
        self,
        what: str,
        pools: Sequence[WorkPool],
        timers: Timers,
        guard: InterruptGuard,
        *,
        forked: Sequence[ForkAware],
        exit_timeout: float,
    ) -> None:
        self._what = what
        self._pools = pools
        self._timers = timers
        self._guard = guard
        self._forked = forked
        self._exit_timeout = exit_timeout
        register_exit_handler(self, ExitOrder.WORK)
        register_fork_handler(self)

    def stop(self, *, drain: bool, timeout: float | None) -> WorkStopReport:
        """Accept no more jobs and stop; see `ProcessingEngine.stop`. Without `timeout`, wait until all jobs have ended."""
        report = stop_pools(self._pools, drain=drain, timeout=timeout)
        self._timers.close()
        self._guard.release()
        unregister_exit_handler(self)
        return report

    def finish_at_exit(self) -> str | None:
        """Let the accepted jobs end within the limit, and stop. Return the lost jobs as text, or None."""
        # On a driven clock, jobs may wait for a time to which no caller advances it any more.
        limit = 0.0 if isinstance(self._timers.clock, DrivenClock) else self._exit_timeout
        lost: list[str] = []
        try:
            countdown = Countdown(limit)
            for pool in self._pools:
                wait_until_empty(pool, countdown)
        finally:
            for pool in self._pools:
                with pool.table.lock:
                    lost += [job.name for job in pool.table.live.values()]
            self.stop(drain=False, timeout=0.0)
        if not lost:
            return None
        names = [f"{name} ({count})" for name, count in Counter(lost).most_common(_NAMED)]
        more = ", ..." if len(set(lost)) > _NAMED else ""
        return (
            f"{len(lost)} jobs of {self._pools[0].name}, not done within {limit:g} s: {', '.join(names)}{more}; "
            f"use {self._what} in a `with` block, or give it another exit_timeout"
        )

    def dropped(self) -> None:
        """Let the accepted jobs end and stop, because the engine was dropped; do not make the caller wait."""
        if not any(pool.table.closed for pool in self._pools):
            end_dropped(f"{self._what} {self._pools[0].name}", lambda: self.stop(drain=True, timeout=None))

    def after_fork_in_child(self) -> None:
        """Stop this copy in a forked process, which does not inherit threads."""
        for part in (self._timers, *self._forked, *self._pools):
            part.after_fork_in_child()
