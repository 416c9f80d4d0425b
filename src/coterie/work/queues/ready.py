"""The jobs that are ready, by type and priority."""

from __future__ import annotations

from collections import deque
from typing import Any

from coterie.work.jobs.job import Job
from coterie.work.jobs.kinds import LEVELS, JobState

_LEVELS = len(LEVELS)
_LIFTED_TURN = 4
"""While more urgent jobs wait, at most every so-many-th turn goes to one that its waiting has lifted."""
_COMPACT_ABOVE = 64

Ready = Job[Any]


class ReadyQueue:
    """First in, first out within a type and a priority; the more urgent first; who has waited for long rises.

    A worker takes the most urgent job of all types, and of equally urgent ones one of its home. Its pool guards it:
    all but `length` and `oldest`, which may be called at any time, is called under the pool's lock. A job that has
    ended stays in its place until it is met, or until such are the greater part.
    """

    def __init__(self, lanes: int, age_after: float | None) -> None:
        self._age_after = age_after
        self._bands = [[deque[Ready]() for _ in range(_LEVELS)] for _ in range(lanes)]
        self._live = [[0] * _LEVELS for _ in range(lanes)]
        self._levels = [0] * _LEVELS
        self._since_lifted = _LIFTED_TURN

    def __len__(self) -> int:
        return sum(self._levels)

    def push(self, job: Ready) -> None:
        """Put a job, which is queued, behind its equals."""
        self._bands[job.lane][job.level].append(job)
        self._live[job.lane][job.level] += 1
        self._levels[job.level] += 1

    def take(self, home: int, now: float) -> Ready | None:
        """Return the next job for a worker of that home, or None."""
        levels = self._levels
        for level in range(_LEVELS):
            if levels[level]:
                break
        else:
            return None
        lane = home if self._live[home][level] else self._longest_waiting(level)
        if self._age_after is not None and any(levels[level + 1 :]):
            lifted = self._lifted(lane, level, now)
            if lifted is not None and self._since_lifted >= _LIFTED_TURN - 1:
                self._since_lifted = 0
                return self._pop(*lifted)
            self._since_lifted += 1
        return self._pop(lane, level)

    def forget(self, job: Ready) -> None:
        """Count a job no more that has ended in its place."""
        self._live[job.lane][job.level] -= 1
        self._levels[job.level] -= 1
        band = self._bands[job.lane][job.level]
        live = self._live[job.lane][job.level]
        if len(band) > _COMPACT_ABOVE and live * 2 < len(band):
            # A new one, for somebody may be looking at the old.
            self._bands[job.lane][job.level] = deque(each for each in band if each.state is JobState.QUEUED)

    def least_urgent(self, lane: int) -> Ready | None:
        """Return the oldest of the least urgent jobs of a type, and leave it."""
        for level in reversed(range(_LEVELS)):
            if self._live[lane][level]:
                return self._head(lane, level)
        return None

    def length(self, lane: int) -> int:
        """Return how many jobs of a type there are."""
        return sum(self._live[lane])

    def oldest(self, lane: int) -> float | None:
        """Return when the job of that type that has waited longest became ready."""
        times = []
        for band in self._bands[lane]:
            # A copy is taken at one instant, and the first that lives is nearly always the first.
            for job in band.copy():
                if job.state is JobState.QUEUED:
                    times.append(job.ready_at)
                    break
        return min(times, default=None)

    def _head(self, lane: int, level: int) -> Ready:
        band = self._bands[lane][level]
        while band[0].state is not JobState.QUEUED:
            band.popleft()
        return band[0]

    def _pop(self, lane: int, level: int) -> Ready:
        job = self._head(lane, level)
        self._bands[lane][level].popleft()
        self._live[lane][level] -= 1
        self._levels[level] -= 1
        return job

    def _longest_waiting(self, level: int) -> int:
        lanes = [lane for lane, live in enumerate(self._live) if live[level]]
        return min(lanes, key=lambda lane: self._head(lane, level).ready_at) if len(lanes) > 1 else lanes[0]

    def _lifted(self, lane: int, level: int, now: float) -> tuple[int, int] | None:
        """Return type and priority of a job that has waited so long that it comes before the one that is to be next."""
        best, chosen = self._rank(self._head(lane, level), now), None
        for lower in range(level + 1, _LEVELS):
            if self._levels[lower]:
                for other, live in enumerate(self._live):
                    if live[lower]:
                        rank = self._rank(self._head(other, lower), now)
                        if rank < best:
                            best, chosen = rank, (other, lower)
        return chosen

    def _rank(self, job: Ready, now: float) -> tuple[float, float]:
        risen = (now - job.ready_at) // (self._age_after or 1.0)
        return max(0.0, job.level - risen), job.ready_at
