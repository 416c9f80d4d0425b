"""The unit of work of one message of a durable agent: changes and messages that wait for the success of its handler."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any

from coterie.durable import OutgoingMessage
from coterie.errors import InvalidSetting
from coterie.kernel import check_number
from coterie.messaging import Message, MessagePriority
from coterie.runtime.references.reference import AgentRef

Outgoing = Callable[[AgentRef, Message, MessagePriority, "float | None"], "OutgoingMessage | None"]


class UnitOfWork:
    """The effects of the handler of one message, until they are committed or undone. Only for the agent's thread."""

    __slots__ = ("_outgoing", "afterwards", "cancelled", "events", "outgoing", "subscribed", "unsubscribed")

    def __init__(self, outgoing: Outgoing) -> None:
        self._outgoing = outgoing
        self.events: list[tuple[str, bytes]] = []
        self.outgoing: list[OutgoingMessage] = []
        """Messages to durable agents, and reminders."""
        self.afterwards: list[tuple[Context, AgentRef, Message, MessagePriority, float | None]] = []
        """Messages to other agents: they are sent, at most once and in their contexts, when the change is stored."""
        self.cancelled: list[str] = []
        self.subscribed: list[str] = []
        self.unsubscribed: list[str] = []

    def tell(self, to: AgentRef, message: Message, priority: MessagePriority, ttl: float | None) -> None:
        """Add a message. Raises `EncodeFailed` if it goes to a durable agent and has no stored form."""
        if ttl is not None:
            check_number("ttl", ttl)
        stored = self._outgoing(to, message, priority, ttl)
        if stored is None:
            self.afterwards.append((copy_context(), to, message, priority, ttl))
        else:
            self.outgoing.append(stored)

    def remind(self, reminder: OutgoingMessage) -> None:
        """Add a reminder; it replaces an earlier one of its name."""
        self.cancel(reminder.name)
        self.outgoing.append(reminder)

    def cancel(self, name: str | None) -> None:
        """Cancel the reminder of a name."""
        if name is not None:
            self.outgoing = [each for each in self.outgoing if each.name != name]
            self.cancelled.append(name)

    def subscribe(self, topic: str, *, on: bool) -> None:
        """Subscribe to a topic, or unsubscribe."""
        added, removed = (self.subscribed, self.unsubscribed) if on else (self.unsubscribed, self.subscribed)
        if topic in removed:
            removed.remove(topic)
        added.append(topic)


def check_reminder(after: Any, name: Any) -> None:
    """Check the arguments of `Context.remind`. Raises `InvalidSetting`."""
    check_number("remind.after", after)
    if name is not None and (not isinstance(name, str) or not name):
        raise InvalidSetting("remind.key", name, "non-empty text, or None")
