"""Workers, and the jobs that they take."""

from __future__ import annotations

import logging
from asyncio import events
from collections.abc import Callable
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from coterie.concurrency import PeriodicJob, Signal, acquire_in_turn, start_thread
from coterie.errors import JobExited, JobShed, JobWaitCycle, QueueFull
from coterie.kernel import SystemClock
from coterie.work.jobs.kinds import JobState
from coterie.work.pool.bounds import Bounds
from coterie.work.pool.counts import ScalingEvent
from coterie.work.pool.ledger import AnyJob, Called, Ended, Ledger, state_of, text_of
from coterie.work.pool.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Iterator

_log = logging.getLogger(__name__)

_SAMPLE = 15
"""An attempt is measured when the count of attempts before it has none of these bits: one in sixteen."""


class WorkPool(Ledger):
    """Runs jobs of several lanes on workers that move, grow and shrink with the load. For engines, not for users.

    `gate` is asked for each job that is about to be queued, and may keep it and call `enqueue` later. `observe` is given
    the seconds and the processor's seconds of one attempt in sixteen; `most` bounds the workers anew at each balance.
    """

    def __init__(
        self,
        *arguments: Any,
        balance_every: float,
        gate: Callable[[AnyJob], bool] | None = None,
        observe: Callable[[float, float], object] | None = None,
        most: Callable[[], int] | None = None,
        **keywords: Any,
    ) -> None:
        super().__init__(*arguments, **keywords)
        self._gate = gate
        self.gated = gate is not None
        self._observe = observe
        self._most = most
        self._bounds = self.staff.bounds
        """As they were given; those of the staff follow what is measured."""
        self.balancing = PeriodicJob(self.timers, balance_every, self.balance, f"balance of {self.name}")

    # Submission.

    def submit(self, job: AnyJob) -> None:
        """Take a job. Raises `QueueFull` and `WorkStopped`.

        Where it has to wait for room this blocks, but not on the thread of a running event loop: there the job waits by
        itself, and ends with `QueueFull` if there is none in time.
        """
        counts = self.counts[job.origin]
        called: tuple[Worker | None, Worker | None] = (None, None)
        acquire_in_turn(self.lock)
        try:
            if self.closed:
                self.check_open()
            try:
                victim = self.intake.admit(job)
            except QueueFull:
                counts.refused += 1
                raise
            counts.submitted += 1
            self.live[job.number] = job
            straight = job.held and self._gate is None
            if straight:
                called = self.push(job, job.submitted_at)
        finally:
            self.lock.release()
        if job.deadline is not None:
            job.expiry = self.timers.call_later(job.deadline, partial(self.expire, job, None))
        if straight:
            self.wake(*called)
        elif job.held:
            self.make_ready(job)
        if victim is not None:
            self.end(victim, JobState.SHED, JobShed(victim, self.lanes[job.lane], self.limits.capacity))
        elif not job.held and not job.state.ended:
            self._wait_outside(job)

    def _wait_outside(self, job: AnyJob) -> None:
        """Wait until a job that stands before a full queue is taken in; raise `QueueFull` if its patience is over."""
        patience = self.limits.patience
        if events._get_running_loop() is not None:  # noqa: SLF001 - what asyncio.get_running_loop calls, without its exception
            if patience is not None:
                late = self.intake.refusal(job, f"and there was no room within {patience:g} s")
                job.timer = self.timers.call_later(patience, partial(self._give_up_outside, job, late))
            return
        with self.lock:
            if not self.intake.stands_outside(job):
                return
            room = self.rooms[job.number] = Signal()
        timer = None if patience is None else self.timers.call_later(patience, room.set)
        try:
            room.wait()
        finally:
            if timer is not None:
                timer.cancel()
            with self.lock:
                self.rooms.pop(job.number, None)
                withdrawn = self.intake.withdraw(job)
                if withdrawn:
                    self.forget(job)
            if withdrawn and job.expiry is not None:
                job.expiry.cancel()
        if withdrawn:
            raise self.intake.refusal(job, f"and there was no room within {patience or 0.0:g} s")

    def _give_up_outside(self, job: AnyJob, late: QueueFull) -> None:
        if self.intake.stands_outside(job):
            self.end(job, JobState.SHED, late)

    def make_ready(self, job: AnyJob) -> None:
        """Queue a job whose time has come, unless the gate keeps it, which then calls `enqueue`."""
        if (self._gate is None or self._gate(job)) and not self.enqueue(job):
            # It has ended while it was let through; what it was given there goes back.
            job.left(JobState.WAITING)

    def enqueue(self, job: AnyJob) -> bool:
        """Queue a job that waits. Return False if it has ended meanwhile."""
        with self.lock:
            if job.state is not JobState.WAITING:
                return False
            called = self.push(job, self.clock.monotonic())
        self.wake(*called)
        return True

    def check_wait(self, waiting: AnyJob, awaited: AnyJob) -> None:
        """See that a job may wait for another. Raises `JobWaitCycle`."""
        chain = awaited.waits_along()
        if waiting in chain:
            names = (f"{each.id} {each.name}" for each in (waiting, *chain[: chain.index(waiting) + 1]))
            raise JobWaitCycle(" -> ".join(names))

    @contextmanager
    def blocked(self) -> Iterator[None]:
        """Have another worker take this one's place while its job waits for others."""
        with self.lock:
            self.staff.blocked += 1
            called = self.staff.call() if len(self.ready) else (None, None)
        self.wake(*called)
        try:
            yield
        finally:
            with self.lock:
                self.staff.blocked -= 1

    # Workers.

    def balance(self) -> None:
        """Have the number of workers, and their homes, follow the load. Done by a timer; harmless at any time."""
        with self.lock:
            staff = self.staff
            if self._most is not None:
                most = self._most()
                staff.bounds = Bounds(min(self._bounds.least, most), most)
            before, queued, busy = staff.active, len(self.ready), staff.busy
            wanted = max(staff.bounds.wanted(before, busy / max(1, before), queued), min(queued, staff.bounds.least))
            hired = [staff.hire() for _ in range(wanted - before)]
            dismissed = staff.dismiss(before - wanted)
            after = staff.active
            if before != after:
                reason = f"{busy} of {before} busy, {queued} queued"
                self.scaling.append(ScalingEvent(self.clock.time(), self.name, before, after, reason))
            staff.rehome([self.ready.length(lane) + counts.running for lane, counts in enumerate(self.counts)])
            self.kept.trim(self.clock.monotonic())
        for worker in dismissed:
            worker.bell.set()
        for worker in hired:
            self.wake(None, worker)

    def wake(self, idle: Worker | None, hired: Worker | None) -> None:
        """Ring for a worker, or start one, as `Staff.call` has said. No lock is held."""
        if idle is not None:
            idle.bell.set()
        if hired is not None:
            try:
                hired.thread = start_thread(partial(self._work, hired), hired.name)
            except RuntimeError:
                # Others get to the job, or the next balance tries again.
                _log.exception("%s: the system has no thread to give", self.name)
                with self.lock:
                    self.staff.remove(hired)

    def _work(self, worker: Worker) -> None:
        try:
            count = 0
            while not worker.abandoned:
                worker.runner.start()
                job = self._take(worker)
                if job is not None:
                    self._attempt(worker, job, measured=not count & _SAMPLE)
                    count += 1
                    del job
                elif worker.leaving:
                    break
                else:
                    worker.bell.wait()
        finally:
            with self.lock:
                self.staff.remove(worker)
            worker.runner.close()

    def _take(self, worker: Worker) -> AnyJob | None:
        acquire_in_turn(self.lock)
        try:
            now = self.clock.monotonic()
            called = self._queue_due(now) if self.delayed.due <= now and not self.gated and not worker.leaving else ()
            job = None if worker.leaving else self.ready.take(worker.home, now)
            if job is None:
                if not worker.leaving:
                    worker.idle = True
                    self.staff.idle.append(worker)
                return None
            job.state = JobState.RUNNING
            job.worker = worker
            job.started_at = now
            job.tried += 1
            worker.job = job
            self.counts[job.lane].running += 1
            admitted = self.intake.release(job) if job.held else ()
        finally:
            self.lock.release()
        for each in admitted:
            self.let_in(each)
        for some in called:
            self.wake(*some)
        if job.timeout is not None:
            # A method of the job alone would not know which attempt it is about.
            job.timer = self.timers.call_later(job.timeout, partial(self.expire, job, job.tried))
        return job

    def _queue_due(self, now: float) -> list[Called]:
        """Queue what is due, without waiting for the timers' thread to have its turn; one is for who calls this."""
        due = self.delayed.take_due(now)
        for job in due[:1]:
            self.put(job, now)
        return [self.push(job, now) for job in due[1:]]

    def _attempt(self, worker: Worker, job: AnyJob, *, measured: bool) -> None:
        observe = self._observe if measured else None
        began = SystemClock.thread() if observe is not None else 0.0
        value: Any = None
        error: BaseException | None = None
        try:
            value = worker.runner.run(job)
        except Exception as raised:  # noqa: BLE001 - whatever it is belongs to the one who waits
            error = raised
        except BaseException as raised:  # noqa: BLE001 - the same, but it must not end whoever waits
            error = JobExited(f"{job.id} {job.name}", raised)
            error.__cause__ = raised
        if observe is not None:
            observe(self.clock.monotonic() - job.started_at, SystemClock.thread() - began)
        self._attempt_over(worker, job, value, error)

    def _attempt_over(self, worker: Worker, job: AnyJob, value: Any, error: BaseException | None) -> None:
        timer, job.timer = job.timer, None
        if timer is not None:
            timer.cancel()
        text = "" if error is None else text_of(error)
        first = again = False
        ended: Ended | None = None
        acquire_in_turn(self.lock)
        try:
            worker.job = None
            if job.worker is not worker:
                self.late += 1
                return
            now = self.clock.monotonic()
            counts = self.counts[job.lane]
            counts.measure(job.started_at - job.ready_at, now - job.started_at)
            reason, job.stop_reason = job.stop_reason, None
            if reason is not None:
                error, text = reason, str(reason)
            if error is not None:
                ended, delay = self._failed(job, reason, error, text, now)
                again = ended is None and delay <= 0
                first = ended is None and delay > 0 and self.delayed.add(now + delay, job)
            elif job.advance(value):
                again = True
                self.set_waiting(job, counts)
            else:
                ended = self.settle(job, JobState.SUCCEEDED, value, None, now)
        finally:
            self.lock.release()
        if ended is not None:
            self.announce(job, *ended)
        elif again:
            self.make_ready(job)
        elif first:
            self.set_alarm()

    def _failed(
        self, job: AnyJob, reason: BaseException | None, error: BaseException, text: str, now: float
    ) -> tuple[Ended | None, float]:
        """Take in that an attempt failed: return its end, or the seconds until the next attempt. The lock is held."""
        job.note_failure(text, now)
        delay = self.retry_delay(job, error)
        if delay is None:
            return self.settle(job, state_of(job, reason, error), None, error, now), 0.0
        counts = self.counts[job.lane]
        counts.retries += 1
        delay = job.fall_back(error, delay)
        self.set_waiting(job, counts)
        return None, delay
