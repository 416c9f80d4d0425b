"""The stored forms of messages between durable agents, and of reminders."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import copy_context

from coterie.durable import Identity, OutgoingMessage, StoredMessage
from coterie.errors import InvalidAddress
from coterie.errors.definition import DecodeFailed
from coterie.kernel import Address, Codec
from coterie.kernel.address import DURABLE_NODE
from coterie.messaging import Message, MessagePriority
from coterie.messaging.envelope import DurableDelivery, Envelope
from coterie.runtime.entities.durable_services import DurableServices
from coterie.runtime.entities.entity_kind import EntityKind
from coterie.runtime.entities.names import stored_address
from coterie.runtime.references.reference import AgentRef


class StoredForms:
    """Makes stored messages from messages, and envelopes from stored messages. It never changes; safe from any thread."""

    def __init__(
        self,
        services: DurableServices,
        codec: Codec,
        kinds: Mapping[str, EntityKind],
        known: Callable[[Address], Identity | None],
        read_reference: Callable[[str], AgentRef],
    ) -> None:
        self._services = services
        self._codec = codec
        self._kinds = kinds
        self._known = known
        self._read_reference = read_reference

    def outgoing(
        self, sender: Identity, to: AgentRef, message: Message, priority: int, ttl: float | None
    ) -> OutgoingMessage | None:
        """Return the stored form of a message to a durable agent; None for another agent. Raises `EncodeFailed`."""
        services = self._services
        identity = self._known(to.address)
        if identity is None:
            if services.strict or to.address.node != services.node:
                # It leaves after the commit: an error must come before.
                services.codec.pack(message)
                services.carrier.pack(copy_context())
            return None
        now = services.clock.time()
        packed = self._codec.pack(message)
        expires = None if ttl is None else now + ttl
        text, context = str(stored_address(sender)), services.carrier.to_bytes(copy_context())
        return OutgoingMessage(identity, packed.kind, packed.body, text, priority, now, expires, context=context)

    def reminder(self, to: Identity, after: float, message: Message, name: str | None) -> OutgoingMessage:
        """Return the stored form of a reminder. Raises `EncodeFailed`."""
        packed, due = self._codec.pack(message), self._services.clock.time() + after
        context = self._services.carrier.to_bytes(copy_context())
        priority = int(MessagePriority.NORMAL)
        return OutgoingMessage(to, packed.kind, packed.body, None, priority, due, None, name, context)

    def envelope(self, message: StoredMessage) -> Envelope:
        """Return the envelope of a stored message. Raises `DecodeFailed`."""
        # Named by module and class; the module of a script differs when another program opens the store.
        entity = self._kinds[message.to.kind]
        kind = entity.message_types.get(message.message.partition(":")[2]) or self._codec.resolve(message.message, Message)
        body = self._codec.decode(message.body, entity.forms.get(kind, kind))
        try:
            sender = None if message.sender is None else self._read_reference(message.sender)
        except (InvalidAddress, DecodeFailed):
            sender = None
        services = self._services
        left = None if message.expires is None else message.expires - services.clock.time()
        deadline = None if left is None else services.clock.monotonic() + left
        delivery = DurableDelivery(message.number, message.attempts)
        context = services.carrier.from_bytes(message.context)
        return Envelope(body, sender, None, deadline, message.priority, context=context, delivery=delivery)


def is_from_outside(sender_node: str, node: str) -> bool:
    """Return whether a message comes from another runtime, by the node of its sender's address."""
    return sender_node not in (node, DURABLE_NODE)
