"""The queues of a pool: ready jobs by type and priority, and delayed jobs by due time. The pool's lock guards both."""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque
from collections.abc import Collection
from typing import Any, TypeAlias

from coterie.work.jobs.job import Job
from coterie.work.jobs.kinds import LEVELS, JobState

AnyJob: TypeAlias = Job[Any]

_LEVELS = len(LEVELS)
_AGED_TURN = 4
"""While more urgent jobs wait, at most every so-many-th turn goes to an aged job."""
_COMPACT_BAND_ABOVE = 64
_COMPACT_HEAP_ABOVE = 512


class ReadyQueue:
    """Jobs that are ready to run: first in, first out within a type and a priority, with priority ageing.

    A worker takes the most urgent job of all types; among equally urgent jobs it prefers its home type. Call all methods
    but `length` and `oldest` under the pool's lock; those two are safe at any time. An ended job stays in place until a
    worker meets it, or until ended jobs are the majority.
    """

    def __init__(self, lanes: int, age_after: float | None) -> None:
        self._age_after = age_after
        self._bands = [[deque[AnyJob]() for _ in range(_LEVELS)] for _ in range(lanes)]
        self._live = [[0] * _LEVELS for _ in range(lanes)]
        self._levels = [0] * _LEVELS
        self._since_aged = _AGED_TURN

    def __len__(self) -> int:
        return sum(self._levels)

    def push(self, job: AnyJob) -> None:
        """Append a queued job to its band."""
        self._bands[job.lane][job.level].append(job)
        self._live[job.lane][job.level] += 1
        self._levels[job.level] += 1

    def take(self, home: int, now: float, full: Collection[int] = ()) -> AnyJob | None:
        """Remove and return the next job for a worker with this home, or None; none of the types in `full`."""
        levels = self._open_levels(full) if full else self._levels
        for level in range(_LEVELS):
            if levels[level]:
                break
        else:
            return None
        lane = home if self._live[home][level] and home not in full else self._longest_waiting(level, full)
        if self._age_after is not None and any(levels[level + 1 :]):
            aged = self._aged(lane, level, now, full)
            if aged is not None and self._since_aged >= _AGED_TURN - 1:
                self._since_aged = 0
                return self._pop(*aged)
            self._since_aged += 1
        return self._pop(lane, level)

    def discount(self, job: AnyJob) -> None:
        """Stop counting a job that ended in the queue."""
        self._live[job.lane][job.level] -= 1
        self._levels[job.level] -= 1
        band = self._bands[job.lane][job.level]
        live = self._live[job.lane][job.level]
        if len(band) > _COMPACT_BAND_ABOVE and live * 2 < len(band):
            # Build a new deque: `oldest` may be copying the old one without the lock.
            self._bands[job.lane][job.level] = deque(each for each in band if each.state is JobState.QUEUED)

    def least_urgent(self, lane: int) -> AnyJob | None:
        """Return the oldest of the least urgent jobs of a type without removing it."""
        for level in reversed(range(_LEVELS)):
            if self._live[lane][level]:
                return self._head(lane, level)
        return None

    def length(self, lane: int) -> int:
        """Return the number of jobs of a type."""
        return sum(self._live[lane])

    def oldest(self, lane: int) -> float | None:
        """Return the time at which the longest-waiting job of a type became ready."""
        times = []
        for band in self._bands[lane]:
            # copy() is atomic, and the first queued job is nearly always the head.
            for job in band.copy():
                if job.state is JobState.QUEUED:
                    times.append(job.ready_at)
                    break
        return min(times, default=None)

    def _head(self, lane: int, level: int) -> AnyJob:
        band = self._bands[lane][level]
        while band[0].state is not JobState.QUEUED:
            band.popleft()
        return band[0]

    def _pop(self, lane: int, level: int) -> AnyJob:
        job = self._head(lane, level)
        self._bands[lane][level].popleft()
        self._live[lane][level] -= 1
        self._levels[level] -= 1
        return job

    def _open_levels(self, full: Collection[int]) -> list[int]:
        """Return the number of jobs of each priority, without those of the types in `full`."""
        return [sum(live[level] for lane, live in enumerate(self._live) if lane not in full) for level in range(_LEVELS)]

    def _longest_waiting(self, level: int, full: Collection[int]) -> int:
        lanes = [lane for lane, live in enumerate(self._live) if live[level] and lane not in full]
        return min(lanes, key=lambda lane: self._head(lane, level).ready_at) if len(lanes) > 1 else lanes[0]

    def _aged(self, lane: int, level: int, now: float, full: Collection[int]) -> tuple[int, int] | None:
        """Return the type and priority of a job whose age puts it before the head of `lane` and `level`, or None."""
        best, chosen = self._rank(self._head(lane, level), now), None
        for lower in range(level + 1, _LEVELS):
            if self._levels[lower]:
                for other, live in enumerate(self._live):
                    if live[lower] and other not in full:
                        rank = self._rank(self._head(other, lower), now)
                        if rank < best:
                            best, chosen = rank, (other, lower)
        return chosen

    def _rank(self, job: AnyJob, now: float) -> tuple[float, float]:
        raised = (now - job.ready_at) // (self._age_after or 1.0)
        return max(0.0, job.level - raised), job.ready_at


class DelayedJobs:
    """A heap of waiting jobs by due time: thousands of jobs need one timer and no worker."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, AnyJob]] = []
        self._order = itertools.count()
        self._compact_at = _COMPACT_HEAP_ABOVE

    @property
    def due(self) -> float:
        """Return the due time of the first job; infinity if the heap is empty."""
        return self._heap[0][0] if self._heap else math.inf

    def add(self, when: float, job: AnyJob) -> bool:
        """Add a job. Return whether it is now the first to be due."""
        if len(self._heap) >= self._compact_at:
            self._heap = [entry for entry in self._heap if entry[2].state is JobState.WAITING]
            heapq.heapify(self._heap)
            self._compact_at = max(_COMPACT_HEAP_ABOVE, 2 * len(self._heap))
        entry = (when, next(self._order), job)
        heapq.heappush(self._heap, entry)
        return self._heap[0] is entry

    def take_due(self, now: float) -> list[AnyJob]:
        """Remove and return all due jobs that still wait, in the order of their due times."""
        due = []
        while self._heap and self._heap[0][0] <= now:
            job = heapq.heappop(self._heap)[2]
            if job.state is JobState.WAITING:
                due.append(job)
        return due
