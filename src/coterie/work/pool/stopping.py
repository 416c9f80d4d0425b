"""Stopping pools: with or without draining, within a time limit."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Generator, Sequence
from typing import Any, Self

import msgspec

from coterie.concurrency import Completion, Signal, start_thread
from coterie.concurrency.threads import stack_of
from coterie.errors import JobCancelled, JobWaitCycle
from coterie.kernel import Countdown
from coterie.work.jobs.future import CURRENT
from coterie.work.jobs.kinds import JobState
from coterie.work.pool.pool import WorkPool
from coterie.work.pool.workers import Worker

_log = logging.getLogger(__name__)

_THREADS = 2.0
"""Seconds to wait for the end of workers without a job."""
_PROCESSES = 5.0
"""Seconds to wait for the end of killed processes."""


class StuckJob(msgspec.Struct, frozen=True):
    """A job that did not end because its function still holds a thread."""

    job: str
    name: str
    thread: str
    stack: str


class WorkStopReport(Completion):
    """The result of stopping an engine. A stop that was begun on an event loop is not done at once: await the report.

    `drained` and `stuck` block until it is done. Safe from any thread.
    """

    __slots__ = ("_drained", "_failure", "_stuck")

    def __init__(self, *, drained: bool = False, stuck: tuple[StuckJob, ...] = ()) -> None:
        super().__init__()
        self._drained = drained
        self._stuck = stuck
        self._failure: BaseException | None = None
        self._done = True

    @classmethod
    def begin(cls, stop: Callable[[], WorkStopReport], name: str) -> WorkStopReport:
        """Call `stop` on a thread of that name, and return a report that is done when the call returns."""
        report = cls()
        report._done = False

        def call() -> None:
            try:
                ended = stop()
                report._drained, report._stuck = ended.drained, ended.stuck
            except BaseException as error:  # noqa: BLE001 - the readers of the report raise it
                report._failure = error
            report._lock.acquire()
            report._done = True
            report._finish()

        start_thread(call, name)
        return report

    def __repr__(self) -> str:
        if not self._done:
            return "WorkStopReport(pending)"
        return f"WorkStopReport(drained={self._drained}, stuck={self._stuck})"

    @property
    def drained(self) -> bool:
        """Return whether every accepted job came to its own end."""
        self._await_stop()
        return self._drained

    @property
    def stuck(self) -> tuple[StuckJob, ...]:
        """Return the abandoned jobs. Their threads are daemons: they do not keep the process from exiting."""
        self._await_stop()
        return self._stuck

    def __await__(self) -> Generator[Any, None, Self]:
        if not self._done:
            yield from self.suspend()
        self._await_stop()
        return self

    def _await_stop(self) -> None:
        self.wait()
        if self._failure is not None:
            raise self._failure


def close_pools(pools: Sequence[WorkPool]) -> None:
    """Let pools accept no more jobs. Raises `JobWaitCycle` in a job of one of them, which would wait for itself."""
    current = CURRENT.job
    if current is not None and current.pool in pools:
        raise JobWaitCycle(f"{current.label} would stop the pool that runs it")
    for pool in pools:
        with pool.table.lock:
            pool.table.closed = True


def stop_pools(pools: Sequence[WorkPool], *, drain: bool, timeout: float | None) -> WorkStopReport:
    """Stop several pools within `timeout` seconds of real time. Safe from several threads, and more than once."""
    if any(pool.table.forked for pool in pools):
        return WorkStopReport(drained=False, stuck=())
    countdown = Countdown(timeout)
    close_pools(pools)
    drained = drain and all(wait_until_empty(pool, countdown) for pool in pools)
    for pool in pools:
        _cancel_all(pool, "its engine was stopped")
    # Jobs on threads cannot be ended, but may still end within the time limit.
    empty = [wait_until_empty(pool, countdown) for pool in pools]
    if not all(empty):
        # A killed process takes a moment to exit; its job ends with it.
        reaping = Countdown(_PROCESSES)
        for pool in pools:
            if any(worker.runner.ends for worker in pool.workers.members.copy()):
                wait_until_empty(pool, reaping)
    stuck = tuple(stuck for pool in pools for stuck in _abandon_running(pool))
    for pool in pools:
        _end_workers(pool)
        with pool.table.lock:
            unheard = pool.table.unheard.take(math.inf)
        unheard.log(pool.name)
    for each in stuck:
        _log.warning(
            "%s %s did not end in time; it still runs on the thread %s, in\n%s", each.job, each.name, each.thread, each.stack
        )
    return WorkStopReport(drained=bool(drained) and not stuck, stuck=stuck)


def wait_until_empty(pool: WorkPool, countdown: Countdown) -> bool:
    """Wait until a pool has no live job. Return False if the time ends first."""
    empty = Signal()
    with pool.table.lock:
        if not pool.table.live:
            return True
        pool.table.empty_signals.append(empty)
    return empty.wait(countdown.left())


def _cancel_all(pool: WorkPool, reason: str) -> None:
    with pool.table.lock:
        pool.table.retries_stopped = True
        jobs = list(pool.table.live.values())
    for job in jobs:
        pool.cancel(job, reason)


def _abandon_running(pool: WorkPool) -> list[StuckJob]:
    """Abandon all jobs that still run, and return them."""
    stuck = []
    with pool.table.lock:
        jobs = list(pool.table.live.values())
    for job in jobs:
        worker = job.worker
        thread = worker.thread if isinstance(worker, Worker) else None
        error = JobCancelled(f"{job.id} {job.name}", "its engine was stopped, and it did not end in time")
        if thread is None or not pool.finisher.abandon(job, JobState.CANCELLED, error):
            # The job has ended or begun to wait since the list was made.
            pool.cancel(job, "its engine was stopped")
            continue
        stuck.append(StuckJob(job.id, job.name, thread.name, stack_of(thread.ident)))
    return stuck


def _end_workers(pool: WorkPool) -> None:
    """End all workers and join the threads that run no job."""
    pool.balancing.close()
    with pool.table.lock:
        pool.table.terminated = True
        workers = list(pool.workers.members)
        for worker in workers:
            worker.leaving = True
        pool.workers.idle.clear()
        pool.workers.close()
    countdown = Countdown(_THREADS)
    for worker in workers:
        worker.wakeup.set()
    for worker in workers:
        if worker.thread is not None and worker.thread is not threading.current_thread() and worker not in pool.workers.held:
            worker.thread.join(countdown.left())
