"""Settings of a pool: worker bounds, queue limits, retention. Immutable, without threads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from coterie.kernel import check_number, choice
from coterie.work.jobs.kinds import QueueOverflow

_BUSY = 0.8
_IDLE = 0.2


@dataclass(frozen=True, slots=True)
class Bounds:
    """The minimum and maximum number of workers of a pool. Workers start when they are first needed.

    Raises `InvalidSetting`.
    """

    least: int
    most: int

    def __post_init__(self) -> None:
        check_number("Bounds.least", self.least, least=1, whole=True)
        check_number("Bounds.most", self.most, least=self.least, whole=True)

    def wanted(self, workers: int, utilisation: float, queued: int) -> int:
        """Return the target number of workers.

        Above 80 % utilisation and with more queued jobs than workers, the pool grows by the queued jobs per worker. Below
        20 % and with an empty queue, it gives up half of the workers above the minimum.
        """
        if workers and utilisation > _BUSY and queued > workers:
            return max(workers, min(self.most, workers + max(1, queued // workers)))
        if utilisation < _IDLE and not queued and workers > self.least:
            return workers - max(1, min(workers - self.least, workers // 2))
        return min(workers, self.most) if workers > self.most else workers


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """The capacity of each queue, its overflow policy, and priority ageing. Raises `InvalidSetting`."""

    capacity: int = 10_000
    """Jobs of one type that were accepted and have not started. Retries are always accepted."""
    overflow: QueueOverflow | Literal["wait", "reject", "shed"] = QueueOverflow.WAIT
    """A `QueueOverflow`, or its name."""
    patience: float | None = 10.0
    """With `QueueOverflow.WAIT`: seconds that a job waits for space before it is refused; None waits without limit."""
    age_after: float | None = 5.0
    """Seconds of waiting that raise a job by one priority; None disables ageing.

    While more urgent jobs wait, aged jobs get at most every fourth turn, so neither group blocks the other for long.
    """

    def __post_init__(self) -> None:
        check_number("QueueLimits.capacity", self.capacity, least=1, whole=True)
        object.__setattr__(self, "overflow", choice("QueueLimits.overflow", self.overflow, QueueOverflow))
        check_number("QueueLimits.patience", self.patience, optional=True)
        check_number("QueueLimits.age_after", self.age_after, above=0, optional=True)


@dataclass(frozen=True, slots=True)
class Retention:
    """The ended jobs to keep: how many, for how many seconds, and of how many bytes together. Raises `InvalidSetting`."""

    count: int = 1_000
    seconds: float = 300.0
    bytes: int = 64 * 2**20
    """The limit of the results together, by an estimate. A caller's own reference to a job keeps its result anyway."""

    def __post_init__(self) -> None:
        check_number("Retention.count", self.count, whole=True)
        check_number("Retention.seconds", self.seconds)
        check_number("Retention.bytes", self.bytes, whole=True)
