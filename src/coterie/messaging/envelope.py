"""The envelope: a message on its way, with its sender, reply and deadline."""

from __future__ import annotations

import enum
from contextvars import Context
from typing import Any, Protocol

import msgspec

from coterie.kernel import Address
from coterie.messaging.message import Message


class MessagePriority(enum.IntEnum):
    """The three bands of a mailbox. A message waits until the bands before its own are empty."""

    SYSTEM = 0
    """Lifecycle events from the runtime, such as the end of a watched agent. Not bounded."""
    HIGH = 1
    NORMAL = 2


class Reference(Protocol):
    """The reference of a sender, to which a message can be answered."""

    @property
    def address(self) -> Address:
        """The address of the sender."""
        ...

    def tell(self, message: Message) -> None:
        """Send it a message."""
        ...


class ReplyPort(Protocol):
    """The receiver of the answer to an ask. The first outcome counts; safe from any thread."""

    @property
    def correlation(self) -> int:
        """The number of the ask, unique in the asker's runtime."""
        ...

    @property
    def done(self) -> bool:
        """True once the ask has ended: then no code waits for the answer any more."""
        ...

    def taken(self) -> bool:
        """Record that the agent takes the request. Return False if the ask has ended: then it need not be handled."""
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


class DurableDelivery(msgspec.Struct, eq=False):
    """The delivery of a message to a durable agent: a stored message, or a request with an idempotency key."""

    number: int = 0
    """The number of the stored message; 0 if it is not stored."""
    attempts: int = 0
    """The number of attempts that failed, over all activations."""
    idempotency_key: str | None = None
    """The key under which the answer is recorded."""


class Envelope(msgspec.Struct, eq=False):
    """One message to one agent. Made by the sender, then touched only by the mailbox and the agent's thread."""

    message: Message
    sender: Reference | None = None
    """The sender; None if that is not an agent."""
    reply: ReplyPort | None = None
    """The receiver of the answer, if one is expected."""
    deadline: float | None = None
    """The time at which it expires, on the runtime's monotonic clock."""
    priority: int = 2
    taken_at: float = 0.0
    """The time at which a mailbox took it, on the same clock, for a sample of the messages; else 0."""
    context: Context | None = None
    """The context variables of the sender, in which the handler begins; None if it has none. Chosen ones cross a wire."""
    attempts: int = 0
    """The number of handlers' attempts that failed."""
    begun: bool = False
    """Whether an ``async`` handler has it, which can be cancelled."""
    delivery: DurableDelivery | None = None
    """For messages to durable agents that need more than one attempt, or one effect."""
