"""The future of a job: waiting for its end, its result or error, and callbacks."""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar, cast

from coterie.concurrency import Completion
from coterie.concurrency.contexts import carried_context
from coterie.errors import InvalidSetting, JobWaitCycle, WaitTimeout
from coterie.work.jobs.call import check_ran, runs_later

R_co = TypeVar("R_co", covariant=True)

_log = logging.getLogger(__name__)


_FOREIGN = frozenset(
    (
        "_condition",
        "_state",
        "_waiters",
        "cancelled",
        "get_loop",
        "remove_done_callback",
        "running",
        "set_exception",
        "set_result",
    )
)
"""What the futures of the standard library have, and jobs do not."""


class _Answer(int):
    """A truth value that can also be called, and returns itself as a bool then."""

    def __call__(self) -> bool:
        return bool(self)

    def __repr__(self) -> str:
        return repr(bool(self))


_DONE = _Answer(1)
_NOT_DONE = _Answer(0)


class FutureOwner(Protocol):
    """The pool of a job, as its future sees it. Every method is safe from any thread."""

    def blocked(self) -> AbstractContextManager[None]:
        """Return a context in which another worker replaces the one of the calling thread."""
        ...

    def count_callback_error(self) -> None:
        """Count a callback that raised."""
        ...


class _Current(threading.local):
    job: JobFuture[Any] | None = None
    ended: JobFuture[Any] | None = None

    @property
    def at_work(self) -> JobFuture[Any] | None:
        """The job that the thread runs, or the ended job whose callback it runs."""
        return self.job or self.ended


CURRENT = _Current()
"""The jobs of each thread."""


def replaced_worker() -> AbstractContextManager[None]:
    """Return a context in which another worker replaces the one of the calling thread, if it runs a job or a callback."""
    at_work = CURRENT.at_work
    return nullcontext() if at_work is None else at_work.pool.blocked()


class JobFuture(Completion, ABC, Generic[R_co]):
    """The waiting side of a job. ``await job`` on any event loop, or block a thread in ``job.result()``."""

    __slots__ = ("_error", "_trace", "_value", "_waits_for", "heard", "pool")

    pool: FutureOwner

    def __init__(self) -> None:
        super().__init__()
        self.heard = False
        """True if a caller has the outcome or waits for it."""
        self._value: Any = None
        self._error: BaseException | None = None
        self._trace: TracebackType | None = None
        """The traceback of the error, without the frames of its readers."""
        self._waits_for: JobFuture[Any] | None = None

    @property
    def done(self) -> bool:
        """True once the job has ended. ``job.done()``, as of the futures of the standard library, answers the same."""
        return cast("bool", _DONE if self._done else _NOT_DONE)

    @property
    def waits(self) -> bool:
        """Return whether its function waits for another job."""
        return self._waits_for is not None

    @property
    @abstractmethod
    def label(self) -> str:
        """Return the id and the name of the job for messages."""

    def result(self, timeout: float | None = None) -> R_co:
        """Block until the job ends. Return the value of its function, or raise its error.

        The error is that of the function, or a `WorkError`. Raises `WaitTimeout` after `timeout` seconds of real time; the
        job itself goes on. A job may wait for other jobs of its pool: another worker replaces it meanwhile. Raises
        `JobWaitCycle` if the job would wait for itself.
        """
        self._await_end(timeout)
        return self._outcome()

    def __await__(self) -> Generator[Any, None, R_co]:
        if not self._done:
            before, self.heard = self.heard, True
            try:
                yield from self.suspend()
            except BaseException:
                self.heard = before or self._done
                raise
        return self._outcome()

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Block until the job ends, as `result` does. Return its error, or None if it succeeded."""
        self._await_end(timeout)
        return None if self._error is None else BaseException.with_traceback(self._error, self._trace)

    def on_done(self, callback: Callable[[Self], object]) -> None:
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
        context = carried_context()
        self.heard = True

        def call() -> None:
            before, CURRENT.ended = CURRENT.ended, self
            try:
                check_ran(callback, context.run(callback, self))
            except BaseException as error:  # noqa: BLE001 - the thread is not the callback's; log and count
                self.pool.count_callback_error()
                _log.error("a callback of %s raised", self, exc_info=error)
            finally:
                CURRENT.ended = before

        self.add_callback(call)

    def add_done_callback(self, callback: Callable[[Self], object]) -> None:
        """Do the same as `on_done`, under the name that the futures of the standard library use."""
        self.on_done(callback)

    def future(self) -> Future[R_co]:
        """Return a future of `concurrent.futures` with the same outcome. Cancelling it does not cancel the job."""
        future: Future[R_co] = Future()
        future.set_running_or_notify_cancel()

        def settle(_: object) -> None:
            if self._error is not None:
                future.set_exception(self._error)
            else:
                future.set_result(self._value)

        self.on_done(settle)
        return future

    def __getattr__(self, name: str) -> Any:
        if name in _FOREIGN:
            raise AttributeError(
                f"a job has no {name}: it is not a future of concurrent.futures or asyncio. Await it, or use result(), "
                "state, on_done(), coterie.work.wait() and as_completed(); job.future() is one of concurrent.futures"
            )
        return object.__getattribute__(self, name)

    @property
    def failure(self) -> BaseException | None:
        """Return the error, also before the end is announced."""
        return self._error

    def set_outcome(self, value: Any, error: BaseException | None) -> None:
        """Set the value or the error. `_done` follows."""
        self._value = value
        self._error = error
        if error is not None:
            self._trace = error.__traceback__

    def _await_end(self, timeout: float | None) -> None:
        before, self.heard = self.heard, True
        if not self._done and not self._block(timeout):
            self.heard = before or self._done
            raise WaitTimeout(repr(self), timeout or 0.0)

    def _outcome(self) -> R_co:
        self.heard = True
        if self._error is not None:
            # Without the frames of earlier readers, which would grow with each.
            raise BaseException.with_traceback(self._error, self._trace)
        return cast("R_co", self._value)

    def check_cycle(self) -> None:
        """Raise `JobWaitCycle` if the job that the calling thread runs would wait for itself."""
        waiting = CURRENT.job
        chain = self._wait_chain() if waiting is not None else []
        if waiting is not None and waiting in chain:
            names = (each.label for each in (waiting, *chain[: chain.index(waiting) + 1]))
            raise JobWaitCycle(" -> ".join(names))

    def _block(self, timeout: float | None) -> bool:
        waiting = CURRENT.job
        if waiting is None:
            with replaced_worker():
                return self.wait(timeout)
        self.check_cycle()
        waiting._waits_for = self  # noqa: SLF001 - the same class
        try:
            with replaced_worker():
                return self.wait(timeout)
        finally:
            waiting._waits_for = None  # noqa: SLF001 - the same class

    def _wait_chain(self) -> list[JobFuture[Any]]:
        """Return the jobs of which each waits for the next, starting with this one."""
        chain: list[JobFuture[Any]] = [self]
        while (following := chain[-1]._waits_for) is not None and following not in chain:  # noqa: SLF001 - the same class
            chain.append(following)
        return chain
