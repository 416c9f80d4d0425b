"""The policy of a runtime's durable agents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from coterie.errors import InvalidSetting
from coterie.kernel import check_number

Durability = Literal["full", "relaxed"]


@dataclass(frozen=True, slots=True)
class DurablePolicy:
    """How long durable agents stay active, and how they are stored. Times are in seconds.

    Raises `InvalidSetting` for a value out of range.
    """

    idle: float = 60.0
    """An agent without messages for so long is passivated."""
    most_active: int = 10_000
    """When more are active, the least recently used that are idle are passivated."""
    durability: Durability = "full"
    """With "full" an answer leaves when the change has reached the disk. With "relaxed" it leaves at once and the change
    follows within milliseconds: a crash may lose the last of them, and the answers have then promised too much."""
    attempts: int = 5
    """A stored message that fails so often becomes a durable dead letter."""
    snapshot_every: int = 100
    """An event-sourced agent with `snapshot` is stored whole after so many events."""
    keep_answers: float = 7 * 86_400.0
    """Answers to requests with an idempotency key are kept for so long."""

    def __post_init__(self) -> None:
        check_number("DurablePolicy.idle", self.idle, above=0)
        check_number("DurablePolicy.most_active", self.most_active, above=0, whole=True)
        check_number("DurablePolicy.attempts", self.attempts, above=0, whole=True)
        check_number("DurablePolicy.snapshot_every", self.snapshot_every, above=0, whole=True)
        check_number("DurablePolicy.keep_answers", self.keep_answers, above=0)
        if self.durability not in ("full", "relaxed"):
            raise InvalidSetting("DurablePolicy.durability", self.durability, "'full' or 'relaxed'")
