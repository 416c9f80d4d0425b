"""One runtime's end of the links to other nodes: sends frames, and carries out the frames of other nodes."""

from __future__ import annotations

import contextlib
import logging
import weakref
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec

from coterie.concurrency import Completion, Rank, new_lock, start_thread
from coterie.errors import CodecError, HandlerFailed, InvalidSetting, MailboxFull, RuntimeStopped, TransportError, describe
from coterie.kernel import Address
from coterie.kernel.address import DURABLE_NODE
from coterie.messaging import BufferingTransport, Message, MessagePriority, Reason, Stream, Transport
from coterie.messaging.envelope import DurableDelivery, Envelope
from coterie.messaging.link import Link
from coterie.messaging.transport import PeeringTransport, PlacingTransport
from coterie.runtime.nodes.connection import RemoteServices
from coterie.runtime.nodes.published import PublishEndpoint, Subscriptions, publish_here
from coterie.runtime.nodes.remote import RemoteEndpoint
from coterie.runtime.nodes.remote_reply import RemoteReply, RemoteStream
from coterie.runtime.nodes.remote_watches import RemoteWatches
from coterie.runtime.nodes.routed import RoutedEndpoint
from coterie.runtime.nodes.senders import SenderReferences
from coterie.runtime.nodes.wire import (
    Answer,
    AnswerFrame,
    CreditFrame,
    DeliverFrame,
    EndFrame,
    FailureFrame,
    Frame,
    ItemFrame,
    ProbeFrame,
    PublishFrame,
    StopFrame,
    WatchFrame,
    WithdrawFrame,
    encode_error,
)
from coterie.runtime.references import mailbox_room
from coterie.runtime.references.lifecycle_events import AgentDown
from coterie.runtime.references.mailbox_room import WaitServices
from coterie.runtime.references.reference import AgentRef, Endpoint

_log = logging.getLogger(__name__)

_LONGEST_KEY = 256


class Recipient(Endpoint, Protocol):
    """The endpoint of an agent of this runtime."""

    @property
    def forms(self) -> Mapping[type[Message], Any]:
        """The types of the generic messages that its handlers name, with their arguments."""
        ...


class NodeServices(RemoteServices, WaitServices, Subscriptions, Protocol):
    """The parts of a runtime that its end of the links needs."""

    @property
    def node(self) -> str:
        """The name of the runtime among nodes."""
        ...

    def reference(self, address: Address) -> AgentRef:
        """Return a reference to an address."""
        ...

    def recipient(self, address: Address) -> Recipient | None:
        """Return the endpoint of the living, or durable, agent at an address of this runtime."""
        ...

    def dead_endpoint(self, address: Address) -> Endpoint:
        """Return the endpoint of an address of this runtime without a living agent."""
        ...


