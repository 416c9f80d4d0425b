"""The jobs of one pool: where they are, and the one end of each."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, TypeAlias

from coterie.concurrency import Rank, Signal, Timer, Timers, new_lock
from coterie.errors import JobCancelled, JobTimeout, WorkForked, WorkStopped, describe
from coterie.work.jobs.job import Job
from coterie.work.jobs.kinds import JobState
from coterie.work.pool.bounds import Bounds
from coterie.work.pool.counts import LaneCounts, LaneMetrics, ScalingEvent
from coterie.work.pool.keeping import Keep, Kept
from coterie.work.pool.staff import Staff
from coterie.work.pool.worker import Runner, Worker
from coterie.work.queues.delayed import Delayed
from coterie.work.queues.intake import Intake
from coterie.work.queues.limits import QueueLimits
from coterie.work.queues.ready import ReadyQueue

AnyJob: TypeAlias = Job[Any]
Ended: TypeAlias = tuple[JobState, Sequence[AnyJob]]
"""Where a job was before it ended, and which others are taken in for it."""
Called: TypeAlias = tuple[Worker | None, Worker | None]

_EVENTS = 256
"""The latest changes of the number of workers that are kept."""


class Ledger(ABC):
    """Keeps the books of a pool. Safe from any thread.

    `lock` guards the states of jobs and all tables; no job, callback or gate is called under it, no thread started, no
    bell rung. An end is counted before anybody hears of it, so whoever has waited for a job finds it in the counts.
    """

    def __init__(
        self,
        name: str,
        lanes: Sequence[str],
        timers: Timers,
        *,
        bounds: Bounds,
        limits: QueueLimits,
        keep: Keep,
        make_runner: Callable[[], Runner],
        random: Random,
    ) -> None:
        self.name = name
        self.lanes = tuple(lanes)
        self.timers = timers
        self.clock = timers.clock
        self.limits = limits
        self.numbers = itertools.count(1)
        self.counts = [LaneCounts() for _ in lanes]
        self.ready = ReadyQueue(len(lanes), limits.age_after)
        self.intake = Intake(name, self.lanes, limits, self.ready)
        self.delayed = Delayed()
        self.kept = Kept(keep)
        self.staff = Staff(name, len(lanes), bounds, make_runner)
        self.scaling: deque[ScalingEvent] = deque(maxlen=_EVENTS)
        self.callback_errors = 0
        self.late = 0
        """Attempts that came back after their job had been given up."""
        self.lock = new_lock(Rank.WORK)
        self.live: dict[int, AnyJob] = {}
        self.rooms: dict[int, Signal] = {}
        """What those wait at who wait for room for their job."""
        self.closed = False
        """Whether no more jobs are taken."""
        self.orphaned = False
        """Whether this is a copy in a forked process, without workers."""
        self.hurried = False
        """Whether nothing is tried again any more."""
        self.quiet: list[Signal] = []
        """To be set once no job lives."""
        self._alarm: tuple[float, Timer] | None = None
        self._random = random

    # What the pool does for it.

    @abstractmethod
    def wake(self, idle: Worker | None, hired: Worker | None) -> None:
        """Ring for a worker, or start one. No lock is held."""

    @abstractmethod
    def make_ready(self, job: AnyJob) -> None:
        """Queue a job whose time has come."""

    # Where jobs are. The lock is held.

    def push(self, job: AnyJob, now: float) -> Called:
        """Queue a job; `wake` follows."""
        self.put(job, now)
        return self.staff.call()

    def put(self, job: AnyJob, now: float) -> None:
        """Queue a job, for a worker that is there already."""
        job.state = JobState.QUEUED
        job.ready_at = now
        self.ready.push(job)

    def set_waiting(self, job: AnyJob, counts: LaneCounts) -> None:
        """Take a job from its worker, to be queued again later. `counts` are those of the lane in which it ran."""
        job.state = JobState.WAITING
        job.worker = None
        counts.running -= 1

    def settle(self, job: AnyJob, state: JobState, value: Any, error: BaseException | None, now: float | None = None) -> Ended:
        """End a job that has not ended; `announce` follows."""
        before = job.state
        if before is JobState.QUEUED:
            # While it is still queued it would be met as one that lives.
            job.state = state
            self.ready.forget(job)
        elif before is JobState.RUNNING:
            self.counts[job.lane].running -= 1
        self.counts[job.origin].ended[state] += 1
        del self.live[job.number]
        self.kept.add(job.number, job, self.clock.monotonic() if now is None else now)
        job.settle(state, value, error)
        return before, self.intake.release(job) if job.held else ()

    def forget(self, job: AnyJob) -> None:
        """Count a job no more that was not taken in after all."""
        counts = self.counts[job.origin]
        counts.submitted -= 1
        counts.refused += 1
        del self.live[job.number]

    def retry_delay(self, job: AnyJob, error: BaseException) -> float | None:
        """Return the seconds until the next attempt, or None if there is to be none."""
        if job.retry is None or job.cancel_requested or self.hurried:
            return None
        return job.retry.delay(job.tried, error, self._random)

    # Without the lock.

    def announce(self, job: AnyJob, before: JobState, admitted: Sequence[AnyJob]) -> None:
        """Tell of an end, and let those in for whom it made room."""
        room = self.rooms.get(job.number)
        if room is not None:
            room.set()
        job.left(before)
        job.announce()
        for each in admitted:
            self.let_in(each)
        if self.quiet and not self.live:
            with self.lock:
                quiet, self.quiet = self.quiet, []
            for signal in quiet:
                signal.set()

    def let_in(self, job: AnyJob) -> None:
        """Queue a job that has waited for room."""
        timer, job.timer = job.timer, None
        if timer is not None:
            timer.cancel()
        room = self.rooms.get(job.number)
        if room is not None:
            room.set()
        self.make_ready(job)

    def delay(self, job: AnyJob, seconds: float) -> None:
        """Have a job, which waits, become ready in so many seconds."""
        with self.lock:
            first = self.delayed.add(self.clock.monotonic() + seconds, job)
        if first:
            self.set_alarm()

    def set_alarm(self) -> None:
        """See that there is a timer for the first of those that wait for a time."""
        with self.lock:
            self._set_alarm()

    def _set_alarm(self) -> None:
        due = self.delayed.next_due()
        alarm = self._alarm
        if due is None or self.closed_for_good or (alarm is not None and alarm[0] <= due):
            return
        # The rank of the timers' lock is greater, and nothing of ours is called by setting one.
        self._alarm = due, self.timers.call_at(due, self._sound)
        if alarm is not None:
            alarm[1].cancel()

    gated = False
    """Whether somebody is asked before a job is queued."""
    closed_for_good = False
    """Whether the pool has ended."""

    def _sound(self) -> None:
        with self.lock:
            self._alarm = None
            now = self.clock.monotonic()
            due = self.delayed.take_due(now)
            self._set_alarm()
            called = () if self.gated else [self.push(job, now) for job in due]
        for each in called:
            self.wake(*each)
        if self.gated:
            for job in due:
                self.make_ready(job)

    # Ends that come from outside.

    def end(self, job: AnyJob, state: JobState, error: BaseException) -> bool:
        """End a job that is not running. Return False if it is running, or has ended."""
        with self.lock:
            if job.state is JobState.RUNNING or job.state.ended:
                return False
            ended = self.settle(job, state, None, error)
        self.announce(job, *ended)
        return True

    def cancel(self, job: AnyJob, reason: str) -> bool:
        """Take a job back; see `Job.cancel`."""
        error = JobCancelled(f"{job.id} {job.name}", reason)
        return self.end(job, JobState.CANCELLED, error) or self._end_running(job, error) is True

    def expire(self, job: AnyJob, attempt: int | None) -> None:
        """End a job, or only that attempt at it, because its time is over."""
        whole = attempt is None
        seconds = (job.deadline if whole else job.timeout) or 0.0
        named = f"{job.id} {job.name}"
        what = "its deadline" if whole else "its timeout"
        if whole and self.end(job, JobState.TIMED_OUT, JobTimeout(named, seconds, ended=True, what=what)):
            return
        if not whole and job.tried != attempt:
            return
        if self._end_running(job, JobTimeout(named, seconds, ended=True, what=what), attempt) is False:
            self.abandon(job, JobState.TIMED_OUT, JobTimeout(named, seconds, ended=False, what=what), attempt)

    def abandon(self, job: AnyJob, state: JobState, error: BaseException, attempt: int | None = None) -> bool:
        """End a job whose worker's thread cannot be ended; the worker is given up with it."""
        with self.lock:
            worker = job.worker
            if (
                job.state is not JobState.RUNNING
                or not isinstance(worker, Worker)
                or (attempt is not None and job.tried != attempt)
            ):
                return False
            self.staff.give_up(worker)
            ended = self.settle(job, state, None, error)
            called = self.staff.call() if len(self.ready) else (None, None)
        self.wake(*called)
        self.announce(job, *ended)
        return True

    def _end_running(self, job: AnyJob, error: JobCancelled | JobTimeout, attempt: int | None = None) -> bool | None:
        """End the process that a job runs in. Return False if it runs on a thread; None if there is nothing to end."""
        with self.lock:
            worker = job.worker
            if (
                job.state is not JobState.RUNNING
                or not isinstance(worker, Worker)
                or (attempt is not None and job.tried != attempt)
            ):
                return True if isinstance(error, JobCancelled) and job.state is JobState.CANCELLED else None
            if isinstance(error, JobCancelled):
                job.cancel_requested = True
            if not worker.runner.ends:
                return False
            job.stop_reason = job.stop_reason or error
            cancelled = job.stop_reason is error
        worker.runner.end(job)
        return cancelled or None

    def after_fork_in_child(self) -> None:
        """Be told that this is a copy in a forked process: it has ended, and so have its jobs."""
        self.lock = new_lock(Rank.WORK)
        self.closed = self.closed_for_good = self.hurried = self.orphaned = True
        error = WorkForked(self.name)
        for job in self.live.values():
            self.counts[job.origin].ended[JobState.CANCELLED] += 1
            job.after_fork_in_child(error)
        self.live, self.rooms, self.quiet = {}, {}, []
        self.staff.after_fork_in_child()
        for counts in self.counts:
            counts.running = 0
        self.ready = ReadyQueue(len(self.lanes), self.limits.age_after)

    def check_open(self) -> None:
        """See that jobs are taken. Raises `WorkStopped`."""
        if self.closed:
            raise WorkForked(self.name) if self.orphaned else WorkStopped(self.name)

    # Looking.

    def find(self, number: int) -> AnyJob | None:
        """Return a job by its number, if it lives or is still kept."""
        with self.lock:
            return self.live.get(number) or self.kept.get(number, self.clock.monotonic())

    def count_callback_error(self) -> None:
        """Count a callback that raised."""
        with self.lock:
            self.callback_errors += 1

    def measure(self) -> dict[str, LaneMetrics]:
        """Return the counts of all lanes. Takes no lock, so it holds up nobody."""
        now = self.clock.monotonic()
        lanes = {}
        for lane, (name, counts) in enumerate(zip(self.lanes, self.counts, strict=True)):
            oldest = self.ready.oldest(lane)
            lanes[name] = counts.snapshot(self.ready.length(lane), max(0.0, now - oldest) if oldest is not None else 0.0)
        return lanes


def text_of(error: BaseException) -> str:
    """Return an error as text, even if it has none."""
    try:
        return describe(error)
    except Exception as worse:  # noqa: BLE001 - what a user's __str__ raises is no reason to lose the job
        return f"{type(error).__qualname__}, whose own text could not be had ({type(worse).__qualname__})"


def state_of(job: AnyJob, reason: BaseException | None, error: BaseException) -> JobState:
    """Return the end that an attempt leads to which was ended for a reason, or else raised an error."""
    if reason is not None:
        return JobState.CANCELLED if isinstance(reason, JobCancelled) else JobState.TIMED_OUT
    return JobState.CANCELLED if job.cancel_requested and isinstance(error, JobCancelled) else JobState.FAILED
