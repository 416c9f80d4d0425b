"""Waiting for several jobs."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Generic, NamedTuple, TypeVar

from coterie.concurrency import Signal
from coterie.errors import WaitTimeout
from coterie.kernel import Countdown, check_number, choice
from coterie.work.jobs.future import replaced_worker
from coterie.work.jobs.job import Job
from coterie.work.jobs.kinds import JobState, WaitFor

R = TypeVar("R")


class WaitResult(NamedTuple, Generic[R]):
    """The jobs that have ended, and the others, each in the order given."""

    done: tuple[Job[R], ...]
    pending: tuple[Job[R], ...]


def wait(jobs: Iterable[Job[R]], *, timeout: float | None = None, until: WaitFor | str = WaitFor.ALL) -> WaitResult[R]:
    """Block until all jobs have ended, or the first one has, or the first one has failed. Raises no error of a job.

    After `timeout` seconds of real time it returns the current result. On an event loop, use `as_completed` with ``async for``.
    """
    check_number("wait.timeout", timeout, optional=True)
    until = choice("wait.until", until, WaitFor)
    ordered = tuple(jobs)
    countdown = Countdown(timeout)
    while True:
        signal = Signal()
        pending = [job for job in ordered if not job.done]
        ended = len(pending) < len(ordered)
        failed = any(job.done and job.state is not JobState.SUCCEEDED for job in ordered)
        enough = (until is WaitFor.FIRST and ended) or (until is WaitFor.ERROR and failed)
        if not pending or enough or countdown.left() == 0:
            return WaitResult(tuple(job for job in ordered if job.done), tuple(job for job in ordered if not job.done))
        ring = signal.set
        for job in pending:
            job.check_cycle()
            job.add_callback(ring)
        try:
            with replaced_worker():
                signal.wait(countdown.left())
        finally:
            for job in pending:
                job.remove_callback(ring)


class as_completed(Generic[R]):  # noqa: N801 - used like a function, as in concurrent.futures
    """Iterate over jobs in the order of their ends: with ``for`` on a thread, or ``async for`` on an event loop.

    Raises `WaitTimeout` when a job has not ended `timeout` seconds of real time after the iteration began.
    """

    def __init__(self, jobs: Iterable[Job[R]], *, timeout: float | None = None) -> None:
        check_number("as_completed.timeout", timeout, optional=True)
        self._jobs = tuple(dict.fromkeys(jobs))
        self._timeout = timeout

    def __iter__(self) -> Iterator[Job[R]]:
        for job in self._jobs:
            job.check_cycle()
        ends = _Ends(self._jobs)
        countdown = Countdown(self._timeout)
        for _ in self._jobs:
            while not ends.ready:
                with replaced_worker():
                    if not ends.signal.wait(countdown.left()) and not ends.ready:
                        raise WaitTimeout("the next job", self._timeout or 0.0)
                ends.renew()
            yield ends.ready.popleft()

    async def __aiter__(self) -> AsyncIterator[Job[R]]:
        ends = _Ends(self._jobs)
        deadline = None if self._timeout is None else asyncio.get_running_loop().time() + self._timeout
        for _ in self._jobs:
            while not ends.ready:
                try:
                    async with asyncio.timeout_at(deadline):
                        await ends.signal
                except TimeoutError:
                    raise WaitTimeout("the next job", self._timeout or 0.0) from None
                ends.renew()
            yield ends.ready.popleft()


class _Ends(Generic[R]):
    """The jobs that have ended, in order, and a signal for the next one. Appending and assigning are atomic."""

    def __init__(self, jobs: Iterable[Job[R]]) -> None:
        self.ready: deque[Job[R]] = deque()
        self.signal = Signal()
        for job in jobs:
            job.on_done(self._add)

    def _add(self, job: Job[R]) -> None:
        self.ready.append(job)
        self.signal.set()

    def renew(self) -> None:
        """Make a new signal if the jobs of the last one have been taken."""
        self.signal = Signal()
        if self.ready:
            self.signal.set()