class Node:
    """Sends frames to other nodes, and carries out theirs.

    Safe from any thread. `_lock` guards the tables of unanswered asks: `_asked` of agents on other nodes, and `_asking` from
    other nodes; and `_watched`, the watchers here of agents on other nodes.
    """

    def __init__(self, services: NodeServices, transport: Transport, patience: float, silence: float) -> None:
        self.services = services
        self.transport = transport
        self._room = transport.room if isinstance(transport, BufferingTransport) else None
        self._home = transport.home if isinstance(transport, PlacingTransport) else None
        self._reachable = transport.reachable if isinstance(transport, PeeringTransport) else None
        self._lock = new_lock(Rank.REGISTRY)
        self._asked: dict[int, tuple[str, int, Callable[[Answer], None]]] = {}
        self._watched: dict[Address, dict[Address, tuple[int, AgentRef]]] = {}
        self._losses: Counter[str] = Counter()
        """How often each node was lost: what began before the latest loss ends with it, and what began after it does not."""
        self._asking: dict[tuple[str, int], tuple[int, Recipient, Envelope]] = {}
        self._endpoints: weakref.WeakValueDictionary[Address, RemoteEndpoint] = weakref.WeakValueDictionary()
        self._senders = SenderReferences(services.node, services.reference)
        self._watches = RemoteWatches(services, self.is_lost)
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(Frame)
        self.link = Link(
            services.node,
            transport,
            services.timers,
            self._receive,
            patience,
            silence=silence,
            lost=self._begin_to_lose,
            forgotten=self._forget,
            found=self._watches.look,
        )

    def endpoint(self, address: Address) -> Endpoint:
        """Return the endpoint to an agent of another node, or to a durable agent that may be on any."""
        if address.node == DURABLE_NODE and self._home is not None:
            return RoutedEndpoint(self.services, address, self._home, self._present)
        return self._remote(address)

    def listeners(self, topic: str | None) -> list[PublishEndpoint]:
        """Return for each other node the endpoint to all subscribers of a topic there, or for None to all of its agents."""
        if self._reachable is None:
            return []
        return [PublishEndpoint(self, node, topic) for node in self._reachable()]

    def _present(self, address: Address) -> Endpoint:
        """Return the endpoint to a durable agent at its present address."""
        if address.node == self.services.node:
            return self.services.recipient(address) or self.services.dead_endpoint(address)
        return self._remote(address)

    def _remote(self, address: Address) -> RemoteEndpoint:
        with self._lock:
            endpoint = self._endpoints.get(address)
            if endpoint is None:
                endpoint = self._endpoints[address] = RemoteEndpoint(self, address)
            return endpoint

    def send(self, node: str, frame: Frame) -> None:
        """Send a frame. Raises `TransportError` if it certainly cannot arrive."""
        self.link.send(node, self._encoder.encode(frame))

    def room(self, node: str) -> Completion | None:
        """Return None if senders to a node need not wait, or a completion that is done when they need not any more."""
        return self._room(node) if self._room is not None else None

    def expect(self, node: str, number: int, answered: Callable[[Answer], None]) -> None:
        """Call `answered` with the frames that answer an ask of a node, or with a failure when the node is lost."""
        with self._lock:
            self._asked[number] = node, self._losses[node], answered

    def expect_no_more(self, number: int) -> None:
        """Forget an ask."""
        with self._lock:
            self._asked.pop(number, None)

    def is_lost(self, node: str) -> bool:
        """Return whether a node is lost."""
        return self.link.liveness.is_lost(node)

    def watches(self, address: Address, watcher: AgentRef, *, on: bool) -> None:
        """Record that an agent here watches one of another node, or does no longer."""
        if on:
            with self._lock:
                self._watched.setdefault(address, {})[watcher.address] = self._losses[address.node], watcher
        if not on:
            self._forget_watch(address, watcher.address)

    def _forget_watch(self, address: Address, watcher: Address) -> None:
        with self._lock:
            watchers = self._watched.get(address, {})
            watchers.pop(watcher, None)
            if not watchers:
                self._watched.pop(address, None)

    def _forget(self, node: str) -> None:
        self._senders.forget()
        with self._lock:
            self._losses.pop(node, None)
        self._watches.look(node, forget=True)

    def _begin_to_lose(self, node: str, why: str) -> None:
        with self._lock:
            self._losses[node] += 1
            losses = self._losses[node]
        # The work grows with what is under way to the node, and the timers' thread serves all.
        start_thread(lambda: self._lose(node, losses, why), f"{self.services.node}-lost")

    def _lose(self, node: str, losses: int, why: str) -> None:
        """End what waits for a node that is lost. It may have been heard again by now."""
        _log.warning("node %s is lost: %s", node, why)
        self._watches.look(node)
        with self._lock:
            asked = [number for number, (of, before, _) in self._asked.items() if of == node and before < losses]
            ends = [(number, self._asked.pop(number)[2]) for number in asked]
            asking = [key for key, (before, _, _) in self._asking.items() if key[0] == node and before < losses]
            withdrawn = [self._asking.pop(key)[1:] for key in asking]
            watched = [
                (address, key, watcher)
                for address, watchers in self._watched.items()
                for key, (before, watcher) in watchers.items()
                if address.node == node and before < losses
            ]
        text = f"node {node} is lost: {why}; whether the request was handled is unknown"
        for number, ended in ends:
            ended(FailureFrame(number, "AskCancelled", text))
        for agent, envelope in withdrawn:
            _withdraw(agent, envelope)
        for address, key, watcher in watched:
            self._forget_watch(address, key)
            self.tell_lost(address, watcher, why)

    def tell_lost(self, address: Address, watcher: AgentRef, why: str) -> None:
        """Tell a watcher that the node of an agent is lost."""
        watcher.tell(AgentDown(self.services.reference(address), "lost", why), priority=MessagePriority.SYSTEM)

    def answer(self, node: str, frame: Answer) -> None:
        """Send the outcome of an ask, or an item of it, to the asker's node."""
        try:
            self.send(node, frame)
        except Exception as error:  # noqa: BLE001 - a transport of a user's may raise anything; the agent must not fail of that
            _log.warning("an answer to node %s was lost: %s", node, describe(error))
            if isinstance(frame, AnswerFrame | ItemFrame):
                # It may be too large. What has become of it is short.
                self.answer(
                    node, FailureFrame(frame.correlation, "AnswerLost", f"the answer could not be sent: {describe(error)}")
                )

    def asks_no_more(self, node: str, correlation: int) -> None:
        """Forget an ask of another node, which has ended."""
        with self._lock:
            self._asking.pop((node, correlation), None)

    def close(self) -> None:
        """Receive no more frames. Asks of agents on other nodes that have not ended end with `RuntimeStopped`."""
        self.link.close()
        with self._lock:
            asked, self._asked = self._asked, {}
        stopped = RuntimeStopped(self.services.node, "hears no answers any more")
        for number, (_, _, ended) in asked.items():
            ended(encode_error(number, stopped))

    def _receive(self, source: str, payload: bytes) -> None:
        try:
            frame = self._decoder.decode(payload)
        except (msgspec.DecodeError, RecursionError) as error:
            _log.warning("a frame from node %s makes no sense and was discarded: %s", source, error)
            return
        try:
            self._carry_out(source, frame)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is logged, and the asker gets it
            # The other frames of the node, and the thread that brings them, must go on.
            _log.exception("a frame from node %s could not be carried out", source)
            if isinstance(frame, DeliverFrame) and frame.correlation:
                why = f"its node could not take the message: {describe(error)}"
                self.answer(source, FailureFrame(frame.correlation, "NotTaken", why))

    def _carry_out(self, source: str, frame: Frame) -> None:
        match frame:
            case DeliverFrame():
                self._deliver(source, frame)
            case AnswerFrame() | FailureFrame() | EndFrame() | ItemFrame() | ProbeFrame():
                self._take_answer(source, frame)
            case WithdrawFrame() | CreditFrame():
                self._change_ask(source, frame)
            case StopFrame():
                self._stop(source, frame)
            case WatchFrame():
                self._watches.take(source, frame)
            case PublishFrame():
                publish_here(self, self.services.listeners(frame.topic), self.services.reference, frame)

    def _take_answer(self, source: str, frame: Answer) -> None:
        more = isinstance(frame, ItemFrame | ProbeFrame)
        with self._lock:
            expected = self._asked.get(frame.correlation)
            known = expected is not None and expected[0] == source
            if known and not more:
                del self._asked[frame.correlation]
        if expected is not None and known:
            expected[2](frame)
        elif more:
            # The asker has left, and its word may have been lost.
            with contextlib.suppress(TransportError):
                self.send(source, WithdrawFrame(frame.correlation))

    def _change_ask(self, source: str, frame: WithdrawFrame | CreditFrame) -> None:
        with self._lock:
            asking = self._asking.get((source, frame.correlation))
        if asking is None:
            return
        _, agent, envelope = asking
        if isinstance(frame, WithdrawFrame):
            _withdraw(agent, envelope)
        elif isinstance(envelope.reply, RemoteStream):
            envelope.reply.grant(frame.taken)

    def _deliver(self, source: str, frame: DeliverFrame) -> None:
        services = self.services
        reply = self._reply_to(source, frame) if frame.correlation else None
        agent = services.recipient(frame.to)
        try:
            message = services.codec.unpack(frame.message, Message, agent.forms if agent is not None else None)
            if frame.correlation or frame.idempotency_key:
                _check(frame, message, agent)
        except (CodecError, InvalidSetting) as error:
            _log.warning("a message from node %s for %s was discarded: %s", source, frame.to, error)
            if reply is not None:
                reply.fail(HandlerFailed(frame.to.name, frame.message.kind, str(error)))
            return
        deadline = None if frame.ttl is None else services.clock.monotonic() + frame.ttl
        if isinstance(message, AgentDown):
            self._forget_watch(message.agent.address, frame.to)
        sender = self._senders.get(frame.sender)
        delivery = DurableDelivery(idempotency_key=frame.idempotency_key) if frame.idempotency_key else None
        context = services.carrier.unpack(frame.context) if frame.context is not None else None
        envelope = Envelope(message, sender, reply, deadline, frame.priority, context=context, delivery=delivery)
        if agent is None:
            services.dead_endpoint(frame.to).deliver(envelope)
            return
        if reply is not None:
            reply.request = message
            with self._lock:
                self._asking[source, frame.correlation] = self._losses[source], agent, envelope
        self._put(agent, envelope)

    def _reply_to(self, source: str, frame: DeliverFrame) -> RemoteReply:
        """Return a new reply for the asker of a message."""
        if frame.ahead > 0:
            return RemoteStream(self, source, frame.correlation, frame.to.name, frame.ahead)
        return RemoteReply(self, source, frame.correlation, frame.to.name)

    def _put(self, agent: Recipient, envelope: Envelope) -> None:
        """Put a message into the mailbox of an agent; if that is full, let it wait in the background."""
        services = self.services

        def rejected(full: MailboxFull) -> None:
            if envelope.reply is not None:
                envelope.reply.fail(full)
            else:
                services.dead_letter(envelope, agent.address, Reason.FULL)

        try:
            pending = agent.deliver(envelope)
        except MailboxFull as full:
            rejected(full)
            return
        owner = agent.local
        if pending is not None and owner is not None:
            mailbox_room.attend(services, owner, pending, rejected)

    def _stop(self, source: str, frame: StopFrame) -> None:
        agent = self.services.recipient(frame.to)
        answer = AnswerFrame(frame.correlation, "", b"\xc0")
        if agent is None:
            self.answer(source, answer)
        else:
            agent.stop(drain=frame.drain, kill_after=frame.kill_after).add_callback(lambda: self.answer(source, answer))


def _check(frame: DeliverFrame, message: Message, agent: Recipient | None) -> None:
    """Check the parts of a frame that belong to its message and its agent. Raises `InvalidSetting`."""
    if frame.correlation and isinstance(message, Stream) is not (frame.ahead > 0):
        raise InvalidSetting("ahead", frame.ahead, "the number of items ahead for a Stream, and 0 for any other message")
    if not frame.idempotency_key:
        return
    if agent is not None and not agent.is_durable:
        raise InvalidSetting("idempotency_key", frame.idempotency_key, f"none: {frame.to.name} is not a durable agent")
    if len(frame.idempotency_key) > _LONGEST_KEY or frame.ahead:
        raise InvalidSetting("idempotency_key", frame.idempotency_key[:_LONGEST_KEY], f"at most {_LONGEST_KEY} characters")


def _withdraw(agent: Recipient, envelope: Envelope) -> None:
    """End an ask of another node, which waits for it no longer."""
    assert isinstance(envelope.reply, RemoteReply)
    envelope.reply.withdraw()
    agent.cancel(envelope)
