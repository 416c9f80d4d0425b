"""What a pool counts, and how that is copied out without stopping anybody."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import msgspec

from coterie.work.jobs.kinds import JobState

_KEPT = 512
"""The latest run times that quantiles are taken over."""


class Spread(msgspec.Struct, frozen=True):
    """Seconds: the mean over all samples, and quantiles over the latest."""

    samples: int = 0
    mean: float = 0.0
    median: float = 0.0
    p95: float = 0.0
    p99: float = 0.0

    @classmethod
    def over(cls, samples: int, total: float, recent: Sequence[float]) -> Spread:
        """Return the spread of so many samples that add up to `total`, with quantiles over the `recent` ones."""
        if not samples or not recent:
            return cls()
        ordered = sorted(recent)
        last = len(ordered) - 1
        median, p95, p99 = (ordered[min(last, len(ordered) * part // 100)] for part in (50, 95, 99))
        return cls(samples, total / samples, median, p95, p99)


class LaneMetrics(msgspec.Struct, frozen=True):
    """The counts of one type of work.

    ``submitted == succeeded + failed + timed_out + cancelled + shed + pending``, exact when nothing moves.
    """

    submitted: int = 0
    """Jobs that were taken."""
    succeeded: int = 0
    failed: int = 0
    timed_out: int = 0
    cancelled: int = 0
    shed: int = 0
    refused: int = 0
    """Jobs that were not taken, for want of room; they are not among the submitted."""
    retries: int = 0
    """Attempts after the first."""
    pending: int = 0
    """Jobs that have not ended."""
    queued: int = 0
    """Jobs that are ready and wait for a worker."""
    running: int = 0
    oldest_wait: float = 0.0
    """Seconds for which the first of the queued has waited."""
    wait: Spread = Spread()
    """How long attempts waited for a worker."""
    run: Spread = Spread()
    """How long attempts ran."""


class ScalingEvent(msgspec.Struct, frozen=True):
    """A change of the number of workers. `at` is in seconds of the wall clock."""

    at: float
    pool: str
    before: int
    after: int
    reason: str


class LaneCounts:
    """The counts of one lane. Written under the pool's lock; read by anybody."""

    __slots__ = ("_recent", "ended", "measured", "refused", "retries", "run_time", "running", "submitted", "wait_time")

    def __init__(self) -> None:
        self.submitted = self.refused = self.retries = self.running = self.measured = 0
        self.ended: dict[JobState, int] = {state: 0 for state in JobState if state.ended}
        self.wait_time = self.run_time = 0.0
        self._recent: deque[tuple[float, float]] = deque(maxlen=_KEPT)

    def measure(self, waited: float, took: float) -> None:
        """Take the times of one attempt in."""
        self.measured += 1
        self.wait_time += waited
        self.run_time += took
        self._recent.append((waited, took))

    def snapshot(self, queued: int, oldest_wait: float) -> LaneMetrics:
        """Return the counts of this moment."""
        ended = dict(self.ended)
        recent = list(self._recent.copy())
        return LaneMetrics(
            submitted=self.submitted,
            succeeded=ended[JobState.SUCCEEDED],
            failed=ended[JobState.FAILED],
            timed_out=ended[JobState.TIMED_OUT],
            cancelled=ended[JobState.CANCELLED],
            shed=ended[JobState.SHED],
            refused=self.refused,
            retries=self.retries,
            pending=max(0, self.submitted - sum(ended.values())),
            queued=queued,
            running=self.running,
            oldest_wait=oldest_wait,
            wait=Spread.over(self.measured, self.wait_time, [waited for waited, _ in recent]),
            run=Spread.over(self.measured, self.run_time, [took for _, took in recent]),
        )


def add(one: LaneMetrics, other: LaneMetrics) -> LaneMetrics:
    """Return the sums of two lanes' counts; of their times those of the one with more samples, with a common mean."""
    names = [name for name in one.__struct_fields__ if isinstance(getattr(one, name), int)]
    sums = {name: getattr(one, name) + getattr(other, name) for name in names}
    return LaneMetrics(
        **sums,
        oldest_wait=max(one.oldest_wait, other.oldest_wait),
        wait=_join(one.wait, other.wait),
        run=_join(one.run, other.run),
    )


def _join(one: Spread, other: Spread) -> Spread:
    samples = one.samples + other.samples
    if not samples:
        return one
    mean = (one.mean * one.samples + other.mean * other.samples) / samples
    larger = one if one.samples >= other.samples else other
    return msgspec.structs.replace(larger, samples=samples, mean=mean)
