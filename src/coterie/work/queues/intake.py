"""Who is taken in by a bounded queue, and who waits before it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from coterie.errors import QueueFull
from coterie.work.jobs.job import CURRENT, Job
from coterie.work.jobs.kinds import JobState, Overflow
from coterie.work.queues.limits import QueueLimits
from coterie.work.queues.ready import ReadyQueue


class Intake:
    """The bounds of the queues of one pool, which guards it.

    A job counts against the bound of its queue from when it is taken in until it begins or ends.
    """

    def __init__(self, pool: str, lanes: Sequence[str], limits: QueueLimits, ready: ReadyQueue) -> None:
        self._pool = pool
        self._lanes = lanes
        self._limits = limits
        self._ready = ready
        self._held = [0] * len(lanes)
        self._outside: list[deque[Job[Any]]] = [deque() for _ in lanes]

    def admit(self, job: Job[Any]) -> Job[Any] | None:
        """Take a job in, or have it wait outside; `job.held` tells which. Return the one that has to go for it, if any.

        That may be the job itself. Raises `QueueFull`.
        """
        lane = job.lane
        if self._held[lane] < self._limits.capacity and not self._outside[lane]:
            self._hold(job)
            return None
        if self._limits.overflow is Overflow.SHED:
            return self._make_room(job)
        if self._limits.overflow is Overflow.REJECT:
            raise self.refusal(job, "and its policy is to reject what is more")
        at_work = CURRENT.at_work
        if at_work is not None and at_work.pool is job.pool:
            what = "a job" if CURRENT.job is at_work else "and now a callback of it"
            raise self.refusal(job, f"and {at_work!r}, {what} of the same pool, must not wait for room in it")
        self._outside[lane].append(job)
        return None

    def release(self, job: Job[Any]) -> list[Job[Any]]:
        """Count a job no more, which begins or has ended. Return those that are taken in for it."""
        if not job.held:
            return []
        job.held = False
        self._held[job.lane] -= 1
        outside = self._outside[job.lane]
        admitted = []
        while outside and self._held[job.lane] < self._limits.capacity:
            following = outside.popleft()
            if following.state is JobState.WAITING:
                self._hold(following)
                admitted.append(following)
        return admitted

    def stands_outside(self, job: Job[Any]) -> bool:
        """Whether a job waits to be taken in. From any thread, but then it may be over when this returns."""
        return not job.held and job.state is JobState.WAITING and not job.tried and job in self._outside[job.lane]

    def withdraw(self, job: Job[Any]) -> bool:
        """Take a job back that waits outside. Return False if it does not."""
        if self.stands_outside(job):
            self._outside[job.lane].remove(job)
            return True
        return False

    def refusal(self, job: Job[Any], reason: str) -> QueueFull:
        """Return the error that says why a job is not taken."""
        return QueueFull(self._pool, job.name, self._lanes[job.lane], self._limits.capacity, reason)

    def _hold(self, job: Job[Any]) -> None:
        job.held = True
        self._held[job.lane] += 1

    def _make_room(self, job: Job[Any]) -> Job[Any]:
        victim = self._ready.least_urgent(job.lane)
        if victim is None or victim.level < job.level or not victim.held:
            return job
        self._hold(job)
        return victim
