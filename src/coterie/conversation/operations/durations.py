"""Estimates of tool durations, learnt from past runs."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import msgspec

from coterie.concurrency import Rank, new_lock
from coterie.telemetry.durations import percentile

_MAX_SAMPLES = 256
"""Latest runs of a tool that count."""
_MIN_SAMPLES = 3
"""Minimum runs for a learnt estimate."""


class Estimate(msgspec.Struct, frozen=True):
    """The estimated duration of a tool, in seconds."""

    median: float
    p90: float
    samples: int
    """Number of past runs; 0 if the estimate is the tool's `expected`."""

    @property
    def learnt(self) -> bool:
        """Return whether there were enough runs."""
        return self.samples >= _MIN_SAMPLES


class DurationEstimates:
    """The latest durations of each tool, over all conversations of a host. Safe from any thread; `_lock` guards the table."""

    def __init__(self) -> None:
        self._lock = new_lock(Rank.RECORDS)
        self._runs: dict[str, deque[float]] = {}

    def learn(self, tool: str, seconds: Iterable[float]) -> None:
        """Add durations of a tool in seconds, oldest first."""
        with self._lock:
            self._runs.setdefault(tool, deque(maxlen=_MAX_SAMPLES)).extend(max(0.0, each) for each in seconds)

    def estimate(self, tool: str, expected: float | None = None) -> Estimate | None:
        """Return the learnt estimate of a tool, or else one from `expected`; None without either."""
        with self._lock:
            runs = sorted(self._runs.get(tool, ()))
        if not runs:
            return None if expected is None else Estimate(expected, expected, 0)
        return Estimate(runs[(len(runs) - 1) // 2], percentile(runs, 90), len(runs))
