"""Admission of jobs to bounded queues."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from coterie.errors import QueueFull
from coterie.work.jobs.future import CURRENT
from coterie.work.jobs.job import Job
from coterie.work.jobs.kinds import JobState, QueueOverflow
from coterie.work.pool.queues import ReadyQueue
from coterie.work.pool.settings import QueueLimits


class QueueAdmission:
    """Enforces the capacity of the queues of one pool, whose lock guards it.

    A job counts against the capacity of its queue from its admission until it starts or ends.
    """

    def __init__(self, pool: str, lanes: Sequence[str], limits: QueueLimits, ready: ReadyQueue) -> None:
        self._pool = pool
        self._lanes = lanes
        self._limits = limits
        self._ready = ready
        self._counts = [0] * len(lanes)
        self._waiting: list[deque[Job[Any]]] = [deque() for _ in lanes]

    def add(self, job: Job[Any]) -> Job[Any] | None:
        """Admit a job, or let it wait for space; `job.admitted` tells which. Return the job to shed, if any.

        The job to shed may be `job` itself. Raises `QueueFull`.
        """
        lane = job.lane
        if self._counts[lane] < self._limits.capacity and not self._waiting[lane]:
            self._admit(job)
            return None
        if self._limits.overflow is QueueOverflow.SHED:
            return self._make_space(job)
        if self._limits.overflow is QueueOverflow.REJECT:
            raise self.queue_full(job, "and its policy is to reject further jobs")
        at_work = CURRENT.at_work
        if at_work is not None and at_work.pool is job.pool:
            what = repr(at_work) if CURRENT.job is at_work else f"a callback of {at_work!r}"
            raise self.queue_full(job, f"and {what}, of the same pool, must not wait for space in it")
        self._waiting[lane].append(job)
        return None

    def release(self, job: Job[Any]) -> list[Job[Any]]:
        """Free the place of a job that starts or has ended. Return the waiting jobs that are admitted instead."""
        if not job.admitted:
            return []
        job.admitted = False
        self._counts[job.lane] -= 1
        waiting = self._waiting[job.lane]
        admitted = []
        while waiting and self._counts[job.lane] < self._limits.capacity:
            following = waiting.popleft()
            if following.state is JobState.WAITING:
                self._admit(following)
                admitted.append(following)
        return admitted

    def is_waiting(self, job: Job[Any]) -> bool:
        """Return whether a job waits for admission. Safe from any thread; without the lock the answer may be stale."""
        return not job.admitted and job.state is JobState.WAITING and not job.tried and job in self._waiting[job.lane]

    def withdraw(self, job: Job[Any]) -> bool:
        """Remove a job that waits for admission. Return False if it does not wait."""
        if self.is_waiting(job):
            self._waiting[job.lane].remove(job)
            return True
        return False

    def queue_full(self, job: Job[Any], reason: str) -> QueueFull:
        """Return the error for a job that is not accepted."""
        return QueueFull(self._pool, job.name, self._lanes[job.lane], self._limits.capacity, reason)

    def _admit(self, job: Job[Any]) -> None:
        job.admitted = True
        self._counts[job.lane] += 1

    def _make_space(self, job: Job[Any]) -> Job[Any]:
        victim = self._ready.least_urgent(job.lane)
        if victim is None or victim.level < job.level or not victim.admitted:
            return job
        self._admit(job)
        return victim
