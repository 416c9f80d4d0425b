"""One attempt at a job on a worker, and the step after it: an end, a retry or the next stage."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from coterie.concurrency.forks import end_forked_copy
from coterie.concurrency.locks import acquire_in_turn
from coterie.errors import JobExited, JobRaised, describe
from coterie.kernel import SystemClock
from coterie.work.jobs.kinds import JobState
from coterie.work.jobs.sizes import size_of
from coterie.work.jobs.tracebacks import release_frames
from coterie.work.pool.finishing import JobFinisher
from coterie.work.pool.queues import AnyJob
from coterie.work.pool.table import Ended, JobTable, end_state
from coterie.work.pool.workers import Worker

_log = logging.getLogger(__name__)


def _readable(job: AnyJob, error: BaseException) -> BaseException:
    """Return an error without the variables of its frames, or one that stands in for it if its own code prevents that."""
    try:
        release_frames(error)
        # The callers and the records read it.
        _ = error.args, error.__traceback__
    except Exception as fault:  # noqa: BLE001 - the job ends all the same, and the callers hear of it
        return JobRaised(job.label, f"a {type(error).__qualname__}, whose attributes cannot be read: {describe(fault)}")
    return error


def _size_of(job: AnyJob, outcome: object) -> int:
    """Return about how many bytes an outcome holds; 0 if its own code prevents that."""
    try:
        return size_of(outcome)
    except Exception:  # noqa: BLE001 - it is an estimate, and the job ends all the same
        _log.warning("the size of the outcome of %s cannot be read", job.label, exc_info=True)
        return 0


class JobAttempts:
    """Runs the attempts of one pool. Called by its workers; the caller must not hold the table's lock.

    Args:
        table: The jobs of the pool.
        finisher: Announces ends.
        make_ready: Queues a job again.
        set_alarm: Starts a timer for the first delayed job. Called with the lock held.
        observe: Called with the elapsed seconds and the processor seconds of a measured attempt.
    """

    def __init__(
        self,
        table: JobTable,
        finisher: JobFinisher,
        *,
        make_ready: Callable[[AnyJob], None],
        set_alarm: Callable[[], None],
        observe: Callable[[float, float], object] | None,
    ) -> None:
        self._table = table
        self._finisher = finisher
        self._make_ready = make_ready
        self._set_alarm = set_alarm
        self._observe = observe

    def run(self, worker: Worker, job: AnyJob, *, measured: bool) -> None:
        """Make one attempt at a job that the worker has taken."""
        observe = self._observe if measured else None
        began = SystemClock.thread() if observe is not None else 0.0
        value: Any = None
        error: BaseException | None = None
        try:
            value = worker.runner.run(job)
        except BaseException as raised:  # noqa: BLE001 - every error belongs to the callers that wait
            error = raised
        if self._table.forked:
            # The function has forked, and this is the copy: the worker's loop belongs to the parent.
            end_forked_copy(error)
        if error is not None and not isinstance(error, Exception):
            exited = JobExited(job.label, error)
            exited.__cause__ = error
            error = exited
        if observe is not None:
            observe(self._table.clock.monotonic() - job.started_at, SystemClock.thread() - began)
        self._end(worker, job, value, error)

    def _end(self, worker: Worker, job: AnyJob, value: Any, error: BaseException | None) -> None:
        timer, job.timer = job.timer, None
        if timer is not None:
            timer.cancel()
        if error is not None:
            error = _readable(job, error)
        text = "" if error is None else describe(error)
        job.size = _size_of(job, value if error is None else error)
        again = False
        ended: Ended | None = None
        table = self._table
        reason, delay = self._decide(job, error)
        try:
            worker.job = None
            now = table.clock.monotonic()
            worker.attempts += 1
            if job.worker is not worker:
                table.late += 1
                return
            worker.worked += now - job.started_at
            counts = table.counts[job.lane]
            counts.measure(job.started_at - job.ready_at, now - job.started_at)
            job.stop_reason = None
            if reason is not None:
                error, text = reason, str(reason)
            if error is not None:
                ended, delay = self._failed(job, reason, error, text, now, delay)
                again = ended is None and delay <= 0
                if ended is None and delay > 0 and table.delayed.add(now + delay, job):
                    self._set_alarm()
            elif job.next_stage(value):
                again = True
                table.set_waiting(job, counts)
            else:
                ended = table.set_end(job, JobState.SUCCEEDED, value, None, now)
        finally:
            table.lock.release()
        if ended is not None:
            self._finisher.announce(job, *ended)
        elif again:
            self._make_ready(job)

    def _decide(self, job: AnyJob, error: BaseException | None) -> tuple[BaseException | None, float | None]:
        """Return the reason for which the attempt was ended, and the seconds until the next one. Takes the lock.

        The rules of a `Retry` are code of the user, so they run without the lock.
        """
        while True:
            reason = job.stop_reason
            failure = reason or error
            delay = None if failure is None else self._table.retry_delay(job, failure)
            acquire_in_turn(self._table.lock)
            if job.stop_reason is reason:
                return reason, delay
            self._table.lock.release()

    def _failed(
        self, job: AnyJob, reason: BaseException | None, error: BaseException, text: str, now: float, delay: float | None
    ) -> tuple[Ended | None, float]:
        """Record a failed attempt. Return the end, or the seconds until the next attempt. The lock is held."""
        job.note_failure(text, now)
        table = self._table
        if delay is None or job.cancel_requested or table.retries_stopped:
            return table.set_end(job, end_state(job, reason, error), None, error, now), 0.0
        counts = table.counts[job.lane]
        counts.retries += 1
        delay = job.prepare_retry(error, delay)
        table.set_waiting(job, counts)
        return None, delay
