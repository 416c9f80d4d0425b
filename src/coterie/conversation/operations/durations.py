"""How long tools take, learnt from how long they took."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import msgspec

from coterie.concurrency import Rank, new_lock

_MAX_SAMPLES = 256
"""The latest runs of a tool that count."""
_MIN_SAMPLES = 3
"""Runs after which what was learnt decides."""


class Estimate(msgspec.Struct, frozen=True):
    """How long a tool takes, in seconds."""

    median: float
    p90: float
    samples: int
    """The runs that it was learnt from; 0 if it is what the tool said of itself."""

    @property
    def learnt(self) -> bool:
        """Whether there were runs enough to decide by."""
        return self.samples >= _MIN_SAMPLES


class DurationEstimates:
    """How long each tool took of late, over all conversations of a host. Safe from any thread; `_lock` guards the table."""

    def __init__(self) -> None:
        self._lock = new_lock(Rank.RECORDS)
        self._runs: dict[str, deque[float]] = {}

    def learn(self, tool: str, seconds: Iterable[float]) -> None:
        """Take runs of a tool in, oldest first."""
        with self._lock:
            self._runs.setdefault(tool, deque(maxlen=_MAX_SAMPLES)).extend(max(0.0, each) for each in seconds)

    def estimate(self, tool: str, expected: float | None = None) -> Estimate | None:
        """Return how long a tool takes: as learnt, or else as it says itself; None if nothing is known."""
        with self._lock:
            runs = sorted(self._runs.get(tool, ()))
        if not runs:
            return None if expected is None else Estimate(expected, expected, 0)
        last = len(runs) - 1
        return Estimate(runs[last // 2], runs[min(last, len(runs) * 9 // 10)], len(runs))
