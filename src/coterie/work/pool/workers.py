"""The workers of a pool, their table, and the protocol by which a worker runs jobs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

from coterie.concurrency import AutoResetEvent, Thread
from coterie.concurrency.budget import BudgetShare
from coterie.kernel import Clock
from coterie.work.jobs.future import CURRENT
from coterie.work.jobs.job import Job
from coterie.work.pool.settings import Bounds


class JobRunner(Protocol):
    """Runs jobs for one worker: on its own thread, or in a process beside it."""

    @property
    def ends(self) -> bool:
        """Return whether it can end a running attempt."""
        ...

    @property
    def pid(self) -> int | None:
        """Return the id of its process, or None."""
        ...

    def start(self) -> None:
        """Prepare for a job before the worker takes one. If this fails, the next job fails with the reason."""
        ...

    def run(self, job: Job[Any]) -> Any:
        """Make one attempt at a job. Return its value or raise its error."""
        ...

    def request_cancel(self, job: Job[Any]) -> bool:
        """Let the function of a running job see that it was cancelled. Return whether it can. Safe from any thread."""
        ...

    def end(self, job: Job[Any]) -> None:
        """End the attempt at a job if it still runs. Safe from any thread."""
        ...

    def close(self) -> None:
        """Release all resources. Called when the worker ends."""
        ...

    def after_fork_in_child(self) -> None:
        """Drop the parent's resources in a forked process without touching their state."""
        ...


class ThreadRunner:
    """Runs jobs on the worker's own thread, which cannot be ended."""

    __slots__ = ()

    ends = False
    pid = None

    def start(self) -> None:
        """Do nothing."""

    def run(self, job: Job[Any]) -> Any:
        """Make one attempt at a job. Return its value or raise its error."""
        CURRENT.job = job
        try:
            return job.run_attempt()
        finally:
            CURRENT.job = None

    def request_cancel(self, job: Job[Any]) -> bool:  # noqa: ARG002 - as JobRunner has it
        """Do nothing: the job itself has the request."""
        return False

    def end(self, job: Job[Any]) -> None:
        """Do nothing: a thread cannot be ended."""

    def close(self) -> None:
        """Do nothing."""

    def after_fork_in_child(self) -> None:
        """Do nothing."""


class Worker:
    """A thread that takes jobs. The pool's lock guards all fields."""

    __slots__ = (
        "abandoned",
        "attempts",
        "born",
        "home",
        "idle",
        "job",
        "leaving",
        "name",
        "runner",
        "thread",
        "wakeup",
        "worked",
    )

    def __init__(self, name: str, home: int, runner: JobRunner, now: float) -> None:
        self.name = name
        self.home = home
        """The lane that it serves first."""
        self.runner = runner
        self.wakeup = AutoResetEvent()
        self.job: Job[Any] | None = None
        self.idle = False
        self.leaving = False
        """True if it ends after its current job."""
        self.abandoned = False
        """True if its job does not end; another worker has replaced it."""
        self.thread: Thread | None = None
        self.born = now
        """Seconds of the monotonic clock."""
        self.attempts = 0
        self.worked = 0.0
        """Seconds for which it has run jobs that have ended."""


WakeRequest: TypeAlias = tuple[Worker | None, Worker | None]
"""An idle worker to wake, and a new worker to start; at most one of them."""


