"""A message on its way, with what must be known to deliver and to answer it."""

from __future__ import annotations

import enum
from typing import Any, Protocol

import msgspec

from coterie.kernel import Address
from coterie.messaging.message import Message


class MessagePriority(enum.IntEnum):
    """The three bands of a mailbox. A message of a band waits for all those of the bands before it."""

    SYSTEM = 0
    """The runtime's own news for an agent, such as the death of one it watches. Not bounded."""
    HIGH = 1
    NORMAL = 2


class Reference(Protocol):
    """What a message can be answered to: the sender's reference."""

    @property
    def address(self) -> Address:
        """Where the sender is."""
        ...

    def tell(self, message: Message) -> None:
        """Send it a message."""
        ...


class ReplyPort(Protocol):
    """Where the answer to an ask goes. The first outcome counts; safe from any thread."""

    @property
    def correlation(self) -> int:
        """The number of the ask, unique in the asker's runtime."""
        ...

    @property
    def done(self) -> bool:
        """Whether the ask has ended. Then nobody waits for the answer any more."""
        ...

    def succeed(self, value: Any) -> bool:
        """Answer. Return whether this was in time to count."""
        ...

    def fail(self, error: BaseException) -> bool:
        """End the ask with an error. Return whether this was in time to count."""
        ...

    def expire(self) -> None:
        """End the ask because its deadline has passed."""
        ...


class Envelope(msgspec.Struct, eq=False):
    """One message to one agent. Made by the sender, then touched only by the mailbox and the agent's thread."""

    message: Message
    sender: Reference | None = None
    """Who sent it; None stands for somebody who is not an agent."""
    reply: ReplyPort | None = None
    """Where the answer goes, if one is expected."""
    deadline: float | None = None
    """When it becomes worthless, on the runtime's monotonic clock."""
    priority: int = 2
    taken_at: float = 0.0
    """When a mailbox took it, on the same clock, for a sample of the messages; else 0."""
    attempts: int = 0
    """How often it was given to a handler that failed."""
