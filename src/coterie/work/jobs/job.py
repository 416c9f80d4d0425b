"""One job, from its submission to its one end."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Generic, Protocol, TypeVar, cast

import msgspec

from coterie.concurrency import Completion, Rank, Timer, new_lock
from coterie.errors import InvalidSetting, JobWaitCycle, WaitTimeout
from coterie.kernel import Clock
from coterie.work.jobs.call import Call, check_ran, runs_later
from coterie.work.jobs.kinds import LEVELS, JobState, Priority
from coterie.work.jobs.retry import Retry

R = TypeVar("R")

_log = logging.getLogger(__name__)


class JobOwner(Protocol):
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

    def cancel(self, job: Job[Any], reason: str) -> bool:
        """Cancel a job; see `Job.cancel`."""
        ...

    def blocked(self) -> AbstractContextManager[None]:
        """Return a context in which another worker replaces the one of the calling thread."""
        ...

    def count_callback_error(self) -> None:
        """Count a callback that raised."""
        ...


class FailedAttempt(msgspec.Struct, frozen=True, gc=False):
    """One failed attempt at a job. Times are seconds of the monotonic clock."""

    number: int
    started: float
    ended: float
    error: str
    """Type and text of the error."""


class _Current(threading.local):
    job: Job[Any] | None = None
    ended: Job[Any] | None = None

    @property
    def at_work(self) -> Job[Any] | None:
        """The job that the thread runs, or the ended job whose callback it runs."""
        return self.job or self.ended


CURRENT = _Current()
"""The jobs of each thread."""


def current_job() -> Job[Any] | None:
    """Return the job that the calling thread runs, or None.

    A long function can check its `cancel_requested` now and then, and raise `JobCancelled`.
    """
    return CURRENT.job


class Job(Completion, Generic[R]):
    """A submitted call, as a future. ``await job`` on any event loop, or block a thread in ``job.result()``.

    It ends once: succeeded, failed, timed out, cancelled or shed. Cancelling an await stops only the waiting. Safe from
    any thread; the lock of its pool guards its state.
    """

    # Users call the properties and methods down to `on_done`; the rest is for the pool.
    __slots__ = (
        "_error",
        "_history",
        "_value",
        "_waits_for",
        "admitted",
        "call",
        "cancel_requested",
        "deadline",
        "expiry",
        "lane",
        "level",
        "number",
        "origin",
        "pool",
        "ready_at",
        "retry",
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
        self.pool = pool
        self.call = call
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
        self._value: Any = None
        self._error: BaseException | None = None
        self._history: list[FailedAttempt] | None = None
        self._waits_for: Job[Any] | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.name}: {self.state}>"

    @property
    def id(self) -> str:
        """Return the id, unique in its engine."""
        return f"{self.pool.name}-{self.number}"

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

    def result(self, timeout: float | None = None) -> R:
        """Block until the job ends. Return the value of its function, or raise its error.

        The error is that of the function, or a `WorkError`. Raises `WaitTimeout` after `timeout` seconds of real time; the
        job itself goes on. A job may wait for other jobs of its pool: another worker replaces it meanwhile. Raises
        `JobWaitCycle` if the job would wait for itself.
        """
        if not self._done and not self._block(timeout):
            raise WaitTimeout(repr(self), timeout or 0.0)
        return self._outcome()

    def __await__(self) -> Generator[Any, None, R]:
        if not self._done:
            yield from self.suspend()
        return self._outcome()

    def exception(self) -> BaseException | None:
        """Return the error of an ended job; None if it succeeded or has not ended."""
        return self._error if self._done else None

    def cancel(self, reason: str = "the caller cancelled it") -> bool:
        """Cancel the job. Return whether it has ended as cancelled, or is about to.

        A waiting or queued job ends at once; a running process is killed. A thread cannot be ended: the job gets
        `cancel_requested`, is not retried, and the method returns False.
        """
        return self.pool.cancel(self, reason)

    def on_done(self, callback: Callable[[Job[R]], object]) -> None:
        """Call `callback(job)` when the job ends, or at once if it has ended.

        The callback runs on the thread that ends the job, so keep it short. To hand the result to an agent, send a
        message: ``job.on_done(lambda job: ref.tell(Planned(job.result())))``. An error of the callback is logged and
        counted in `callback_errors`. A callback cannot wait for space in its job's own full pool, because its thread may
        be the one that would free it: the submission is refused. Raises `InvalidSetting`.
        """
        if not callable(callback):
            raise InvalidSetting("Job.on_done.callback", callback, "a callable that takes the job")
        need = runs_later(callback)
        if need is not None:
            raise InvalidSetting("Job.on_done.callback", callback, need)

        def call() -> None:
            before, CURRENT.ended = CURRENT.ended, self
            try:
                check_ran(callback, callback(self))
            except BaseException as error:  # noqa: BLE001 - the thread is not the callback's; log and count
                self.pool.count_callback_error()
                _log.error("a callback of %s raised", self, exc_info=error)
            finally:
                CURRENT.ended = before

        self.add_callback(call)

    # For the pool.

    def perform(self) -> Any:
        """Make one attempt, and return the value of the function."""
        return self.call.run()

    def next_stage(self, value: Any) -> bool:  # noqa: ARG002 - for overriding
        """Take the value of a successful attempt. Return whether another stage follows. The pool's lock is held."""
        return False

    def prepare_retry(self, error: BaseException, delay: float) -> float:  # noqa: ARG002 - for overriding
        """Prepare for another attempt. Return the seconds until then. The pool's lock is held."""
        return delay

    def after_end(self, before: JobState) -> None:
        """Release resources after the end. `before` is the state before it. The pool's lock is not held."""

    def note_failure(self, error: str, now: float) -> None:
        """Record a failed attempt."""
        if self._history is None:
            self._history = []
        self._history.append(FailedAttempt(self.tried, self.started_at, now, error))

    def set_end(self, state: JobState, value: Any, error: BaseException | None) -> None:
        """Set the end. The pool's lock is held; `announce` follows."""
        self.state = state
        self._value = value
        self._error = error
        self.worker = None

    @property
    def failure(self) -> BaseException | None:
        """Return the error, also before the end is announced."""
        return self._error

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

    def _outcome(self) -> R:
        if self._error is not None:
            raise self._error
        return cast("R", self._value)

    def _block(self, timeout: float | None) -> bool:
        waiting = CURRENT.job
        if waiting is None:
            if CURRENT.ended is None:
                return self.wait(timeout)
            # The callback may run on a worker's thread, so another worker replaces it.
            with CURRENT.ended.pool.blocked():
                return self.wait(timeout)
        chain = self._wait_chain()
        if waiting in chain:
            names = (f"{each.id} {each.name}" for each in (waiting, *chain[: chain.index(waiting) + 1]))
            raise JobWaitCycle(" -> ".join(names))
        waiting._waits_for = self  # noqa: SLF001 - the same class
        try:
            with waiting.pool.blocked():
                return self.wait(timeout)
        finally:
            waiting._waits_for = None  # noqa: SLF001 - the same class

    def _wait_chain(self) -> list[Job[Any]]:
        """Return the jobs of which each waits for the next, starting with this one."""
        chain: list[Job[Any]] = [self]
        while (following := chain[-1]._waits_for) is not None and following not in chain:  # noqa: SLF001 - the same class
            chain.append(following)
        return chain
