"""How much the queues hold, and what becomes of what is more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from coterie.kernel import check_number, choice
from coterie.work.jobs.kinds import Overflow


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """The bound of each queue, its policy, and how waiting lifts a job."""

    capacity: int = 10_000
    """Jobs of one type that have been taken and not begun. A retry is never refused."""
    overflow: Overflow | Literal["wait", "reject", "shed"] = Overflow.WAIT
    """An `Overflow`, or its name."""
    patience: float | None = 10.0
    """With `Overflow.WAIT`: seconds that a job waits for room before it is refused; None waits for ever."""
    age_after: float | None = 5.0
    """Seconds of waiting that lift a job by one priority; None never does.

    Lifted jobs get at most every fourth turn while more urgent ones wait, so neither holds up the other for long.
    """

    def __post_init__(self) -> None:
        check_number("QueueLimits.capacity", self.capacity, least=1, whole=True)
        object.__setattr__(self, "overflow", choice("QueueLimits.overflow", self.overflow, Overflow))
        check_number("QueueLimits.patience", self.patience, optional=True)
        check_number("QueueLimits.age_after", self.age_after, above=0, optional=True)
