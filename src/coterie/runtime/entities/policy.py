"""The policy of a runtime's durable agents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from coterie.errors import InvalidSetting
from coterie.kernel import check_number
from coterie.runtime.entities.placement import DurablePlacement

Durability = Literal["full", "relaxed"]


@dataclass(frozen=True, slots=True)
class DurablePolicy:
    """The limits of active durable agents, and the way in which they are stored. Times are in seconds.

    Raises `InvalidSetting` for a value out of range.
    """

    idle: float = 60.0
    """The time without messages after which an agent is passivated."""
    most_active: int = 10_000
    """The number of active agents above which the least recently used of the idle ones are passivated."""
    durability: Durability = "full"
    """With "full" an answer leaves when the change has reached the disk. With "relaxed" it leaves at once and the change
    is stored within milliseconds: a crash may lose the last changes although their answers were sent."""
    attempts: int = 5
    """The failures after which a stored message becomes a durable dead letter."""
    snapshot_every: int = 100
    """The number of events after which the snapshot of an event-sourced agent with `snapshot` is stored."""
    keep_answers: float = 7 * 86_400.0
    """The time for which answers to requests with an idempotency key are kept."""
    largest_state: int = 32 * 2**20
    """The most bytes of a snapshot or of an event. It is written whole with each message that changes it."""
    placement: DurablePlacement | None = None
    """The placement on one of several nodes with the same store; None if this runtime alone has the store."""

    def __post_init__(self) -> None:
        check_number("DurablePolicy.idle", self.idle, above=0)
        check_number("DurablePolicy.most_active", self.most_active, above=0, whole=True)
        check_number("DurablePolicy.attempts", self.attempts, above=0, whole=True)
        check_number("DurablePolicy.snapshot_every", self.snapshot_every, above=0, whole=True)
        check_number("DurablePolicy.largest_state", self.largest_state, above=0, whole=True)
        check_number("DurablePolicy.keep_answers", self.keep_answers, above=0)
        if self.durability not in ("full", "relaxed"):
            raise InvalidSetting("DurablePolicy.durability", self.durability, "'full' or 'relaxed'")
