"""One worker of a pool, and what it runs jobs with."""

from __future__ import annotations

from typing import Any, Protocol

from coterie.concurrency import AutoResetEvent, Thread
from coterie.work.jobs.job import CURRENT, Job


class Runner(Protocol):
    """How jobs are run: on the worker's own thread, or in a process beside it. Used by one worker."""

    @property
    def ends(self) -> bool:
        """Whether it can end an attempt that is being made."""
        ...

    def start(self) -> None:
        """Be ready for a job, before one is taken. If that is impossible the next job hears of it."""
        ...

    def run(self, job: Job[Any]) -> Any:
        """Make one attempt at a job, and return its value or raise what it raised."""
        ...

    def end(self, job: Job[Any]) -> None:
        """End the attempt at a job, if that is still being made. From any thread."""
        ...

    def close(self) -> None:
        """Let go of what it holds. The worker has ended, or is about to."""
        ...

    def after_fork_in_child(self) -> None:
        """Be told that this is a copy in a forked process: let go of what it holds, and leave that alone."""
        ...


class ThreadRunner:
    """Runs jobs on the worker's own thread, which nobody can end."""

    __slots__ = ()

    ends = False

    def start(self) -> None:
        """Do nothing."""

    def run(self, job: Job[Any]) -> Any:
        """Make one attempt."""
        CURRENT.job = job
        try:
            return job.perform()
        finally:
            CURRENT.job = None

    def end(self, job: Job[Any]) -> None:
        """Do nothing: it cannot."""

    def close(self) -> None:
        """Do nothing."""

    def after_fork_in_child(self) -> None:
        """Do nothing."""


class Worker:
    """A thread that takes jobs. Its pool's lock guards all of it."""

    __slots__ = ("abandoned", "bell", "home", "idle", "job", "leaving", "name", "runner", "thread")

    def __init__(self, name: str, home: int, runner: Runner) -> None:
        self.name = name
        self.home = home
        self.runner = runner
        self.bell = AutoResetEvent()
        self.job: Job[Any] | None = None
        self.idle = False
        self.leaving = False
        """Whether it is to end once it has nothing in hand."""
        self.abandoned = False
        """Whether it was given up with what it has in hand; another has taken its place."""
        self.thread: Thread | None = None
