"""Durations in seconds: recorded one by one, and summarised on request."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

import msgspec

_RECENT = 512
"""The number of latest durations that quantiles cover, unless a recorder is given another."""


class DurationSummary(msgspec.Struct, frozen=True):
    """Durations in seconds: the mean over all samples, and quantiles over the recent ones."""

    samples: int = 0
    mean: float = 0.0
    median: float = 0.0
    p95: float = 0.0
    p99: float = 0.0

    @classmethod
    def over(cls, samples: int, total: float, recent: Iterable[float]) -> DurationSummary:
        """Return the summary of `samples` durations that add up to `total`, with quantiles over `recent`."""
        ordered = sorted(recent)
        if not samples or not ordered:
            return cls()
        return cls(samples, total / samples, *(percentile(ordered, part) for part in (50, 95, 99)))

    @property
    def total(self) -> float:
        """The sum of all durations."""
        return self.mean * self.samples

    def plus(self, other: DurationSummary) -> DurationSummary:
        """Return the summary of both. Its quantiles are those of the one with more samples; its mean covers both."""
        samples = self.samples + other.samples
        if not samples:
            return self
        larger = self if self.samples >= other.samples else other
        return msgspec.structs.replace(larger, samples=samples, mean=(self.total + other.total) / samples)


class DurationRecorder:
    """The number and the sum of durations, and the latest of them.

    One thread at a time records. Any thread reads, without a lock; a reader may see a duration in the count and not yet in the
    sum or in the latest.
    """

    __slots__ = ("_recent", "_samples", "_total")

    def __init__(self, recent: int = _RECENT) -> None:
        self._samples = 0
        self._total = 0.0
        self._recent: deque[float] = deque(maxlen=recent)

    def record(self, seconds: float) -> None:
        """Record one duration."""
        self._samples += 1
        self._total += seconds
        self._recent.append(seconds)

    def summary(self) -> DurationSummary:
        """Return the summary of all durations so far."""
        return summarise([self])


def summarise(recorders: Sequence[DurationRecorder]) -> DurationSummary:
    """Return the summary of the durations of several recorders together."""
    return DurationSummary.over(
        sum(each._samples for each in recorders),  # noqa: SLF001 - of this module
        sum(each._total for each in recorders),  # noqa: SLF001
        [seconds for each in recorders for seconds in each._recent.copy()],  # noqa: SLF001
    )


def percentile(ordered: Sequence[float], part: int) -> float:
    """Return the value at `part` hundredths of sorted values, which must not be empty."""
    return ordered[min(len(ordered) - 1, len(ordered) * part // 100)]
