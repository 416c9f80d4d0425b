"""The owner of an activation, as the activation sees it."""

from __future__ import annotations

from typing import Any, Protocol

from coterie.concurrency import Completion
from coterie.durable import BackgroundWrites, DurableStore, Identity, OutgoingMessage
from coterie.kernel import Codec
from coterie.messaging import Message, MessagePriority
from coterie.messaging.envelope import DurableDelivery, Envelope
from coterie.runtime.entities.entity_kind import EntityKind
from coterie.runtime.entities.policy import DurablePolicy
from coterie.runtime.entities.unit_of_work import UnitOfWork
from coterie.runtime.references.reference import AgentRef


class ActivationOwner(Protocol):
    """The owner of the activations of one key. Safe from any thread."""

    last_write: Completion | None
    """The last change that is on its way to the store. Only the activation's thread touches it, or the thread that ends its last
    message."""

    @property
    def identity(self) -> Identity:
        """The class and the key."""
        ...

    @property
    def kind(self) -> EntityKind:
        """The class."""
        ...

    @property
    def policy(self) -> DurablePolicy:
        """The policy of the runtime's durable agents."""
        ...

    @property
    def store(self) -> DurableStore:
        """The store."""
        ...

    @property
    def background(self) -> BackgroundWrites:
        """The changes that are stored after they are answered."""
        ...

    @property
    def codec(self) -> Codec:
        """The codec of stored messages and answers."""
        ...

    @property
    def reference(self) -> AgentRef:
        """A reference to the agent, whatever its activation."""
        ...

    def outgoing(self, to: AgentRef, message: Message, priority: MessagePriority, ttl: float | None) -> OutgoingMessage | None:
        """Return the stored form of a message to a durable agent; None for any other agent. Raises `EncodeFailed`."""
        ...

    def reminder(self, after: float, message: Message, name: str | None) -> OutgoingMessage:
        """Return the stored form of a reminder. Raises `EncodeFailed`, `InvalidMessage`."""
        ...

    def sent(self, unit: UnitOfWork, numbers: list[int], handled: int | None) -> None:
        """Deliver what a committed unit of work has sent; `numbers` are those of its stored messages."""
        ...

    def release(self, number: int) -> None:
        """Note that a stored message has left its mailbox unhandled, and must be delivered again."""
        ...

    def drop(self, number: int) -> None:
        """Delete a stored message, which has expired."""
        ...

    def failed(self, delivery: DurableDelivery, error: str, *, dead: bool) -> None:
        """Record that a stored message failed; with `dead` for good."""
        ...

    def take_over(self, envelope: Envelope, cell: Any) -> bool:
        """Keep a message, which an activation that ends has not handled, for the next one; return whether that is possible."""
        ...

    def take_back(self, envelopes: list[Envelope]) -> None:
        """Keep the messages that an activation, which ends now, has left, before those that came later."""
        ...

    def notify_watchers(self, event: Message, *, last: bool) -> None:
        """Send a lifecycle event to the watchers; with `last`, forget them."""
        ...