class WorkerTable:
    """The workers of a pool. The pool's lock guards it; `members`, `busy` and `idle` may be read without it.

    No method starts a thread or wakes a worker: the pool does that with the returned workers, without its lock.
    """

    def __init__(
        self,
        name: str,
        lanes: int,
        bounds: Bounds,
        make_runner: Callable[[], JobRunner],
        clock: Clock,
        share: BudgetShare,
        max_abandoned: int,
    ) -> None:
        self.bounds = bounds
        self.share = share
        """Its share of the threads of the process."""
        self.max_abandoned = max_abandoned
        """Threads that functions of all pools may hold after their jobs have ended."""
        self.held: set[Worker] = set()
        """Members whose jobs do not end, and which were not abandoned because too many are."""
        self.members: list[Worker] = []
        self.idle: list[Worker] = []
        self.blocked = 0
        """Workers whose jobs wait for other jobs; other workers replace them meanwhile."""
        self.abandoned: list[Worker] = []
        """Workers whose jobs do not end."""
        self._name = name
        self._lanes = lanes
        self._make_runner = make_runner
        self._numbers = itertools.count(1)
        self._clock = clock

    @property
    def busy(self) -> int:
        """Return the number of workers that run a job and do not wait for another."""
        return max(0, sum(worker.job is not None for worker in self.members.copy()) - self.blocked)

    @property
    def active(self) -> int:
        """Return the number of workers that do not wait for other jobs."""
        return len(self.members) - self.blocked

    def request(self) -> WakeRequest:
        """Return a worker for a ready job: an idle one to wake, or a new one to start, or neither."""
        if self.idle:
            worker = self.idle.pop()
            worker.idle = False
            return worker, None
        return None, self.add() if self.active < self.bounds.least else None

    def add(self) -> Worker | None:
        """Return a new worker, whose thread the pool starts; None if the threads of the process are used up."""
        most = self.bounds.most
        if not self.share.budget.take(self.share, most, max(most, 2 * self.max_abandoned)):
            return None
        number = next(self._numbers)
        worker = Worker(f"{self._name}-{number}", (number - 1) % self._lanes, self._make_runner(), self._clock.monotonic())
        self.members.append(worker)
        return worker

    def retire(self, count: int) -> list[Worker]:
        """Remove and return up to `count` idle workers, the longest idle first; the pool wakes them so that they end."""
        leaving, self.idle = self.idle[:count], self.idle[count:]
        for worker in leaving:
            worker.leaving = True
            worker.idle = False
            self._forget(worker)
        return leaving

    def spare(self) -> int:
        """Return the number of idle workers that other pools of the process could use."""
        pressed = self.share.grouped and self.share.budget.pressed(self.share)
        return min(len(self.idle), self.active - 1) if pressed else 0

    def abandon(self, worker: Worker, *, always: bool) -> None:
        """Stop counting a worker whose job does not end. Hold it, unless `always`, if too many are abandoned."""
        if not self.share.budget.abandon(self.share, None if always else self.max_abandoned):
            self.held.add(worker)
            return
        self.held.discard(worker)
        worker.abandoned = True
        self.members.remove(worker)
        self.abandoned.append(worker)

    def remove(self, worker: Worker) -> None:
        """Remove a worker that has ended."""
        if worker in self.idle:
            self.idle.remove(worker)
        self.held.discard(worker)
        if worker in self.members:
            self._forget(worker)
        elif worker in self.abandoned:
            self.abandoned.remove(worker)
            self.share.budget.reclaim(self.share)
            if self.held:
                self.abandon(self.held.pop(), always=False)

    def _forget(self, worker: Worker) -> None:
        self.members.remove(worker)
        if not self.share.left:
            self.share.budget.give(self.share, 1)

    def block(self, count: int) -> None:
        """Count workers whose jobs wait for other jobs, and which need no thread of the budget meanwhile."""
        self.blocked += count
        if not self.share.left:
            self.share.budget.give(self.share, count)

    def close(self) -> None:
        """Give up the share of the threads of the process."""
        self.share.budget.leave(self.share)

    def after_fork_in_child(self) -> None:
        """Drop all workers in a forked process, which does not inherit their threads."""
        for worker in (*self.members, *self.abandoned):
            worker.runner.after_fork_in_child()
        self.members, self.idle, self.abandoned, self.blocked = [], [], [], 0

    def assign_homes(self, load: Sequence[int]) -> None:
        """Assign each worker a home lane, in proportion to the loads of the lanes."""
        for worker, home in zip(self.members, homes(len(self.members), load), strict=True):
            worker.home = home


def homes(workers: int, load: Sequence[int]) -> list[int]:
    """Return the home lane of each worker, in proportion to the loads of the lanes.

    Shares are rounded by largest remainders, so that they add up to `workers`; without load they are equal. With at least
    as many workers as lanes, every lane has a worker.
    """
    lanes = len(load)
    weights = load if any(load) else [1] * lanes
    least = 1 if workers >= lanes else 0
    spare = workers - least * lanes
    total = sum(weights)
    shares = [spare * weight / total for weight in weights]
    counts = [least + int(share) for share in shares]
    by_remainder = sorted(range(lanes), key=lambda lane: (int(shares[lane]) - shares[lane], lane))
    for lane in by_remainder[: workers - sum(counts)]:
        counts[lane] += 1
    return [lane for lane, count in enumerate(counts) for _ in range(count)]
