"""Publications to the agents of other nodes, and from them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from coterie.concurrency import Completion, Signal
from coterie.errors import CodecError, TransportError
from coterie.kernel import Address
from coterie.messaging import Message, MessagePriority, Reason
from coterie.messaging.envelope import Envelope
from coterie.messaging.pending_put import PendingPut
from coterie.runtime.nodes.connection import Connection
from coterie.runtime.nodes.wire import PublishFrame
from coterie.runtime.references.local_agent import LocalAgent
from coterie.runtime.references.publication import post_to_all
from coterie.runtime.references.reference import AgentRef

_log = logging.getLogger(__name__)


class PublishEndpoint:
    """The endpoint to all subscribers of a topic on another node, or to all of its agents. It never waits."""

    __slots__ = ("_node", "_topic", "address")

    def __init__(self, node: Connection, runtime: str, topic: str | None) -> None:
        self.address = Address(runtime, "(all agents)" if topic is None else f"(topic {topic})".replace("#", ""))
        self._node = node
        self._topic = topic

    @property
    def local(self) -> LocalAgent | None:
        """None: the agents are on another node."""
        return None

    @property
    def is_durable(self) -> bool:
        """False."""
        return False

    @property
    def is_alive(self) -> bool:
        """True until the node is lost."""
        return not self._node.is_lost(self.address.node)

    def deliver(self, envelope: Envelope) -> PendingPut | None:
        """Send a message. Raises `EncodeFailed`."""
        services = self._node.services
        message = services.codec.pack(envelope.message)
        carried = services.carrier.pack(envelope.context)
        sender: Any = envelope.sender
        frame = PublishFrame(self._topic, message, sender and sender.address, envelope.priority, carried)
        try:
            self._node.send(self.address.node, frame)
        except TransportError as error:
            services.count_refused()
            services.dead_letter(envelope, self.address, Reason.UNDELIVERABLE, str(error))
        return None

    def cancel(self, envelope: Envelope) -> None:
        """Do nothing: no answer is expected."""

    def stop(self, *, drain: bool, kill_after: float | None = None) -> Completion:  # noqa: ARG002 - as in every endpoint
        """Return a completion that is done: this is no agent."""
        ended = Signal()
        ended.set()
        return ended

    def watch(self, watcher: AgentRef) -> None:
        """Do nothing: this is no agent."""

    def unwatch(self, watcher: AgentRef) -> None:
        """Do nothing: this is no agent."""


class Subscriptions(Protocol):
    """The agents of this runtime, as publications of other nodes see them."""

    def listeners(self, topic: str | None) -> list[AgentRef]:
        """Return the ordinary subscribers of a topic, or all agents for None."""
        ...


def publish_here(
    node: Connection, listeners: Iterable[AgentRef], reference: Callable[[Address], AgentRef], frame: PublishFrame
) -> None:
    """Post a message of another node to agents of this one."""
    agents = list(listeners)
    if not agents:
        return
    try:
        message = node.services.codec.unpack(frame.message, Message)
    except CodecError as error:
        _log.warning("a publication of %s was discarded: %s", frame.sender or "another node", error)
        return
    sender = reference(frame.sender) if frame.sender is not None else None
    priority = MessagePriority(frame.priority) if frame.priority in (0, 1, 2) else MessagePriority.NORMAL
    context = node.services.carrier.unpack(frame.context)
    if context is None:
        post_to_all(agents, sender, message, priority)
    else:
        context.run(post_to_all, agents, sender, message, priority)
