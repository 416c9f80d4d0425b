"""Ends that do not come from the function of a job: cancellation, timeouts, abandoned workers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from coterie.errors import JobCancelled, JobTimeout
from coterie.work.jobs.kinds import JobState
from coterie.work.pool.queues import AnyJob
from coterie.work.pool.table import JobTable
from coterie.work.pool.workers import Worker, WorkerTable


class JobFinisher:
    """Ends the jobs of a pool and announces ends. Safe from any thread; the caller must not hold the table's lock.

    Args:
        table: The jobs of the pool.
        workers: The workers of the pool.
        make_ready: Queues a job that was admitted in place of another.
        wake: Wakes an idle worker or starts a new one.
        call_later: Calls a function after a number of seconds.
    """

    def __init__(
        self,
        table: JobTable,
        workers: WorkerTable,
        *,
        make_ready: Callable[[AnyJob], None],
        wake: Callable[[Worker | None, Worker | None], None],
        call_later: Callable[[float, Callable[[], object]], object],
    ) -> None:
        self._table = table
        self._workers = workers
        self._make_ready = make_ready
        self._wake = wake
        self._call_later = call_later

    def announce(self, job: AnyJob, before: JobState, admitted: Sequence[AnyJob]) -> None:
        """Notify all callers that wait for an ended job, and queue the jobs that were admitted in its place."""
        table = self._table
        space = table.space_signals.get(job.number)
        if space is not None:
            space.set()
        table.retained.free()
        job.after_end(before)
        job.announce()
        for each in admitted:
            self.queue_admitted(each)
        if table.empty_signals and not table.live:
            with table.lock:
                signals, table.empty_signals = table.empty_signals, []
            for signal in signals:
                signal.set()

    def queue_admitted(self, job: AnyJob) -> None:
        """Queue a job that has waited for space."""
        timer, job.timer = job.timer, None
        if timer is not None:
            timer.cancel()
        space = self._table.space_signals.get(job.number)
        if space is not None:
            space.set()
        self._make_ready(job)

    def end(self, job: AnyJob, state: JobState, error: BaseException) -> bool:
        """End a job that is not running. Return False if it is running or has ended."""
        with self._table.lock:
            if job.state is JobState.RUNNING or job.state.ended:
                return False
            ended = self._table.set_end(job, state, None, error)
        self.announce(job, *ended)
        return True

    def cancel(self, job: AnyJob, reason: str, grace: float = 0.0) -> bool:
        """Cancel a job; see `Job.cancel`."""
        error = JobCancelled(job.label, reason)
        return self.end(job, JobState.CANCELLED, error) or self._end_running(job, error, grace=grace) is True

    def expire(self, job: AnyJob, attempt: int | None) -> None:
        """End a job after its deadline, or, given `attempt`, that attempt after its timeout."""
        whole = attempt is None
        seconds = (job.deadline if whole else job.timeout) or 0.0
        named = job.label
        what = "its deadline" if whole else "its timeout"
        if whole and self.end(job, JobState.TIMED_OUT, JobTimeout(named, seconds, ended=True, what=what)):
            return
        if not whole and job.tried != attempt:
            return
        if self._end_running(job, JobTimeout(named, seconds, ended=True, what=what), attempt) is False:
            self.abandon(job, JobState.TIMED_OUT, JobTimeout(named, seconds, ended=False, what=what), attempt)

    def abandon(self, job: AnyJob, state: JobState, error: BaseException, attempt: int | None = None) -> bool:
        """End a job whose thread cannot be ended, and abandon its worker. Return False if it no longer runs."""
        table = self._table
        with table.lock:
            worker = job.worker
            if (
                job.state is not JobState.RUNNING
                or not isinstance(worker, Worker)
                or (attempt is not None and job.tried != attempt)
            ):
                return False
            # At a stop no more workers are needed.
            self._workers.abandon(worker, always=table.closed)
            ended = table.set_end(job, state, None, error)
            request = self._workers.request() if len(table.ready) else (None, None)
        self._wake(*request)
        self.announce(job, *ended)
        return True

    def _end_running(
        self, job: AnyJob, error: JobCancelled | JobTimeout, attempt: int | None = None, *, grace: float = 0.0
    ) -> bool | None:
        """End the process that runs a job. Return False if a thread runs it, and None if it does not run.

        With `grace`, the function has that many seconds to end by itself.
        """
        with self._table.lock:
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
        if grace and worker.runner.request_cancel(job):
            self._call_later(grace, partial(worker.runner.end, job))
        else:
            worker.runner.end(job)
        return cancelled or None
