"""One runtime's end of the links to other nodes: sends frames, and carries out the frames of other nodes."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable
from typing import Protocol

import msgspec

from coterie.concurrency import Rank, new_lock
from coterie.errors import CodecError, HandlerFailed, MailboxFull, RuntimeStopped, describe
from coterie.kernel import Address
from coterie.messaging import Message, Reason, Transport
from coterie.messaging.envelope import Envelope
from coterie.messaging.link import Link
from coterie.runtime.nodes.remote import RemoteEndpoint, RemoteReply, RemoteServices
from coterie.runtime.nodes.wire import (
    AnswerFrame,
    DeliverFrame,
    FailureFrame,
    Frame,
    StopFrame,
    WatchFrame,
    WithdrawFrame,
    encode_error,
)
from coterie.runtime.references import mailbox_room
from coterie.runtime.references.lifecycle_events import AgentDown
from coterie.runtime.references.mailbox_room import WaitServices
from coterie.runtime.references.reference import AgentRef, Endpoint, LocalAgent

_log = logging.getLogger(__name__)


class LocalEndpoint(Endpoint, LocalAgent, Protocol):
    """An agent of this runtime, which is its own endpoint."""


class NodeServices(RemoteServices, WaitServices, Protocol):
    """The parts of a runtime that its end of the links needs."""

    @property
    def node(self) -> str:
        """The name of the runtime among nodes."""
        ...

    def reference(self, address: Address) -> AgentRef:
        """Return a reference to an address."""
        ...

    def local(self, address: Address) -> LocalEndpoint | None:
        """Return the living agent at an address of this runtime."""
        ...

    def dead_endpoint(self, address: Address) -> Endpoint:
        """Return the endpoint of an address of this runtime without a living agent."""
        ...


class Node:
    """Sends frames to other nodes, and carries out theirs.

    Safe from any thread. `_lock` guards the tables of unanswered asks: `_asked` of agents on other nodes, and `_asking` from
    other nodes.
    """

    def __init__(self, services: NodeServices, transport: Transport, patience: float) -> None:
        self.services = services
        self.transport = transport
        self._lock = new_lock(Rank.REGISTRY)
        self._asked: dict[int, Callable[[AnswerFrame | FailureFrame], None]] = {}
        self._asking: dict[tuple[str, int], tuple[LocalEndpoint, Envelope]] = {}
        self._endpoints: weakref.WeakValueDictionary[Address, RemoteEndpoint] = weakref.WeakValueDictionary()
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(Frame)
        self.link = Link(services.node, transport, services.timers, self._receive, patience)

    def endpoint(self, address: Address) -> RemoteEndpoint:
        """Return the endpoint to an agent of another node."""
        with self._lock:
            endpoint = self._endpoints.get(address)
            if endpoint is None:
                endpoint = self._endpoints[address] = RemoteEndpoint(self, address)
            return endpoint

    def send(self, node: str, frame: Frame) -> None:
        """Send a frame. Raises `TransportError` if it certainly cannot arrive."""
        self.link.send(node, self._encoder.encode(frame))

    def expect(self, number: int, ended: Callable[[AnswerFrame | FailureFrame], None]) -> None:
        """Call `ended` with the outcome of an ask when that arrives."""
        with self._lock:
            self._asked[number] = ended

    def expect_no_more(self, number: int) -> None:
        """Forget an ask."""
        with self._lock:
            self._asked.pop(number, None)

    def answer(self, node: str, frame: AnswerFrame | FailureFrame) -> None:
        """Send the outcome of an ask to the asker's node."""
        try:
            self.send(node, frame)
        except Exception as error:  # noqa: BLE001 - a transport of a user's may raise anything; the agent must not fail of that
            _log.warning("an answer to node %s was lost: %s", node, describe(error))
            if isinstance(frame, AnswerFrame):
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
        for number, ended in asked.items():
            ended(encode_error(number, stopped))

    def _receive(self, source: str, payload: bytes) -> None:
        try:
            frame = self._decoder.decode(payload)
        except msgspec.DecodeError as error:
            _log.warning("a frame from node %s makes no sense and was discarded: %s", source, error)
            return
        match frame:
            case DeliverFrame():
                self._deliver(source, frame)
            case AnswerFrame() | FailureFrame():
                with self._lock:
                    ended = self._asked.pop(frame.correlation, None)
                if ended is not None:
                    ended(frame)
            case WithdrawFrame():
                with self._lock:
                    asking = self._asking.get((source, frame.correlation))
                if asking is not None:
                    agent, envelope = asking
                    assert isinstance(envelope.reply, RemoteReply)
                    envelope.reply.withdraw()
                    agent.cancel(envelope)
            case StopFrame():
                self._stop(source, frame)
            case WatchFrame():
                self._watch(frame)

    def _deliver(self, source: str, frame: DeliverFrame) -> None:
        services = self.services
        reply = RemoteReply(self, source, frame.correlation, frame.to.name) if frame.correlation else None
        try:
            agent = services.local(frame.to)
            message = services.codec.unpack(frame.message, Message, agent.forms if agent is not None else None)
        except CodecError as error:
            _log.warning("a message from node %s for %s was discarded: %s", source, frame.to, error)
            if reply is not None:
                reply.fail(HandlerFailed(frame.to.name, frame.message.kind, str(error)))
            return
        deadline = None if frame.ttl is None else services.clock.monotonic() + frame.ttl
        sender = services.reference(frame.sender) if frame.sender is not None else None
        envelope = Envelope(message, sender, reply, deadline, frame.priority)
        if agent is None:
            services.dead_endpoint(frame.to).deliver(envelope)
            return
        if reply is not None:
            reply.request = message
            with self._lock:
                self._asking[source, frame.correlation] = (agent, envelope)

        def rejected(full: MailboxFull) -> None:
            if reply is not None:
                reply.fail(full)
            else:
                services.dead_letter(envelope, agent.address, Reason.FULL)

        try:
            pending = agent.deliver(envelope)
        except MailboxFull as full:
            rejected(full)
            return
        if pending is not None:
            mailbox_room.attend(services, agent, pending, rejected)

    def _stop(self, source: str, frame: StopFrame) -> None:
        agent = self.services.local(frame.to)
        answer = AnswerFrame(frame.correlation, "", b"\xc0")
        if agent is None:
            self.answer(source, answer)
        else:
            agent.stop(drain=frame.drain, kill_after=frame.kill_after).add_callback(lambda: self.answer(source, answer))

    def _watch(self, frame: WatchFrame) -> None:
        watcher = self.services.reference(frame.watcher)
        agent = self.services.local(frame.to)
        if agent is None:
            if frame.on:
                watcher.tell(AgentDown(self.services.reference(frame.to), "stopped"))
        elif frame.on:
            agent.watch(watcher)
        else:
            agent.unwatch(watcher)
