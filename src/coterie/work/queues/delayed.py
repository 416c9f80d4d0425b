"""Jobs that become ready at a time: thousands of them with one timer and no worker."""

from __future__ import annotations

import heapq
import itertools
import math
from typing import Any

from coterie.work.jobs.job import Job
from coterie.work.jobs.kinds import JobState

_COMPACT_ABOVE = 512


class Delayed:
    """A heap of jobs by the time at which they are due. Its pool guards it."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Job[Any]]] = []
        self._order = itertools.count()
        self._compact_at = _COMPACT_ABOVE

    @property
    def due(self) -> float:
        """When the first is due; infinity if there is none."""
        return self._heap[0][0] if self._heap else math.inf

    def add(self, when: float, job: Job[Any]) -> bool:
        """Put a job in. Return whether it is now the first to be due."""
        if len(self._heap) >= self._compact_at:
            self._heap = [entry for entry in self._heap if entry[2].state is JobState.WAITING]
            heapq.heapify(self._heap)
            self._compact_at = max(_COMPACT_ABOVE, 2 * len(self._heap))
        entry = (when, next(self._order), job)
        heapq.heappush(self._heap, entry)
        return self._heap[0] is entry

    def take_due(self, now: float) -> list[Job[Any]]:
        """Take out all that are due and have not ended meanwhile, in the order of their times."""
        due = []
        while self._heap and self._heap[0][0] <= now:
            job = heapq.heappop(self._heap)[2]
            if job.state is JobState.WAITING:
                due.append(job)
        return due

    def next_due(self) -> float | None:
        """Return when the first is due."""
        return self._heap[0][0] if self._heap else None
