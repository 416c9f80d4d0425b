"""The end of pools: drained or at once, and in time."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

import msgspec

from coterie.concurrency import Signal, stack_of
from coterie.errors import JobCancelled, JobWaitCycle
from coterie.kernel import Countdown
from coterie.work.jobs.job import CURRENT
from coterie.work.jobs.kinds import JobState
from coterie.work.pool.pool import WorkPool
from coterie.work.pool.worker import Worker

_log = logging.getLogger(__name__)

_THREADS = 2.0
"""Seconds that workers which run nothing get to end."""
_PROCESSES = 5.0
"""Seconds that a process which was killed gets to be gone."""


class StuckJob(msgspec.Struct, frozen=True):
    """A job that did not end, because its function holds a thread."""

    job: str
    name: str
    thread: str
    stack: str


class WorkStopReport(msgspec.Struct, frozen=True):
    """How an engine stopped."""

    drained: bool
    """Whether all that had been submitted came to its own end."""
    stuck: tuple[StuckJob, ...]
    """Jobs that were given up. Their threads are daemons: they do not keep the process from ending."""


def stop(pools: Sequence[WorkPool], *, drain: bool, timeout: float) -> WorkStopReport:
    """Stop several pools. From any thread, more than once, also at the same time."""
    if any(pool.orphaned for pool in pools):
        return WorkStopReport(drained=False, stuck=())
    countdown = Countdown(timeout)
    current = CURRENT.job
    if current is not None and current.pool in pools:
        raise JobWaitCycle(f"{current.id} {current.name} would stop the pool that it runs in")
    for pool in pools:
        with pool.lock:
            pool.closed = True
    drained = drain and all(_quiet(pool, countdown) for pool in pools)
    for pool in pools:
        _cancel(pool, "its engine was stopped")
    # What cannot be ended may still end by itself.
    done = [_quiet(pool, countdown) for pool in pools]
    if not all(done):
        # A killed process takes a moment to be gone; what it ran ends with it.
        reaping = Countdown(_PROCESSES)
        for pool in pools:
            if any(worker.runner.ends for worker in pool.staff.workers.copy()):
                _quiet(pool, reaping)
    stuck = tuple(stuck for pool in pools for stuck in _abandon(pool))
    for pool in pools:
        _dismiss(pool)
    for each in stuck:
        _log.warning(
            "%s %s did not end in time; it goes on, on the thread %s, in\n%s", each.job, each.name, each.thread, each.stack
        )
    return WorkStopReport(drained=bool(drained) and not stuck, stuck=stuck)


def _quiet(pool: WorkPool, countdown: Countdown) -> bool:
    """Wait until no job of a pool lives."""
    quiet = Signal()
    with pool.lock:
        if not pool.live:
            return True
        pool.quiet.append(quiet)
    return quiet.wait(countdown.left())


def _cancel(pool: WorkPool, reason: str) -> None:
    with pool.lock:
        pool.hurried = True
        jobs = list(pool.live.values())
    for job in jobs:
        pool.cancel(job, reason)


def _abandon(pool: WorkPool) -> list[StuckJob]:
    """Give up what still runs, and return what that is."""
    stuck = []
    with pool.lock:
        jobs = list(pool.live.values())
    for job in jobs:
        worker = job.worker
        thread = worker.thread if isinstance(worker, Worker) else None
        error = JobCancelled(f"{job.id} {job.name}", "its engine was stopped, and it did not end in time")
        if thread is None or not pool.abandon(job, JobState.CANCELLED, error):
            # It has come to an end, or to wait, in this very moment.
            pool.cancel(job, "its engine was stopped")
            continue
        stuck.append(StuckJob(job.id, job.name, thread.name, stack_of(thread.ident)))
    return stuck


def _dismiss(pool: WorkPool) -> None:
    """Have all workers end, and wait for those that can."""
    pool.balancing.close()
    with pool.lock:
        pool.closed_for_good = True
        workers = list(pool.staff.workers)
        for worker in workers:
            worker.leaving = True
        pool.staff.idle.clear()
    countdown = Countdown(_THREADS)
    for worker in workers:
        worker.bell.set()
    for worker in workers:
        if worker.thread is not None and worker.thread is not threading.current_thread():
            worker.thread.join(countdown.left())
