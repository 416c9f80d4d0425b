"""The endpoint of one durable agent: it activates the agent for a message, and carries messages from one activation to the next."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from coterie.concurrency import Completion, Rank, Signal, new_lock
from coterie.concurrency.threads import defer
from coterie.durable import BackgroundWrites, DurableStore, Identity, OutgoingMessage, StoredMessage
from coterie.errors import CodecError, CoterieError, InvalidMessage, MailboxFull, RuntimeStopped
from coterie.kernel import Address, Codec
from coterie.messaging import Message, MessagePriority, Overflow
from coterie.messaging.envelope import DurableDelivery, Envelope
from coterie.messaging.pending_put import PendingPut
from coterie.runtime.entities.endpoint_owner import EndpointOwner
from coterie.runtime.entities.entity_cell import EntityCell
from coterie.runtime.entities.entity_kind import EntityKind
from coterie.runtime.entities.policy import DurablePolicy
from coterie.runtime.entities.stored_inbox import StoredInbox
from coterie.runtime.entities.unit_of_work import UnitOfWork
from coterie.runtime.references.reference import AgentRef

_OUTSIDE = 1_000
"""Messages that may wait for an activation in addition to those that its mailbox will hold, unless that rejects them."""


class EntityEndpoint:
    """The endpoint of one key. `_lock` guards its fields; nothing else is called while it is held.

    `_cell` is the activation that takes messages. While one is being started, or the last one ends, messages wait in
    `_waiting`, as many as the mailbox has places.
    """

    __slots__ = (
        "__weakref__", "_cell", "_inbox", "_lock", "_owner", "_put", "_starting", "_waiting", "_watchers",
        "address", "identity", "kind", "last_write",
    )  # fmt: skip

    def __init__(self, owner: EndpointOwner[EntityEndpoint], kind: EntityKind, identity: Identity, address: Address) -> None:
        self._owner = owner
        self.kind = kind
        self.identity = identity
        self.address = address
        self._lock = new_lock(Rank.ENTITY)
        self._cell: EntityCell | None = None
        self._put: Callable[[Envelope], PendingPut | None] | None = None
        """Puts into the mailbox of `_cell`, which another record of the activation may have by now."""
        self._starting = False
        self._waiting: list[Envelope] = []
        # Few agents have the two, and there may be many agents.
        self._inbox: StoredInbox | None = None
        self._watchers: dict[AgentRef, None] | None = None
        self.last_write: Completion | None = None

    # The endpoint of references.

    @property
    def local(self) -> EntityCell | None:
        """The present activation; None for an agent that is not active."""
        cell = self._cell
        return None if cell is None else cell.local

    @property
    def forms(self) -> Mapping[type[Message], Any]:
        """The types of the generic messages that its handlers name, with their arguments."""
        return self.kind.forms

    @property
    def is_durable(self) -> bool:
        """True."""
        return True

    @property
    def is_alive(self) -> bool:
        """True until the runtime has stopped: a durable agent is activated when it is needed."""
        return not self._owner.closed

    def deliver(self, envelope: Envelope) -> PendingPut | None:
        """Deliver an envelope; see `Endpoint`. Raises `MailboxFull` by the policy of the mailbox."""
        put = self._put
        if put is not None:
            return put(envelope)
        if self._owner.shuts_out(envelope):
            self._refuse(envelope, RuntimeStopped(self.address.node, f"so {self.address.name} takes no more messages"))
            return None
        if self._lock._is_owned():  # noqa: SLF001 - see `Lock`
            defer(lambda: self.deliver(envelope))
            return None
        with self._lock:
            put = self._put
            full = put is None and len(self._waiting) >= self._room
            if put is None and not full:
                self._waiting.append(envelope)
            start = put is None and not self._starting
            self._starting = self._starting or start
        if put is not None:
            return put(envelope)
        if start:
            self._start()
        if full:
            name, kind = self.address.name, type(envelope.message).__qualname__
            raise MailboxFull(name, kind, self._room, "and its next activation has not begun yet")
        return None

    def cancel(self, envelope: Envelope) -> None:
        """Stop working on an envelope whose ask has ended."""
        cell = self._cell
        if cell is not None:
            cell.cancel(envelope)

    def stop(self, *, drain: bool, kill_after: float | None = None) -> Completion:
        """End the present activation. The next message activates the agent again."""
        cell = self.local
        if cell is None:
            ended = Signal()
            ended.set()
            return ended
        cell.passivating = True
        return cell.stop(drain=drain, kill_after=kill_after)

    def watch(self, watcher: AgentRef) -> None:
        """Notify `watcher` of restarts, and when the agent has failed for good."""
        with self._lock:
            if self._watchers is None:
                self._watchers = {}
            self._watchers[watcher] = None
        self._owner.keep(self, on=True)

    def unwatch(self, watcher: AgentRef) -> None:
        """Notify `watcher` no longer."""
        with self._lock:
            if self._watchers is not None:
                self._watchers.pop(watcher, None)
            left = bool(self._watchers)
        if not left:
            self._owner.keep(self, on=False)

    def notify_watchers(self, event: Message, *, last: bool) -> None:
        """Send a lifecycle event to the watchers; with `last`, forget them."""
        with self._lock:
            watchers = list(self._watchers or ())
            if last:
                self._watchers = None
        if last:
            self._owner.keep(self, on=False)
        for watcher in watchers:
            if watcher.is_alive:
                watcher.tell(event, priority=MessagePriority.SYSTEM)

    # Activation.

    def activate(self) -> None:
        """Start an activation, unless there is one, without a message."""
        with self._lock:
            start = self._put is None and not self._starting
            self._starting = self._starting or start
        if start:
            self._start()

    @property
    def _room(self) -> int:
        """The number of messages that may wait for an activation, which then lets them in by the policy of its mailbox."""
        policy = self._owner.mailbox(self.kind)
        return policy.capacity if policy.overflow is Overflow.REJECT else policy.capacity + _OUTSIDE

    def _start(self) -> None:
        """Start an activation, and give it the messages that wait, in their order."""
        try:
            cell = self._owner.start(self)
        except CoterieError as error:
            with self._lock:
                refused, self._waiting = self._waiting, []
                begun, self._cell = self._cell, None
                self._starting = False
            if begun is not None:
                refused = begun.mailbox.empty() + refused
            for envelope in refused:
                self._refuse(envelope, error)
            return
        while not self._hand_over(cell, last=True):
            pass
        # Not a closure, which takes three times the memory.
        cell.ended.add_callback(partial(self._ended, cell))

    def begin(self, cell: EntityCell) -> None:
        """Give the messages that wait to an activation that is about to run."""
        with self._lock:
            self._cell = cell
        self._hand_over(cell, last=False)

    def _hand_over(self, cell: EntityCell, *, last: bool) -> bool:
        """Put the messages that wait into a mailbox. With `last`, have later ones put there directly, if none waits any more."""
        put = cell.mailbox.put
        with self._lock:
            if not self._waiting or cell.mailbox.closed:
                if last:
                    self._put = put
                    self._starting = False
                return True
            batch, self._waiting = self._waiting, []
        for envelope in batch:
            try:
                put(envelope)
            except MailboxFull as error:
                self._refuse(envelope, error)
        return False

    def _ended(self, cell: EntityCell) -> None:
        """Start the next activation if messages came meanwhile."""
        self._owner.ended(self, cell)
        with self._lock:
            if self._cell is cell:
                self._cell = self._put = None
            start = bool(self._waiting) and not self._starting
            self._starting = self._starting or start
        if start:
            self._start()

    def _refuse(self, envelope: Envelope, error: CoterieError) -> None:
        """End a message that no activation takes; a stored one is delivered again later."""
        if envelope.delivery is not None and envelope.delivery.number:
            self.release(envelope.delivery.number)
        else:
            self._owner.refuse(envelope, self.address, error)

    def take_over(self, envelope: Envelope, cell: EntityCell) -> bool:
        """Keep a message that an activation, which ends, has not handled; return False if the next one would fail too."""
        if not cell.local.hands_over or self._owner.shuts_out(envelope):
            return False
        with self._lock:
            # The next activation may have begun while the message was on its way to this one.
            later = None if self._cell is cell else self._put
            if later is None:
                if len(self._waiting) >= self._room:
                    return False
                self._waiting.append(envelope)
            start = self._cell is None and not self._starting
            self._starting = self._starting or start
        if start:
            self._start()
        if later is not None:
            try:
                later(envelope)
            except MailboxFull:
                return False
        return True

    def take_back(self, envelopes: list[Envelope]) -> None:
        """Keep the messages that an activation, which ends now, has left, before those that came later."""
        with self._lock:
            self._waiting[:0] = envelopes

    # Stored messages.

    @property
    def store(self) -> DurableStore:
        """The store."""
        return self._owner.store

    @property
    def background(self) -> BackgroundWrites:
        """The changes that are stored after they are answered."""
        return self._owner.background

    @property
    def codec(self) -> Codec:
        """The codec of stored messages and answers."""
        return self._owner.codec

    @property
    def policy(self) -> DurablePolicy:
        """The policy of the runtime's durable agents."""
        return self._owner.policy

    @property
    def reference(self) -> AgentRef:
        """A reference to the agent."""
        return self._owner.reference_to(self)

    def outgoing(self, to: AgentRef, message: Message, priority: MessagePriority, ttl: float | None) -> OutgoingMessage | None:
        """Return the stored form of a message to a durable agent; None for any other agent. Raises `EncodeFailed`."""
        return self._owner.forms.outgoing(self.identity, to, message, int(priority), ttl)

    def reminder(self, after: float, message: Message, name: str | None) -> OutgoingMessage:
        """Return the stored form of a reminder. Raises `EncodeFailed`, `InvalidMessage`."""
        if not isinstance(message, Message):
            raise InvalidMessage(message, self.address.name)
        return self._owner.forms.reminder(self.identity, after, message, name)

    def sent(self, unit: UnitOfWork, numbers: list[int], handled: int | None) -> None:
        """Deliver what a committed unit of work has sent, and fetch further stored messages when the last is handled."""
        if numbers or unit.afterwards or unit.subscribed:
            self._owner.sent(self.reference, unit, numbers)
        if handled is not None:
            self.inbox.finish(handled)

    @property
    def inbox(self) -> StoredInbox:
        """The stored messages for the agent."""
        inbox = self._inbox
        if inbox is None:
            with self._lock:
                inbox = self._inbox = self._inbox or StoredInbox(self)
        return inbox

    def due(self, limit: int) -> list[StoredMessage]:
        """Return the stored messages that are due. Blocks for a read."""
        return self.store.due(self.identity, self._owner.now(), limit)

    def put(self, message: StoredMessage) -> bool:
        """Put a stored message into the mailbox; return whether it had a place."""
        try:
            envelope = self._owner.forms.envelope(message)
        except CodecError as error:
            self.failed(DurableDelivery(message.number, message.attempts), str(error), dead=True)
            return True
        try:
            self.deliver(envelope)
        except MailboxFull:
            return False
        return True

    def refill_soon(self, *, delayed: bool) -> None:
        """Have the stored messages delivered, on a thread that may block."""
        self._owner.refill(self, delayed=delayed)

    def release(self, number: int) -> None:
        """Note that a stored message has left its mailbox unhandled, and must be delivered again."""
        self.inbox.release([number])

    def drop(self, number: int) -> None:
        """Delete a stored message, which has expired."""
        self.store.drop(number)
        self.inbox.finish(number)

    def failed(self, delivery: DurableDelivery, error: str, *, dead: bool) -> None:
        """Record that a stored message failed; with `dead` for good."""
        self.store.record_attempt(delivery.number, delivery.attempts, error, dead=dead)
        if dead:
            self.inbox.finish(delivery.number)
