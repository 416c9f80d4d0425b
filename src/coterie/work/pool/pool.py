"""A pool of workers that run jobs."""

from __future__ import annotations

import logging
import math
from asyncio import events
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from random import Random

from coterie.concurrency import PeriodicJob, Signal, Timer, Timers, start_thread
from coterie.concurrency.budget import PROCESS_THREADS
from coterie.concurrency.locks import acquire_in_turn
from coterie.errors import JobShed, ProgramEnding, QueueFull, ThreadLimitReached
from coterie.errors.work import ThreadsHeld
from coterie.work.jobs.kinds import JobState
from coterie.work.pool.attempts import JobAttempts
from coterie.work.pool.finishing import JobFinisher
from coterie.work.pool.metrics import ScalingEvent
from coterie.work.pool.queues import AnyJob
from coterie.work.pool.settings import Bounds, QueueLimits, Retention
from coterie.work.pool.table import JobTable
from coterie.work.pool.workers import JobRunner, WakeRequest, Worker, WorkerTable

_log = logging.getLogger(__name__)

_SAMPLE = 15
"""An attempt is measured when the count of attempts before it has none of these bits: one in sixteen."""
_HEARD_WITHIN = 1.0
"""Seconds after which a failure that no caller has taken is logged."""
_EVENTS = 256
"""Scaling events to keep."""


