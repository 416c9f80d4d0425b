"""How much of their time jobs really wait, measured while they run."""

from __future__ import annotations

from coterie.concurrency import Rank, new_lock
from coterie.work.machine.sizing import Sizing

_WEIGHT = 0.05
"""Of the newest sample in the mean."""
_ENOUGH = 16
"""Samples before the measured is believed."""
_LEAST_COMPUTE = 1e-6


class Ratio:
    """A moving mean of waiting and computing. Safe from any thread; `_lock` guards the sums."""

    def __init__(self, sizing: Sizing) -> None:
        self._sizing = sizing
        self._lock = new_lock(Rank.RECORDS)
        self._wait = 0.0
        self._compute = 0.0
        self._samples = 0

    def observe(self, seconds: float, computed: float) -> None:
        """Take in that a job took `seconds`, for `computed` of which it used a processor."""
        wait = max(0.0, seconds - computed)
        with self._lock:
            self._samples += 1
            weight = max(_WEIGHT, 1 / self._samples)
            self._wait += weight * (wait - self._wait)
            self._compute += weight * (computed - self._compute)

    def after_fork_in_child(self) -> None:
        """Be told that this is a copy in a forked process, where whoever held the lock is not."""
        self._lock = new_lock(Rank.RECORDS)

    @property
    def wait_per_compute(self) -> float | None:
        """Seconds of waiting for one of computing; None until enough has been seen."""
        with self._lock:
            if self._samples < _ENOUGH:
                return None
            return self._wait / max(self._compute, _LEAST_COMPUTE)

    def workers(self, otherwise: int) -> int:
        """Return how many workers there may be by what was measured, or `otherwise` until enough has been."""
        ratio = self.wait_per_compute
        return otherwise if ratio is None else max(2, self._sizing.io_bound(ratio, 1.0))
