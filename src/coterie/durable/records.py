"""The records that the store of durable agents takes and gives."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec


class Identity(msgspec.Struct, frozen=True, order=True):
    """The identity of a durable agent: the stored name of its class, and its key."""

    kind: str
    key: str


class StoredEvent(msgspec.Struct, frozen=True):
    """One recorded event, as stored: `number` counts from 1, `recorded_at` is seconds since 1970."""

    number: int
    name: str
    body: bytes
    recorded_at: float


class StoredState(msgspec.Struct, frozen=True):
    """The stored state of a durable agent."""

    commits: int = 0
    """The number of its commits; the next commit must find this number."""
    state: bytes | None = None
    """Its latest snapshot, if there is one."""
    state_version: int = 1
    """The version of the snapshot."""
    events: int = 0
    """The number of recorded events."""
    later: tuple[StoredEvent, ...] = ()
    """The events after the snapshot."""


class OutgoingMessage(msgspec.Struct, frozen=True):
    """A message to a durable agent that is stored with the commit of its sender."""

    to: Identity
    message: str
    """The stored name of the message's class."""
    body: bytes
    sender: str | None = None
    """The text of the sender's address."""
    priority: int = 2
    due: float = 0.0
    """When it is due, in seconds since 1970."""
    expires: float | None = None
    """When it expires, in seconds since 1970."""
    name: str | None = None
    """The name of a reminder; a later one of the same name replaces it."""
    context: bytes | None = None
    """The trace context and the chosen context variables of the sender."""


class StoredMessage(msgspec.Struct, frozen=True):
    """A stored message that is due, or dead."""

    number: int
    to: Identity
    message: str
    body: bytes
    sender: str | None
    priority: int
    due: float
    expires: float | None
    attempts: int
    error: str | None = None
    context: bytes | None = None


class OperationAnswer(msgspec.Struct, frozen=True):
    """The recorded answer to a request with an idempotency key. `request` is a digest of the request."""

    request: bytes
    body: bytes


@dataclass(slots=True)
class DurableChange:
    """The changes of one handled message. They are stored in one transaction."""

    identity: Identity
    commits: int
    """The number of commits that the store must have for this agent."""
    state: bytes | None = None
    """The new snapshot; None leaves the stored one."""
    folds: int | None = None
    """The number of events that the snapshot includes; None means all events up to this change."""
    state_version: int = 1
    events: list[tuple[str, bytes]] = field(default_factory=list)
    """New events: name and body."""
    event_count: int = 0
    """The number of events before this change."""
    handled: int | None = None
    """The number of the stored message that was handled."""
    outgoing: list[OutgoingMessage] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    """The names of reminders that are cancelled."""
    answer: tuple[str, bytes, bytes] | None = None
    """An idempotency key, the digest of its request, and the answer."""
    subscribed: list[str] = field(default_factory=list)
    unsubscribed: list[str] = field(default_factory=list)
    now: float = 0.0
    fence: tuple[str, int] | None = None
    """The owner of the agent and the epoch of the claim: the change is refused if another owner has claimed the agent since."""

    def add(self, later: DurableChange) -> None:
        """Add a later change of the same agent, with a state or events alone: both are stored as one commit."""
        if later.state is not None:
            self.state, self.folds = later.state, None
        elif later.events and self.folds is None:
            self.folds = self.event_count + len(self.events)
        self.events += later.events
        self.now = later.now

    @property
    def reaches_others(self) -> bool:
        """True if more than its own agent depends on the change: stored messages, reminders or subscriptions."""
        return self.handled is not None or bool(self.outgoing or self.cancelled or self.subscribed or self.unsubscribed)

    @property
    def is_empty(self) -> bool:
        """True if the change has nothing to store."""
        return self.state is None and self.answer is None and not self.events and not self.reaches_others
