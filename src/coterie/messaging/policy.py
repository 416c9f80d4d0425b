"""The capacity of a mailbox, and its overflow policy."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Literal

from coterie.kernel import check_number, choice


class Overflow(enum.StrEnum):
    """The treatment of a message that finds the mailbox full."""

    WAIT = "wait"
    """The message and its sender wait for room, in order: back-pressure."""
    REJECT = "reject"
    """The sender gets `MailboxFull`."""
    DROP_OLDEST = "drop-oldest"
    """The oldest message of the least urgent band makes room, and becomes a dead letter."""


@dataclass(frozen=True, slots=True)
class MailboxPolicy:
    """The capacity of a mailbox, and its overflow policy. Raises `InvalidSetting`."""

    capacity: int = 10_000
    """The maximum number of messages of the bands high and normal together; messages of the band system always find room."""
    overflow: Overflow | Literal["wait", "reject", "drop-oldest"] = Overflow.WAIT
    """An `Overflow`, or its name: "wait", "reject", "drop-oldest"."""
    timeout: float | None = 10.0
    """With `Overflow.WAIT`: seconds that a message waits for room before it is rejected; None waits for ever."""

    def __post_init__(self) -> None:
        check_number("MailboxPolicy.capacity", self.capacity, least=1, whole=True)
        check_number("MailboxPolicy.timeout", self.timeout, optional=True)
        object.__setattr__(self, "overflow", choice("MailboxPolicy.overflow", self.overflow, Overflow))

    @classmethod
    def wait(cls, capacity: int = 10_000, timeout: float | None = 10.0) -> MailboxPolicy:
        """Return a policy with which senders wait for room, `timeout` seconds at most."""
        return cls(capacity, Overflow.WAIT, timeout)

    @classmethod
    def reject(cls, capacity: int = 10_000) -> MailboxPolicy:
        """Return a policy with which senders get `MailboxFull`."""
        return cls(capacity, Overflow.REJECT)

    @classmethod
    def drop_oldest(cls, capacity: int = 10_000) -> MailboxPolicy:
        """Return a policy with which the oldest message makes room."""
        return cls(capacity, Overflow.DROP_OLDEST)
