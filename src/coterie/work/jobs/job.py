"""One job, from its submission to its one end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextvars import Context
from typing import Any, Protocol, TypeVar, cast

import msgspec

from coterie.concurrency import Rank, Timer, new_lock
from coterie.concurrency.contexts import carried_context
from coterie.kernel import Clock, check_number
from coterie.telemetry import spans
from coterie.work.jobs.call import Call, EndedCall
from coterie.work.jobs.future import CURRENT, FutureOwner, JobFuture
from coterie.work.jobs.kinds import LEVELS, JobState, Priority
from coterie.work.jobs.progress import Progress, check_progress
from coterie.work.jobs.retry import Retry

R_co = TypeVar("R_co", covariant=True)


class JobOwner(FutureOwner, Protocol):
    """The pool of a job, as the job sees it. Every method is safe from any thread."""

    @property
    def name(self) -> str:
        """Return the prefix of the ids of its jobs."""
        ...

    @property
    def lanes(self) -> Sequence[str]:
        """Return the names of its queues."""
        ...

    @property
    def clock(self) -> Clock:
        """Return the clock of its times."""
        ...

    @property
    def numbers(self) -> Iterator[int]:
        """Return the source of job numbers."""
        ...

    def cancel(self, job: Job[Any], reason: str, grace: float = 0.0) -> bool:
        """Cancel a job; see `Job.cancel`."""
        ...


class FailedAttempt(msgspec.Struct, frozen=True, gc=False):
    """One failed attempt at a job. Times are seconds of the monotonic clock."""

    number: int
    started: float
    ended: float
    error: str
    """Type and text of the error."""


def current_job() -> Job[Any] | None:
    """Return the job that the calling thread runs, or None.

    A long function can check its `cancel_requested` now and then, and raise `JobCancelled`; it can call its
    `report_progress`. In a worker process the job has these, `id` and `name` only.
    """
    return cast("Job[Any] | None", CURRENT.job)


class Job(JobFuture[R_co]):
    """A submitted call, as a future. ``await job`` on any event loop, or block a thread in ``job.result()``.

    It ends once: succeeded, failed, timed out, cancelled or shed. Cancelling an await stops only the waiting. Safe from
    any thread; the lock of its pool guards its state.
    """

    # Users call the properties and methods down to `on_done`; the rest is for the pool.
    __slots__ = (
        "_history",
        "admitted",
        "call",
        "cancel_requested",
        "context",
        "deadline",
        "ended_at",
        "expiry",
        "lane",
        "level",
        "number",
        "origin",
        "own_id",
        "progress",
        "ready_at",
        "retry",
        "size",
        "started_at",
        "state",
        "stop_reason",
        "submitted_at",
        "timeout",
        "timer",
        "tried",
        "worker",
    )

    def __init__(
        self,
        pool: JobOwner,
        call: Call,
        lane: int,
        priority: Priority,
        *,
        timeout: float | None,
        deadline: float | None,
        retry: Retry | None,
    ) -> None:
        super().__init__()
        self.pool: JobOwner = pool
        self.call = call
        """Its function and arguments; only their name after the end."""
        self.context: Context | None = carried_context()
        """The context variables of the submitter; None after the end."""
        self.lane = self.origin = lane
        """The current lane, and the lane of the submission, which counts the end."""
        self.level = LEVELS[priority]
        self.timeout = timeout
        """Seconds allowed for one attempt, from its start."""
        self.deadline = deadline
        """Seconds allowed for the whole job, from its submission."""
        self.retry = retry
        self.state = JobState.WAITING
        """The current state; a `JobState`."""
        self.cancel_requested = False
        """True if the job was cancelled while it ran on a thread, which cannot be ended."""
        self.submitted_at = self.ready_at = self.started_at = pool.clock.monotonic()
        self.ended_at: float | None = None
        """Seconds of the monotonic clock; None until the end. `submitted_at` and `started_at` are on the same clock."""
        self.progress: Progress | None = None
        """The progress that its function has reported last; None if it has reported none."""
        self.size = 0
        """About how many bytes its outcome holds."""
        self.tried = 0
        self.admitted = False
        """True while it counts against the capacity of its queue."""
        self.worker: object | None = None
        """The worker that runs it. Only the pool knows its type."""
        self.stop_reason: BaseException | None = None
        """The reason for ending the process that runs it."""
        self.timer: Timer | None = None
        self.expiry: Timer | None = None
        self.number = next(pool.numbers)
        self.own_id: str | None = None
        """The id that its submitter gave it."""
        self._history: list[FailedAttempt] | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.name}: {self.state}>"

    @property
    def id(self) -> str:
        """Return the id, unique in its engine."""
        return self.own_id or f"{self.pool.name}-{self.number}"

    @property
    def label(self) -> str:
        """Return the id and the name for messages."""
        return f"{self.id} {self.name}"

    @property
    def name(self) -> str:
        """Return the name of its function."""
        return self.call.name

    @property
    def type(self) -> str:
        """Return the name of its queue: for jobs of a `ProcessingEngine`, their `TaskType`."""
        return self.pool.lanes[self.lane]

    @property
    def priority(self) -> Priority:
        """Return its priority."""
        return tuple(Priority)[self.level]

    @property
    def attempts(self) -> int:
        """Return the number of attempts so far."""
        return self.tried

    @property
    def history(self) -> tuple[FailedAttempt, ...]:
        """Return the failed attempts, oldest first."""
        return tuple(self._history or ())

    @property
    def duration(self) -> float | None:
        """Return the seconds from the start of the first attempt to the end; None until then, and without an attempt."""
        if self.ended_at is None or not self.tried:
            return None
        return self.ended_at - (self._history[0].started if self._history else self.started_at)

    def cancel(self, reason: str = "the caller cancelled it", *, grace: float = 0.0) -> bool:
        """Cancel the job. Return whether it has ended as cancelled, or is about to.

        A waiting or queued job ends at once; a running process is killed, after `grace` seconds in which its function sees
        `current_job().cancel_requested` and may return. A thread cannot be ended: the job gets `cancel_requested`, is not
        retried, and the method returns False. Raises `InvalidSetting`.
        """
        if grace:
            check_number("cancel.grace", grace)
        return self.pool.cancel(self, reason, grace)

    def report_progress(self, fraction: float, text: str = "") -> None:
        """Report progress from the function of the job: ``current_job().report_progress(0.5, "half of the pages")``.

        `fraction` is from 0 to 1. Callers read it in `job.progress`. Works in processes too. Raises `InvalidSetting`.
        """
        self.progress = check_progress(fraction, text)

    # For the pool.

    def run_attempt(self) -> Any:
        """Make one attempt in a copy of the submitter's context, and return its value. Raises the function's error."""
        context = self.context
        perform = self._perform_in_span if spans.is_tracing() else self.perform
        return perform() if context is None else context.copy().run(perform)

    def _perform_in_span(self) -> Any:
        with spans.span(f"job {self.name}", {"coterie.job": str(self.id)}):
            return self.perform()

    def perform(self) -> Any:
        """Make one attempt, and return the value of the function."""
        return self.call.run()

    def next_stage(self, value: Any) -> bool:  # noqa: ARG002 - for overriding
        """Take the value of a successful attempt. Return whether another stage follows. The pool's lock is held."""
        return False

    def prepare_retry(self, error: BaseException, delay: float) -> float:  # noqa: ARG002 - for overriding
        """Prepare for another attempt. Return the seconds until then. The pool's lock is held."""
        return delay

    def after_end(self, before: JobState) -> None:  # noqa: ARG002 - for overriding
        """Release resources after the end. `before` is the state before it. The pool's lock is not held."""
        self.release()

    def release(self) -> None:
        """Drop the arguments and the context of an ended job."""
        self.call = EndedCall(self.call)
        self.context = None

    def note_failure(self, error: str, now: float) -> None:
        """Record a failed attempt."""
        if self._history is None:
            self._history = []
        self._history.append(FailedAttempt(self.tried, self.started_at, now, error))

    def set_end(self, state: JobState, value: Any, error: BaseException | None) -> None:
        """Set the end. The pool's lock is held; `announce` follows."""
        self.state = state
        self.worker = None
        self.set_outcome(value, error)

    def refuse(self, error: BaseException) -> None:
        """End a job that its pool did not accept. Callers that got it through its key see the error."""
        self.set_end(JobState.SHED, None, error)
        self.announce()

    def announce(self) -> None:
        """Wake all waiting callers and run the callbacks. Called once, without a lock."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if self.expiry is not None:
            self.expiry.cancel()
            self.expiry = None
        self._lock.acquire()
        self._done = True
        self._finish()

    def after_fork_in_child(self, error: BaseException) -> None:
        """End the job in a forked process without running callbacks."""
        self._lock = new_lock(Rank.COMPLETION)
        self._callbacks = None
        self.timer = self.expiry = None
        self.set_end(JobState.CANCELLED, None, error)
        self._done = True
