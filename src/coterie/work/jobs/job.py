"""One job, from its submission to its one end."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Generic, Protocol, TypeVar, cast

from coterie.concurrency import Completion, Rank, Timer, new_lock
from coterie.errors import InvalidSetting, WaitTimeout
from coterie.kernel import Clock
from coterie.work.jobs.attempt import Attempt
from coterie.work.jobs.call import Call
from coterie.work.jobs.kinds import LEVELS, JobState, Priority
from coterie.work.jobs.retry import Retry

R = TypeVar("R")

_log = logging.getLogger(__name__)


class JobOwner(Protocol):
    """The pool of a job, as the job sees it. Every method is safe from any thread."""

    @property
    def name(self) -> str:
        """The prefix of the ids of its jobs."""
        ...

    @property
    def lanes(self) -> Sequence[str]:
        """The names of its queues."""
        ...

    @property
    def clock(self) -> Clock:
        """The clock of its times."""
        ...

    @property
    def numbers(self) -> Iterator[int]:
        """The source of job numbers."""
        ...

    def cancel(self, job: Job[Any], reason: str) -> bool:
        """Cancel a job; see `Job.cancel`."""
        ...

    def check_wait(self, waiting: Job[Any], awaited: Job[Any]) -> None:
        """Raise `JobWaitCycle` if `waiting` would wait for itself by waiting for `awaited`."""
        ...

    def blocked(self) -> AbstractContextManager[None]:
        """Return a context in which another worker replaces the one of the calling thread."""
        ...

    def count_callback_error(self) -> None:
        """Count a callback that raised."""
        ...


class _Current(threading.local):
    job: Job[Any] | None = None
    ended: Job[Any] | None = None

    @property
    def at_work(self) -> Job[Any] | None:
        """The job that the thread runs, or one that has ended and is calling back on it."""
        return self.job or self.ended


CURRENT = _Current()
"""What each thread is doing."""


def current_job() -> Job[Any] | None:
    """Return the job that the calling thread runs, or None.

    A function that takes long may look at its `cancel_requested` now and then, and raise `JobCancelled`.
    """
    return CURRENT.job


class Job(Completion, Generic[R]):
    """What was submitted, as a future. ``await job`` on any event loop, or block a thread in ``job.result()``.

    It ends once: succeeded, failed, timed out, cancelled or shed. To cancel an await stops only the waiting. Safe from
    any thread; the lock of its pool guards what changes.
    """

    # Below `history`, all belongs to the pool.
    __slots__ = (
        "_error",
        "_history",
        "_value",
        "_waits_for",
        "call",
        "cancel_requested",
        "deadline",
        "expiry",
        "held",
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
        """Where it is worked on now, and where it was submitted, to which its end is counted."""
        self.level = LEVELS[priority]
        self.timeout = timeout
        """Seconds that one attempt may take, from its start."""
        self.deadline = deadline
        """Seconds that all of it may take, from its submission."""
        self.retry = retry
        self.state = JobState.WAITING
        """Where it is; a `JobState`."""
        self.cancel_requested = False
        """Whether somebody wants it to end, though it is running on a thread that cannot be ended."""
        self.submitted_at = self.ready_at = self.started_at = pool.clock.monotonic()
        self.tried = 0
        self.held = False
        """Whether it counts against the bound of its queue: it was taken in, and has not begun."""
        self.worker: object | None = None
        """The worker that runs it. Only the pool knows its type."""
        self.stop_reason: BaseException | None = None
        """Why the process that runs it is being ended."""
        self.timer: Timer | None = None
        self.expiry: Timer | None = None
        self.number = next(pool.numbers)
        self._value: Any = None
        self._error: BaseException | None = None
        self._history: list[Attempt] | None = None
        self._waits_for: Job[Any] | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.name}: {self.state}>"

    @property
    def id(self) -> str:
        """What it is called, unlike any other of its engine."""
        return f"{self.pool.name}-{self.number}"

    @property
    def name(self) -> str:
        """What its function is called."""
        return self.call.name

    @property
    def type(self) -> str:
        """The queue that it belongs to: for the jobs of a `ProcessingEngine` their `TaskType`."""
        return self.pool.lanes[self.lane]

    @property
    def priority(self) -> Priority:
        """How urgent it is."""
        return tuple(Priority)[self.level]

    @property
    def attempts(self) -> int:
        """How often it has been begun."""
        return self.tried

    @property
    def history(self) -> tuple[Attempt, ...]:
        """The attempts that failed, oldest first."""
        return tuple(self._history or ())

    def result(self, timeout: float | None = None) -> R:
        """Block until it has ended and return what its function returned, or raise what it ended with.

        That is what the function raised, or a `WorkError`. Raises `WaitTimeout` after `timeout` seconds of real time;
        the job itself goes on. A job may wait for others of its own pool: another worker takes its place meanwhile;
        `JobWaitCycle` is raised where it would wait for itself.
        """
        if not self._done and not self._block(timeout):
            raise WaitTimeout(repr(self), timeout or 0.0)
        return self._outcome()

    def __await__(self) -> Generator[Any, None, R]:
        if not self._done:
            yield from self.suspend()
        return self._outcome()

    def exception(self) -> BaseException | None:
        """Return what it ended with, if that is an error; None if it succeeded, or has not ended yet."""
        return self._error if self._done else None

    def cancel(self, reason: str = "it was taken back") -> bool:
        """Take it back. Return whether it has ended as cancelled, or is about to.

        What waits or is queued ends at once, and what runs in a process is ended with that. A thread cannot be ended:
        what runs there is asked by `cancel_requested`, is not tried again, and False is returned.
        """
        return self.pool.cancel(self, reason)

    def on_done(self, callback: Callable[[Job[R]], object]) -> None:
        """Have `callback(job)` called once it has ended; at once if it has.

        Called on the thread that brings the end about, so it should be short; to bring the result to an agent it sends
        a message: ``job.on_done(lambda job: ref.tell(Planned(job.result())))``. If it raises, that is logged and counted
        as `callback_errors`, and nobody else notices. What it submits to the job's own full pool is refused, for the
        thread that it would hold up may be the one that is to make room. Raises `InvalidSetting`.
        """
        if not callable(callback):
            raise InvalidSetting("Job.on_done.callback", callback, "something that can be called with the job")

        def call() -> None:
            before, CURRENT.ended = CURRENT.ended, self
            try:
                callback(self)
            except BaseException as error:  # noqa: BLE001 - somebody else's thread; it is logged and counted
                self.pool.count_callback_error()
                _log.error("a callback of %s raised", self, exc_info=error)
            finally:
                CURRENT.ended = before

        self.add_callback(call)

    # For the pool.

    def perform(self) -> Any:
        """Do it once."""
        return self.call.run()

    def advance(self, value: Any) -> bool:  # noqa: ARG002 - for overriding
        """Take the value of an attempt that went well, under the pool's lock. Return whether there is more to do."""
        return False

    def fall_back(self, error: BaseException, delay: float) -> float:  # noqa: ARG002 - for overriding
        """Be told, under the pool's lock, that another attempt follows. Return the seconds until then."""
        return delay

    def left(self, before: JobState) -> None:
        """Be told, without a lock, that it has ended, and where it was before that."""

    def note_failure(self, error: str, now: float) -> None:
        """Remember an attempt that failed."""
        if self._history is None:
            self._history = []
        self._history.append(Attempt(self.tried, self.started_at, now, error))

    def settle(self, state: JobState, value: Any, error: BaseException | None) -> None:
        """Take the end in, under the pool's lock. `announce` follows."""
        self.state = state
        self._value = value
        self._error = error
        self.worker = None

    @property
    def failure(self) -> BaseException | None:
        """What it ended with, also before that was announced."""
        return self._error

    def refuse(self, error: BaseException) -> None:
        """End it without its ever having been taken in. Only those wait for it who were given it meanwhile."""
        self.settle(JobState.SHED, None, error)
        self.announce()

    def announce(self) -> None:
        """Wake those who wait, and call back. Called once, without a lock."""
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
        """End in a forked process, where nobody waits for it and nobody does it. Nothing is called."""
        self._lock = new_lock(Rank.COMPLETION)
        self._callbacks = None
        self.timer = self.expiry = None
        self.settle(JobState.CANCELLED, None, error)
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
            # A callback may be on a worker's thread, and then another has to take its place.
            with CURRENT.ended.pool.blocked():
                return self.wait(timeout)
        waiting.pool.check_wait(waiting, self)
        waiting._waits_for = self  # noqa: SLF001 - one of the same
        try:
            with waiting.pool.blocked():
                return self.wait(timeout)
        finally:
            waiting._waits_for = None  # noqa: SLF001 - as above

    def waits_along(self) -> list[Job[Any]]:
        """Return the jobs of which each waits for the next, this one first."""
        chain: list[Job[Any]] = [self]
        while (following := chain[-1]._waits_for) is not None and following not in chain:  # noqa: SLF001 - as above
            chain.append(following)
        return chain
