"""The workers of pools at one moment, and whether they make progress."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from coterie.work.pool.metrics import WorkerState, WorkerStatus
from coterie.work.pool.pool import WorkPool
from coterie.work.pool.workers import Worker


class WorkHealth(msgspec.Struct, frozen=True):
    """The health of an engine or an action system: whether it makes progress."""

    well: bool
    problem: str
    """Empty if it is well."""
    queued: int
    oldest_wait: float
    """Seconds that the oldest queued job has waited."""
    busy: int
    workers: int
    abandoned: int
    """Threads that functions hold whose jobs have ended."""
    utilisation: float
    """The busy part of the workers, from 0 to 1."""


def worker_status(pools: Mapping[str, WorkPool]) -> tuple[WorkerStatus, ...]:
    """Return the status of all workers. Takes no lock."""
    return tuple(
        _status(kind, pool, worker)
        for kind, pool in pools.items()
        for worker in (*pool.workers.members.copy(), *pool.workers.abandoned.copy())
    )


def work_health(name: str, pools: Mapping[str, WorkPool], stalled_after: float) -> WorkHealth:
    """Return the health of several pools as one. Takes no lock."""
    problem = f"{name} has been stopped" if any(pool.table.closed for pool in pools.values()) else ""
    waits = [pool.table.oldest_wait() for pool in pools.values()]
    for (kind, pool), wait in zip(pools.items(), waits, strict=True):
        problem = problem or _problem(name, kind, pool, wait, stalled_after)
    each = list(pools.values())
    busy, workers = sum(pool.workers.busy for pool in each), sum(len(pool.workers.members) for pool in each)
    return WorkHealth(
        well=not problem,
        problem=problem,
        queued=sum(len(pool.table.ready) for pool in each),
        oldest_wait=max(waits, default=0.0),
        busy=busy,
        workers=workers,
        abandoned=sum(len(pool.workers.abandoned) for pool in each),
        utilisation=min(1.0, busy / workers) if workers else 0.0,
    )


def _problem(name: str, kind: str, pool: WorkPool, wait: float, stalled_after: float) -> str:
    abandoned = len(pool.workers.abandoned)
    if abandoned >= pool.workers.bounds.most:
        return f"{abandoned} threads of {name} are held by functions whose jobs have ended"
    now = pool.clock.monotonic()
    jobs = [worker.job for worker in pool.workers.members.copy()]
    stuck = bool(jobs) and all(job is not None and now - job.started_at > stalled_after for job in jobs)
    if stuck and wait > stalled_after:
        return f"all {len(jobs)} {kind} of {name} have run the same job for over {stalled_after:g} s, and others wait"
    return ""


def _status(kind: str, pool: WorkPool, worker: Worker) -> WorkerStatus:
    now, job = pool.clock.monotonic(), worker.job
    if worker.abandoned:
        state = WorkerState.ABANDONED
    elif job is None:
        state = WorkerState.IDLE
    else:
        state = WorkerState.WAITING if job.waits else WorkerState.BUSY
    running = 0.0 if job is None else max(0.0, now - job.started_at)
    alive = now - worker.born
    return WorkerStatus(
        name=worker.name,
        pool=kind,
        state=state,
        home=pool.lanes[worker.home],
        job=None if job is None else job.id,
        task=None if job is None else job.name,
        seconds=running,
        attempts=worker.attempts,
        load=min(1.0, (worker.worked + running) / alive) if alive > 0 else float(job is not None),
        pid=worker.runner.pid,
    )
