"""The jobs of one pool: their states, their queues, and the one end of each."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from random import Random
from typing import TypeAlias

from coterie.concurrency import Rank, Signal, new_lock
from coterie.errors import JobCancelled, WorkStopped
from coterie.errors.work import WorkForked
from coterie.kernel import Clock
from coterie.work.jobs.kinds import JobState
from coterie.work.pool.admission import QueueAdmission
from coterie.work.pool.metrics import LaneCounts, LaneMetrics
from coterie.work.pool.queues import AnyJob, DelayedJobs, ReadyQueue
from coterie.work.pool.retained import RetainedJobs, UnheardFailures
from coterie.work.pool.settings import QueueLimits, Retention

Ended: TypeAlias = tuple[JobState, Sequence[AnyJob]]
"""The state of a job before its end, and the jobs that are admitted in its place."""


class JobTable:
    """The jobs, queues and counts of a pool.

    `lock` guards job states and all tables, those of the workers too. Never call a job, a callback or a `before_queue`
    hook, start a thread or wake a worker while holding it. An end is counted before it is announced, so a thread that
    waited for a job finds it in the counts.
    """

    def __init__(
        self, name: str, lanes: Sequence[str], clock: Clock, *, limits: QueueLimits, keep: Retention, random: Random
    ) -> None:
        self.name = name
        self.lanes = tuple(lanes)
        self.clock = clock
        self.limits = limits
        self.numbers = itertools.count(1)
        self.counts = [LaneCounts() for _ in lanes]
        self.ready = ReadyQueue(len(lanes), limits.age_after)
        self.admission = QueueAdmission(name, self.lanes, limits, self.ready)
        self.delayed = DelayedJobs()
        self.retained = RetainedJobs(keep)
        self.unheard = UnheardFailures()
        self.callback_errors = 0
        self.late = 0
        """Attempts that returned after their job had ended."""
        self.lock = new_lock(Rank.WORK)
        self.live: dict[int, AnyJob] = {}
        """Jobs that have not ended, by number."""
        self.space_signals: dict[int, Signal] = {}
        """Signals of threads that wait for queue space, by job number."""
        self.empty_signals: list[Signal] = []
        """Signals to set when no job is live."""
        self.closed = False
        """True if no more jobs are accepted."""
        self.retries_stopped = False
        self.terminated = False
        """True if the pool has ended."""
        self.forked = False
        """True if this is a copy in a forked process, without workers."""
        self._random = random

    # The caller holds the lock.

    def queue(self, job: AnyJob, now: float) -> None:
        """Append a job to its ready queue."""
        job.state = JobState.QUEUED
        job.ready_at = now
        self.ready.push(job)

    def set_waiting(self, job: AnyJob, counts: LaneCounts) -> None:
        """Take a job from its worker, to be queued again later. `counts` are those of the lane in which it ran."""
        job.state = JobState.WAITING
        job.worker = None
        counts.running -= 1

    def set_end(
        self, job: AnyJob, state: JobState, value: object, error: BaseException | None, now: float | None = None
    ) -> Ended:
        """End a job that has not ended. The caller announces it after releasing the lock."""
        before = job.state
        if before is JobState.QUEUED:
            # The queue skips jobs by their state, so change it before the queue looks for its head.
            job.state = state
            self.ready.discount(job)
        elif before is JobState.RUNNING:
            self.counts[job.lane].running -= 1
        self.counts[job.origin].ended[state] += 1
        del self.live[job.number]
        job.ended_at = self.clock.monotonic() if now is None else now
        job.set_end(state, value, error)
        self.retained.add(job.number, job, job.ended_at)
        if error is not None:
            self.unheard.add(job, job.ended_at)
        return before, self.admission.release(job) if job.admitted else ()

    def refuse(self, job: AnyJob) -> None:
        """Remove a job that was counted as submitted but not accepted."""
        counts = self.counts[job.origin]
        counts.submitted -= 1
        counts.refused += 1
        del self.live[job.number]

    # Without the lock.

    def retry_delay(self, job: AnyJob, error: BaseException) -> float | None:
        """Return the seconds until the next attempt that the policy of the job gives, or None for no further attempt."""
        return None if job.retry is None else job.retry.delay(job.tried, error, self._random)

    def check_open(self) -> None:
        """Raise `WorkStopped` unless jobs are accepted."""
        if self.closed:
            raise WorkForked(self.name) if self.forked else WorkStopped(self.name)

    def find(self, number: int) -> AnyJob | None:
        """Return a live or retained job by its number, or None."""
        with self.lock:
            return self.live.get(number) or self.retained.get(number, self.clock.monotonic())

    def all(self, states: Collection[JobState]) -> list[AnyJob]:
        """Return the live and the retained jobs in some states, or all of them if `states` is empty, in order of submission."""
        with self.lock:
            jobs = [*self.retained.all(self.clock.monotonic()), *self.live.values()]
        self.retained.free()
        return sorted((job for job in jobs if not states or job.state in states), key=lambda job: job.number)

    def oldest_wait(self) -> float:
        """Return the seconds that the oldest ready job has waited. Takes no lock."""
        now = self.clock.monotonic()
        times = [since for lane in range(len(self.lanes)) if (since := self.ready.oldest(lane)) is not None]
        return max((now - since for since in times), default=0.0)

    def measure(self) -> dict[str, LaneMetrics]:
        """Return the metrics of all lanes. Takes no lock."""
        now = self.clock.monotonic()
        lanes = {}
        for lane, (name, counts) in enumerate(zip(self.lanes, self.counts, strict=True)):
            oldest = self.ready.oldest(lane)
            lanes[name] = counts.snapshot(self.ready.length(lane), max(0.0, now - oldest) if oldest is not None else 0.0)
        return lanes

    def after_fork_in_child(self) -> None:
        """Cancel all live jobs in a forked process, where no worker can run them."""
        self.lock = new_lock(Rank.WORK)
        self.closed = self.terminated = self.retries_stopped = self.forked = True
        error = WorkForked(self.name)
        for job in self.live.values():
            self.counts[job.origin].ended[JobState.CANCELLED] += 1
            job.after_fork_in_child(error)
        self.live, self.space_signals, self.empty_signals = {}, {}, []
        for counts in self.counts:
            counts.running = 0
        self.ready = ReadyQueue(len(self.lanes), self.limits.age_after)


def end_state(job: AnyJob, reason: BaseException | None, error: BaseException) -> JobState:
    """Return the final state of a job whose attempt was ended for `reason`, or else raised `error`."""
    if reason is not None:
        return JobState.CANCELLED if isinstance(reason, JobCancelled) else JobState.TIMED_OUT
    return JobState.CANCELLED if job.cancel_requested and isinstance(error, JobCancelled) else JobState.FAILED
