"""The workers of a pool: how many there are, who is idle, who has been given up."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

from coterie.work.pool.bounds import Bounds, homes
from coterie.work.pool.worker import Runner, Worker


class Staff:
    """The table of workers. Its pool guards it; `workers`, `busy` and `idle` may be looked at by anybody.

    Nothing here starts a thread or rings a bell: what is returned is started or rung by the pool, without its lock.
    """

    def __init__(self, name: str, lanes: int, bounds: Bounds, make_runner: Callable[[], Runner]) -> None:
        self.bounds = bounds
        self.workers: list[Worker] = []
        self.idle: list[Worker] = []
        self.blocked = 0
        """Workers whose jobs wait for other jobs; others take their place meanwhile."""
        self.abandoned: list[Worker] = []
        """Workers that were given up with a job that does not end."""
        self._name = name
        self._lanes = lanes
        self._make_runner = make_runner
        self._numbers = itertools.count(1)

    @property
    def busy(self) -> int:
        """How many workers have a job and do not wait for another."""
        return max(0, sum(worker.job is not None for worker in self.workers.copy()) - self.blocked)

    @property
    def active(self) -> int:
        """How many workers there are that do not wait for other jobs."""
        return len(self.workers) - self.blocked

    def call(self) -> tuple[Worker | None, Worker | None]:
        """Return somebody for a job that is ready: one to be rung, or one to be started, or neither."""
        if self.idle:
            worker = self.idle.pop()
            worker.idle = False
            return worker, None
        return None, self.hire() if self.active < self.bounds.least else None

    def hire(self) -> Worker:
        """Return a new worker, whose thread is to be started."""
        number = next(self._numbers)
        worker = Worker(f"{self._name}-{number}", (number - 1) % self._lanes, self._make_runner())
        self.workers.append(worker)
        return worker

    def dismiss(self, count: int) -> list[Worker]:
        """Have up to so many idle workers end, those first that have been idle longest; they are to be rung."""
        leaving, self.idle = self.idle[:count], self.idle[count:]
        for worker in leaving:
            worker.leaving = True
            worker.idle = False
            self.workers.remove(worker)
        return leaving

    def give_up(self, worker: Worker) -> None:
        """Count a worker no more whose job does not end."""
        worker.abandoned = True
        self.workers.remove(worker)
        self.abandoned.append(worker)

    def remove(self, worker: Worker) -> None:
        """Count a worker no more that has ended."""
        for table in (self.workers, self.idle, self.abandoned):
            if worker in table:
                table.remove(worker)

    def after_fork_in_child(self) -> None:
        """Be told that this is a copy in a forked process: nobody is here."""
        for worker in (*self.workers, *self.abandoned):
            worker.runner.after_fork_in_child()
        self.workers, self.idle, self.abandoned, self.blocked = [], [], [], 0

    def rehome(self, load: Sequence[int]) -> None:
        """Have the workers serve the queues in proportion to their loads."""
        for worker, home in zip(self.workers, homes(len(self.workers), load), strict=True):
            worker.home = home
