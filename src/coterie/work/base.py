"""The common base of engines and action systems: jobs and workers at one moment, health, admission, stop and restart."""

from __future__ import annotations

from asyncio import events
from collections.abc import Callable, Mapping
from functools import partial
from types import TracebackType
from typing import Any, Self

from coterie.concurrency import AsyncContext, Rank, Signal, ends_in_order, new_lock
from coterie.errors import InvalidSetting
from coterie.kernel import check_number, choice
from coterie.work.jobs import Job, JobState
from coterie.work.pool import WorkPool
from coterie.work.pool.ending import EngineEnd
from coterie.work.pool.metrics import WorkerStatus
from coterie.work.pool.status import WorkHealth, work_health, worker_status
from coterie.work.pool.stopping import WorkStopReport, close_pools

Admit = Callable[[int], object]
"""Called with 1 before a job is accepted; it may wait, or raise to refuse the job."""


_RESTARTS = new_lock(Rank.RECORDS)
"""Guards the beginning of restarts."""


class WorkSystem(AsyncContext):
    """The base of `ProcessingEngine` and `ActionSystem`. Safe from any thread."""

    name: str
    _pools: Mapping[str, WorkPool]
    _end: EngineEnd
    _options: Mapping[str, Any]
    """The arguments of the constructor, for `restart`."""
    _restarting: Signal | None = None
    """Set at the end of the restart that is under way."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop(drain=ends_in_order(kind), timeout=10.0)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    def jobs(self, *states: JobState | str) -> list[Job[Any]]:
        """Return the live and the retained jobs in the given states, or all of them, each pool in order of submission."""
        wanted = frozenset(choice("jobs", state, JobState) for state in states)
        return [job for pool in self._pools.values() for job in pool.table.all(wanted)]

    def workers(self) -> tuple[WorkerStatus, ...]:
        """Return each worker: its state, its job, how long it has run it, and its load. Blocks no worker."""
        return worker_status(self._pools)

    def health(self, stalled_after: float = 30.0) -> WorkHealth:
        """Return whether jobs are taken and make progress. Blocks no worker. Raises `InvalidSetting`.

        It is not well after `stop`; if functions whose jobs have ended hold as many threads as there may be workers; and if
        for `stalled_after` seconds all workers have run the same jobs while others waited.
        """
        check_number("health.stalled_after", stalled_after, above=0)
        return work_health(self.name, self._pools, stalled_after)

    @property
    def stopped(self) -> bool:
        """Return whether no more jobs are accepted."""
        return any(pool.table.closed for pool in self._pools.values())

    def balance(self) -> None:
        """Adapt the workers to the load now. A timer also does this periodically."""
        for pool in self._pools.values():
            pool.balance()

    def stop(self, *, drain: bool = True, timeout: float = 10.0) -> WorkStopReport:
        """Accept no more jobs, stop, and return a report, after at most `timeout` seconds of real time and a little more.

        With `drain`, submitted jobs run first, retries included, within the time limit. The remaining jobs, or all of
        them without `drain`, are cancelled: processes are killed; jobs on threads have the rest of the time to end, and
        are then abandoned and named in the report. Their threads do not keep the process from exiting. Safe to call
        twice and from several threads. On the thread of a running event loop it does not block: await the report. Raises
        `JobWaitCycle` in a job of this object, and `InvalidSetting`.
        """
        check_number("stop.timeout", timeout)
        if events._get_running_loop() is None:  # noqa: SLF001 - asyncio.get_running_loop without its exception
            return self._stop(drain=drain, timeout=timeout)
        close_pools(list(self._pools.values()))
        return WorkStopReport.begin(partial(self._stop, drain=drain, timeout=timeout), f"stop of {self.name}")

    def restart(self, *, timeout: float = 1.0) -> WorkStopReport:
        """Cancel all jobs, abandon those that do not end within `timeout` seconds, and accept jobs again, also after `stop`.

        Functions that hold a thread keep it, but no longer a place among the workers. The ids of jobs continue; metrics
        start at zero. Return the report of the stop. Raises `JobWaitCycle` in a job of this object, and `InvalidSetting`.
        """
        check_number("restart.timeout", timeout)
        ended = Signal()
        with _RESTARTS:
            running, self._restarting = self._restarting, self._restarting or ended
        if running is not None:
            # Another thread restarts it already.
            running.wait()
            return WorkStopReport()
        try:
            report = self._stop(drain=False, timeout=timeout)
            before = {kind: pool.table.numbers for kind, pool in self._pools.items()}
            type(self).__init__(self, **self._options)
            for kind, pool in self._pools.items():
                pool.numbers = pool.table.numbers = before[kind]
        finally:
            self._restarting = None
            ended.set()
        return report

    @property
    def restarting(self) -> bool:
        """Return whether a restart is under way."""
        return self._restarting is not None

    def _stop(self, *, drain: bool, timeout: float) -> WorkStopReport:
        """Stop and wait for the end; see `stop`."""
        return self._end.stop(drain=drain, timeout=timeout)


def check_admit(where: str, admit: object) -> None:
    """Raise `InvalidSetting` unless `admit` is a function or None."""
    if admit is not None and not callable(admit):
        raise InvalidSetting(f"{where}.admit", admit, "a function, such as ResourceController.admit, or None")