class WorkPool:
    """Runs jobs of several lanes on workers whose number and homes follow the load. Internal to the engines.

    Safe from any thread; `table.lock` guards jobs and workers.

    Args:
        name: The prefix of job ids and thread names.
        lanes: The names of the queues.
        timers: The timers, and through them the clock.
        bounds: The minimum and maximum number of workers.
        limits: The limits of the queues.
        keep: The retention of ended jobs.
        make_runner: Creates the runner of each worker.
        random: The source of retry jitter.
        balance_every: Seconds between two balances.
        before_queue: Called with each job before it is queued. If it returns False, it calls `enqueue` later.
        observe: Called with the elapsed seconds and the processor seconds of one attempt in sixteen.
        max_workers: Returns the current maximum of workers at each balance.
        sized: Whether this pool and other such pools of the process together stay within the maximum of its bounds.
        max_abandoned: Threads of all pools that functions may hold after their jobs have ended, if more than its bounds.
        lane_most: The jobs of each lane that may run at once; None for no limit but that of the workers.
    """

    def __init__(
        self,
        name: str,
        lanes: Sequence[str],
        timers: Timers,
        *,
        bounds: Bounds,
        limits: QueueLimits,
        keep: Retention,
        make_runner: Callable[[], JobRunner],
        random: Random,
        balance_every: float,
        before_queue: Callable[[AnyJob], bool] | None = None,
        observe: Callable[[float, float], object] | None = None,
        max_workers: Callable[[], int] | None = None,
        sized: bool = False,
        max_abandoned: int | None = None,
        lane_most: Sequence[int] | None = None,
    ) -> None:
        self.table = JobTable(name, lanes, timers.clock, limits=limits, keep=keep, random=random)
        share = PROCESS_THREADS.join(grouped=sized)
        max_abandoned = max(bounds.most, max_abandoned or 0)
        self.workers = WorkerTable(name, len(lanes), bounds, make_runner, timers.clock, share, max_abandoned)
        self.finisher = JobFinisher(
            self.table, self.workers, make_ready=self.make_ready, wake=self.wake, call_later=timers.call_later
        )
        self.name = name
        self.lanes = self.table.lanes
        self.clock = timers.clock
        self.numbers = self.table.numbers
        self.cancel = self.finisher.cancel
        self.scaling: deque[ScalingEvent] = deque(maxlen=_EVENTS)
        self._timers = timers
        self._alarm: tuple[float, Timer] | None = None
        """The timer for the first delayed job, and when it fires."""
        self._before_queue = before_queue
        self._lane_most = lane_most
        self._max_workers = max_workers
        self._bounds = bounds
        """The given bounds; those of the workers follow the measurements."""
        self._attempts = JobAttempts(
            self.table, self.finisher, make_ready=self.make_ready, set_alarm=self._set_alarm, observe=observe
        )
        self.balancing = PeriodicJob(timers, balance_every, self.balance, f"balance of {name}")

    # Submission.

    def submit(self, job: AnyJob) -> None:
        """Accept a job. Raises `QueueFull` and `WorkStopped`.

        Blocks while the job waits for space, but not on the thread of a running event loop: there the job waits without
        its submitter, and ends with `QueueFull` if its patience ends first. While too many threads are held by functions
        that do not return, the job ends at once with `ThreadsHeld`.
        """
        table = self.table
        counts = table.counts[job.origin]
        if self.workers.held:
            self._refuse(job)
            return
        request: WakeRequest = (None, None)
        acquire_in_turn(table.lock)
        try:
            if table.closed:
                table.check_open()
            try:
                victim = table.admission.add(job)
            except QueueFull:
                counts.refused += 1
                raise
            counts.submitted += 1
            table.live[job.number] = job
            # Under the lock: afterwards another thread may admit a job that waits outside, and queue it.
            admitted = job.admitted
            direct = admitted and self._before_queue is None
            if direct:
                request = self._push(job, job.submitted_at)
        finally:
            table.lock.release()
        if job.deadline is not None:
            job.expiry = self._timers.call_later(job.deadline, partial(self.finisher.expire, job, None))
        if direct:
            self.wake(*request)
        elif admitted:
            self.make_ready(job)
        if victim is not None:
            self.finisher.end(victim, JobState.SHED, JobShed(victim, self.lanes[job.lane], table.limits.capacity))
        elif not job.admitted and not job.state.ended:
            self._wait_for_space(job)

    def _refuse(self, job: AnyJob) -> None:
        """End a job at once, because too many threads are held."""
        with self.table.lock:
            self.table.check_open()
            self.table.counts[job.origin].submitted += 1
            self.table.live[job.number] = job
            held = [*self.workers.abandoned, *self.workers.held]
        elsewhere = max(0, PROCESS_THREADS.abandoned - len(self.workers.abandoned))
        error = ThreadsHeld(job.label, self.name, [worker.job for worker in held], elsewhere)
        self.finisher.end(job, JobState.SHED, error)

    def _wait_for_space(self, job: AnyJob) -> None:
        """Wait until a job is admitted. Raises `QueueFull` when its patience ends."""
        table, admission = self.table, self.table.admission
        patience = table.limits.patience
        if events._get_running_loop() is not None:  # noqa: SLF001 - asyncio.get_running_loop without its exception
            if patience is not None:
                error = admission.queue_full(job, f"and there was no space within {patience:g} s")
                job.timer = self._timers.call_later(patience, partial(self._shed_waiting, job, error))
            return
        with table.lock:
            if not admission.is_waiting(job):
                return
            space = table.space_signals[job.number] = Signal()
        timer = None if patience is None else self._timers.call_later(patience, space.set)
        try:
            space.wait()
        finally:
            if timer is not None:
                timer.cancel()
            with table.lock:
                table.space_signals.pop(job.number, None)
                withdrawn = admission.withdraw(job)
                if withdrawn:
                    table.refuse(job)
            if withdrawn and job.expiry is not None:
                job.expiry.cancel()
        if withdrawn:
            raise admission.queue_full(job, f"and there was no space within {patience or 0.0:g} s")

    def _shed_waiting(self, job: AnyJob, error: QueueFull) -> None:
        if self.table.admission.is_waiting(job):
            self.finisher.end(job, JobState.SHED, error)

    def make_ready(self, job: AnyJob) -> None:
        """Queue a job, unless the `before_queue` hook keeps it and calls `enqueue` later."""
        if (self._before_queue is None or self._before_queue(job)) and not self.enqueue(job):
            # The job ended after the hook let it through, so it returns its resources.
            job.after_end(JobState.WAITING)

    def enqueue(self, job: AnyJob) -> bool:
        """Queue a waiting job. Return False if it has ended."""
        with self.table.lock:
            if job.state is not JobState.WAITING:
                return False
            request = self._push(job, self.clock.monotonic())
        self.wake(*request)
        return True

    def _push(self, job: AnyJob, now: float) -> WakeRequest:
        """Queue a job and return the worker to wake after the lock is released. The lock is held."""
        self.table.queue(job, now)
        return self.workers.request()

    # Delayed jobs.

    def _set_alarm(self) -> None:
        """Start a timer for the first delayed job. The lock is held."""
        due, alarm = self.table.delayed.due, self._alarm
        if due == math.inf or self.table.terminated or (alarm is not None and alarm[0] <= due):
            return
        # The timers' lock ranks after ours, and setting a timer calls none of our code.
        self._alarm = due, self._timers.call_at(due, self._on_alarm)
        if alarm is not None:
            alarm[1].cancel()

    def _on_alarm(self) -> None:
        direct = self._before_queue is None
        with self.table.lock:
            self._alarm = None
            now = self.clock.monotonic()
            due = self.table.delayed.take_due(now)
            self._set_alarm()
            requests = [self._push(job, now) for job in due] if direct else ()
        for request in requests:
            self.wake(*request)
        if not direct:
            for job in due:
                self.make_ready(job)

    # Services for jobs and engines.

    @contextmanager
    def blocked(self) -> Iterator[None]:
        """Let another worker replace this one while its job waits for other jobs."""
        with self.table.lock:
            self.workers.block(1)
            request = self.workers.request() if len(self.table.ready) else (None, None)
        self.wake(*request)
        try:
            yield
        finally:
            with self.table.lock:
                self.workers.block(-1)

    def count_callback_error(self) -> None:
        """Count a callback that raised."""
        with self.table.lock:
            self.table.callback_errors += 1

    def after_fork_in_child(self) -> None:
        """Stop this copy in a forked process, which does not inherit the workers' threads."""
        self.table.after_fork_in_child()
        self.workers.after_fork_in_child()

    # Workers.

    def balance(self) -> None:
        """Adapt the number of workers and their homes to the load. A timer calls it; safe at any time."""
        table, workers = self.table, self.workers
        with table.lock:
            if self._max_workers is not None:
                most = self._max_workers()
                workers.bounds = Bounds(min(self._bounds.least, most), most)
            before, queued, busy = workers.active, len(table.ready), workers.busy
            wanted = workers.bounds.wanted(before, busy / max(1, before), queued)
            wanted = max(wanted, min(queued, workers.bounds.least))
            added = [worker for _ in range(wanted - before) if (worker := workers.add()) is not None]
            retired = workers.retire(max(before - wanted, 0 if queued else workers.spare()))
            after = workers.active
            if before != after:
                reason = f"{busy} of {before} busy, {queued} queued"
                self.scaling.append(ScalingEvent(self.clock.time(), self.name, before, after, reason))
            workers.assign_homes([table.ready.length(lane) + counts.running for lane, counts in enumerate(table.counts)])
            now = self.clock.monotonic()
            table.retained.trim(now)
            unheard = table.unheard.take(now - _HEARD_WITHIN)
        table.retained.free()
        unheard.log(self.name)
        for worker in retired:
            worker.wakeup.set()
        for worker in added:
            self.wake(None, worker)

    def wake(self, idle: Worker | None, new: Worker | None) -> None:
        """Wake an idle worker or start a new one, as `WorkerTable.request` returned. The lock is not held."""
        if idle is not None:
            idle.wakeup.set()
        if new is not None:
            try:
                needed = len(self.workers.members) <= 1
                new.thread = start_thread(partial(self._work, new), new.name, part=self.name, needed=needed)
            except RuntimeError as error:
                # Another worker takes the job, or the next balance tries again.
                if not isinstance(error, ThreadLimitReached | ProgramEnding):
                    _log.exception("%s: the system cannot start another thread", self.name)
                with self.table.lock:
                    self.workers.remove(new)

    def _work(self, worker: Worker) -> None:
        try:
            count = 0
            while not worker.abandoned:
                if len(self.table.ready) or not self.table.closed:
                    worker.runner.start()
                job = self._take(worker)
                if job is not None:
                    self._attempts.run(worker, job, measured=not count & _SAMPLE)
                    count += 1
                    del job
                    if worker in self.workers.held:
                        with self.table.lock:
                            self.workers.held.discard(worker)
                elif worker.leaving:
                    break
                else:
                    worker.wakeup.wait()
        finally:
            with self.table.lock:
                self.workers.remove(worker)
            worker.runner.close()

    def _take(self, worker: Worker) -> AnyJob | None:
        table = self.table
        acquire_in_turn(table.lock)
        try:
            now = self.clock.monotonic()
            queue_due = table.delayed.due <= now and self._before_queue is None and not worker.leaving
            requests = self._queue_due(now) if queue_due else ()
            job = None if worker.leaving else table.ready.take(worker.home, now, self._full())
            if job is None:
                if not worker.leaving:
                    worker.idle = True
                    self.workers.idle.append(worker)
                return None
            job.state = JobState.RUNNING
            job.worker = worker
            job.started_at = now
            job.tried += 1
            worker.job = job
            table.counts[job.lane].running += 1
            admitted = table.admission.release(job) if job.admitted else ()
        finally:
            table.lock.release()
        for each in admitted:
            self.finisher.queue_admitted(each)
        for request in requests:
            self.wake(*request)
        if job.timeout is not None:
            # Bind the number of the attempt, so that a late timer cannot end the next attempt.
            job.timer = self._timers.call_later(job.timeout, partial(self.finisher.expire, job, job.tried))
        return job

    def _full(self) -> Sequence[int]:
        """Return the lanes of which no further job may run now. The lock is held."""
        if self._lane_most is None:
            return ()
        return [lane for lane, most in enumerate(self._lane_most) if self.table.counts[lane].running >= most]

    def _queue_due(self, now: float) -> list[WakeRequest]:
        """Queue due jobs without waiting for the timers' thread. The calling worker takes the first one."""
        due = self.table.delayed.take_due(now)
        for job in due[:1]:
            self.table.queue(job, now)
        return [self._push(job, now) for job in due[1:]]
