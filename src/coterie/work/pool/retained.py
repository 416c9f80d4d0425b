"""Jobs that ended recently, and failures that no caller has taken. The pool's lock guards both."""

from __future__ import annotations

import logging
from collections import OrderedDict, deque
from typing import NamedTuple

from coterie.work.jobs.kinds import JobState
from coterie.work.pool.queues import AnyJob
from coterie.work.pool.settings import Retention

_log = logging.getLogger(__name__)

_UNHEARD = 1_000
"""Failures to keep until they are logged."""
_SHOWN = 3
"""Failures to log with their traceback at a time."""
_FAILURES = frozenset({JobState.FAILED, JobState.TIMED_OUT, JobState.SHED})


class RetainedJobs:
    """Jobs that ended recently, by number, bounded by count, age and bytes."""

    def __init__(self, retention: Retention) -> None:
        self._retention = retention
        self._jobs: OrderedDict[int, tuple[float, AnyJob]] = OrderedDict()
        self._dropped: list[AnyJob] = []
        self.bytes = 0
        """About how many bytes the retained results hold."""

    def add(self, number: int, job: AnyJob, now: float) -> None:
        """Add a job and drop the oldest above the limits. `get` and `trim` drop expired jobs."""
        self._jobs[number] = (now, job)
        self.bytes += job.size
        while len(self._jobs) > self._retention.count or self.bytes > self._retention.bytes:
            self._drop(next(iter(self._jobs)))

    def get(self, number: int, now: float) -> AnyJob | None:
        """Return a retained job, or None."""
        self.trim(now)
        entry = self._jobs.get(number)
        return None if entry is None else entry[1]

    def all(self, now: float) -> list[AnyJob]:
        """Return all retained jobs, oldest first."""
        self.trim(now)
        return [job for _, job in self._jobs.values()]

    def trim(self, now: float) -> None:
        """Drop expired jobs."""
        oldest = now - self._retention.seconds
        while self._jobs:
            number, (ended, _) = next(iter(self._jobs.items()))
            if ended > oldest:
                return
            self._drop(number)

    def free(self) -> None:
        """Free the dropped jobs. Call it without the lock, because finalizers of user objects run here."""
        if self._dropped:
            self._dropped = []

    def _drop(self, number: int) -> None:
        job = self._jobs.pop(number)[1]
        self.bytes -= job.size
        self._dropped.append(job)


class UnheardReport(NamedTuple):
    """Failures that no caller has taken."""

    jobs: list[AnyJob]
    more: int
    """Failures that were not kept."""

    def log(self, pool: str) -> None:
        """Log the first failures with their tracebacks, and the number of the others. Call it without the lock."""
        for job in self.jobs[:_SHOWN]:
            _log.error("%s %s, and no caller has taken its error: %s", job.label, job.state, job.failure, exc_info=job.failure)
        more = self.more + max(0, len(self.jobs) - _SHOWN)
        if more:
            _log.error("%s: %d more jobs failed at that time, and no caller has taken their errors", pool, more)


class UnheardFailures:
    """Failed jobs, until their callers have had time to take the errors."""

    def __init__(self) -> None:
        self.count = 0
        """Failures so far that no caller took in time."""
        self._jobs: deque[tuple[float, AnyJob]] = deque()
        self._more = 0

    def add(self, job: AnyJob, now: float) -> None:
        """Add an ended job if it has failed and no caller waits for it."""
        if job.heard or job.state not in _FAILURES:
            return
        if len(self._jobs) < _UNHEARD:
            self._jobs.append((now, job))
        else:
            self._more += 1

    def take(self, before: float) -> UnheardReport:
        """Remove and return the failures until a moment that no caller has taken."""
        jobs: list[AnyJob] = []
        while self._jobs and self._jobs[0][0] <= before:
            job = self._jobs.popleft()[1]
            if not job.heard:
                jobs.append(job)
        more, self._more = (self._more, 0) if jobs else (0, self._more)
        self.count += len(jobs) + more
        return UnheardReport(jobs, more)
