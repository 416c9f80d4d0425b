"""Jobs that have ended, kept for a while."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from coterie.kernel import check_number
from coterie.work.jobs.job import Job


@dataclass(frozen=True, slots=True)
class Keep:
    """How many results are kept, and how long."""

    count: int = 1_000
    seconds: float = 300.0

    def __post_init__(self) -> None:
        check_number("Keep.count", self.count, whole=True)
        check_number("Keep.seconds", self.seconds)


class Kept:
    """The jobs that ended of late, by id. Its pool guards it."""

    def __init__(self, keep: Keep) -> None:
        self._keep = keep
        self._jobs: OrderedDict[int, tuple[float, Job[Any]]] = OrderedDict()

    def add(self, number: int, job: Job[Any], now: float) -> None:
        """Keep one more, and let go of one that is too much. What is too old goes at the next look, and at each `trim`."""
        self._jobs[number] = (now, job)
        if len(self._jobs) > self._keep.count:
            self._jobs.popitem(last=False)

    def get(self, number: int, now: float) -> Job[Any] | None:
        """Return a job that is still kept."""
        self.trim(now)
        entry = self._jobs.get(number)
        return None if entry is None else entry[1]

    def trim(self, now: float) -> None:
        """Let go of what is too old."""
        oldest = now - self._keep.seconds
        while self._jobs:
            number, (ended, _) = next(iter(self._jobs.items()))
            if ended > oldest:
                return
            del self._jobs[number]

    def __len__(self) -> int:
        return len(self._jobs)
