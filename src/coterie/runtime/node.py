"""One runtime's end of the links to others: ports to their agents, and what they send to ours."""

from __future__ import annotations

import logging
import weakref
from typing import TYPE_CHECKING, Any

import msgspec

from coterie.concurrency import Completion, Rank, Signal, new_lock
from coterie.errors import (
    AgentStopped,
    CodecError,
    HandlerFailed,
    MailboxFull,
    RuntimeStopped,
    TransportError,
    UnknownAgent,
)
from coterie.kernel import Address
from coterie.messaging import Envelope, Link, Message, Reason, Transport, reply_type
from coterie.runtime import admission
from coterie.runtime.signals import AgentDown
from coterie.runtime.strict import unencodable_answer
from coterie.runtime.wire import (
    Answer,
    Deliver,
    Failure,
    Packet,
    Stop,
    Watch,
    Withdraw,
    put_back_into_an_error,
    put_into_words,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from coterie.messaging import PendingPut
    from coterie.runtime.cell import AgentCell
    from coterie.runtime.reference import AgentRef
    from coterie.runtime.services import Services

_log = logging.getLogger(__name__)


class Node:
    """Sends packets to other nodes, and does what theirs say.

    Safe from any thread. `_lock` guards the tables of asks that are under way: `_asked`, of other nodes by ours, and
    `_asking`, the other way round.
    """

    def __init__(self, services: Services, transport: Transport, patience: float) -> None:
        self.services = services
        self.transport = transport
        self._lock = new_lock(Rank.REGISTRY)
        self._asked: dict[int, Callable[[Answer | Failure], None]] = {}
        self._asking: dict[tuple[str, int], tuple[AgentCell, Envelope]] = {}
        self._ports: weakref.WeakValueDictionary[Address, RemotePort] = weakref.WeakValueDictionary()
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(Packet)
        self.link = Link(services.node, transport, services.timers, self._receive, patience)

    def port(self, address: Address) -> RemotePort:
        """Return the port to an agent of another node."""
        with self._lock:
            port = self._ports.get(address)
            if port is None:
                port = self._ports[address] = RemotePort(self, address)
            return port

    def send(self, node: str, packet: Packet) -> None:
        """Send a packet. Raises `TransportError` if it is known that it cannot get there."""
        self.link.send(node, self._encoder.encode(packet))

    def expect(self, number: int, ended: Callable[[Answer | Failure], None]) -> None:
        """Have `ended` called with the outcome of an ask when that arrives."""
        with self._lock:
            self._asked[number] = ended

    def expect_no_more(self, number: int) -> None:
        """Forget an ask."""
        with self._lock:
            self._asked.pop(number, None)

    def answer(self, node: str, packet: Answer | Failure) -> None:
        """Send the outcome of an ask to the asker's node."""
        try:
            self.send(node, packet)
        except TransportError as error:
            _log.warning("an answer to node %s was lost: %s", node, error)

    def asks_no_more(self, node: str, correlation: int) -> None:
        """Forget an ask of another node, which has ended."""
        with self._lock:
            self._asking.pop((node, correlation), None)

    def close(self) -> None:
        """Hear nothing more. Asks of other nodes that are under way end with that."""
        self.link.close()
        with self._lock:
            asked, self._asked = self._asked, {}
        stopped = RuntimeStopped(self.services.node, "hears no answers any more")
        for number, ended in asked.items():
            ended(put_into_words(number, stopped))

    def _receive(self, source: str, payload: bytes) -> None:
        try:
            packet = self._decoder.decode(payload)
        except msgspec.DecodeError as error:
            _log.warning("a packet from node %s makes no sense and was discarded: %s", source, error)
            return
        match packet:
            case Deliver():
                self._deliver(source, packet)
            case Answer() | Failure():
                with self._lock:
                    ended = self._asked.pop(packet.correlation, None)
                if ended is not None:
                    ended(packet)
            case Withdraw():
                with self._lock:
                    asking = self._asking.get((source, packet.correlation))
                if asking is not None:
                    cell, envelope = asking
                    assert isinstance(envelope.reply, RemoteReply)
                    envelope.reply.withdraw()
                    cell.cancel(envelope)
            case Stop():
                self._stop(source, packet)
            case Watch():
                self._watch(packet)

    def _deliver(self, source: str, packet: Deliver) -> None:
        services = self.services
        reply = RemoteReply(self, source, packet.correlation, packet.to.name) if packet.correlation else None
        try:
            message = services.codec.unpack(packet.message, Message)
        except CodecError as error:
            _log.warning("a message from node %s for %s was discarded: %s", source, packet.to, error)
            if reply is not None:
                reply.fail(HandlerFailed(packet.to.name, packet.message.kind, str(error)))
            return
        deadline = None if packet.ttl is None else services.clock.monotonic() + packet.ttl
        sender = services.reference(packet.sender) if packet.sender is not None else None
        envelope = Envelope(message, sender, reply, deadline, packet.priority)
        cell = self._cell(packet.to)
        if cell is None:
            services.unknown_port(packet.to).admit(envelope)
            return
        if reply is not None:
            reply.request = message
            with self._lock:
                self._asking[source, packet.correlation] = (cell, envelope)

        def rejected(full: MailboxFull) -> None:
            if reply is not None:
                reply.fail(full)
            else:
                services.make_dead(envelope, cell.address, Reason.FULL)

        try:
            pending = cell.admit(envelope)
        except MailboxFull as full:
            rejected(full)
            return
        if pending is not None:
            admission.attend(services, cell, pending, rejected)

    def _stop(self, source: str, packet: Stop) -> None:
        cell = self._cell(packet.to)
        answer = Answer(packet.correlation, "", b"\xc0")
        if cell is None:
            self.answer(source, answer)
        else:
            cell.stop(drain=packet.drain).add_callback(lambda: self.answer(source, answer))

    def _watch(self, packet: Watch) -> None:
        watcher = self.services.reference(packet.watcher)
        cell = self._cell(packet.to)
        if cell is None:
            if packet.on:
                watcher.tell(AgentDown(self.services.reference(packet.to), "stopped"))
        elif packet.on:
            cell.watch(watcher)
        else:
            cell.unwatch(watcher)

    def _cell(self, address: Address) -> AgentCell | None:
        registry = self.services.registry
        return registry.by_number(address.number) if address.number else registry.find(address.name)


class RemotePort:
    """The port to an agent of another node. What gets lost on the way ends an ask by its deadline."""

    __slots__ = ("__weakref__", "_gone", "_node", "address")

    def __init__(self, node: Node, address: Address) -> None:
        self.address = address
        self._node = node
        self._gone = False

    @property
    def cell(self) -> AgentCell | None:
        """Nothing: the agent is elsewhere."""
        return None

    @property
    def is_alive(self) -> bool:
        """Whether the agent lives, as far as its node has said."""
        return not self._gone

    def admit(self, envelope: Envelope) -> PendingPut | None:
        """Send an envelope. It never waits here. Raises `EncodeFailed`."""
        services = self._node.services
        sender: Any = envelope.sender
        reply = envelope.reply
        message = services.codec.pack(envelope.message)
        ttl = None if envelope.deadline is None else max(0.0, envelope.deadline - services.clock.monotonic())
        number = 0
        if reply is not None:
            number = reply.correlation
            self._node.expect(number, lambda packet: self._ended(envelope, packet))
            if isinstance(reply, Completion):
                reply.add_callback(lambda: self._node.expect_no_more(number))
        packet = Deliver(self.address, message, sender and sender.address, envelope.priority, number, ttl)
        try:
            self._node.send(self.address.node, packet)
        except TransportError as error:
            services.count_refused()
            services.make_dead(envelope, self.address, Reason.UNDELIVERABLE, str(error))
            if reply is None:
                return None
            if services.stopping:
                reply.fail(services.stopped_error(self.address.name, envelope.message, None))
            else:
                reply.fail(UnknownAgent(self.address, str(error)))
        return None

    def cancel(self, envelope: Envelope) -> None:
        """Tell the other node that nobody waits for the answer any more."""
        if envelope.reply is not None:
            self._try_to_send(Withdraw(envelope.reply.correlation))

    def stop(self, *, drain: bool) -> Completion:
        """Have the agent stopped. What is returned is done when its node says that it has ended."""
        ended = Signal()
        number = self._node.services.next_correlation()
        self._node.expect(number, lambda _: self._stopped(ended))
        if not self._try_to_send(Stop(self.address, number, drain)):
            self._node.expect_no_more(number)
            ended.set()
        return ended

    def watch(self, watcher: AgentRef) -> None:
        """Have `watcher` told of restarts and of the end."""
        self._try_to_send(Watch(self.address, watcher.address, on=True))

    def unwatch(self, watcher: AgentRef) -> None:
        """Tell `watcher` no more."""
        self._try_to_send(Watch(self.address, watcher.address, on=False))

    def _stopped(self, ended: Signal) -> None:
        self._gone = True
        ended.set()

    def _ended(self, envelope: Envelope, packet: Answer | Failure) -> None:
        reply = envelope.reply
        assert reply is not None
        if isinstance(packet, Failure):
            error = put_back_into_an_error(packet)
            if isinstance(error, AgentStopped | UnknownAgent):
                self._gone = True
            reply.fail(error)
            return
        codec = self._node.services.codec
        try:
            if packet.kind:
                value: Any = codec.decode(packet.body, codec.resolve(packet.kind, Message))
            else:
                value = codec.decode(packet.body, reply_type(type(envelope.message)))
        except CodecError as error_:
            reply.fail(unencodable_answer(self.address.name, envelope.message, error_))
            return
        reply.succeed(value)

    def _try_to_send(self, packet: Packet) -> bool:
        try:
            self._node.send(self.address.node, packet)
        except TransportError as error:
            _log.warning("%s could not be told: %s", self.address, error)
            return False
        return True


class LoopbackPort(RemotePort):
    """A port to an agent of this very node that takes the way of a remote one: for trying a transport."""

    __slots__ = ("_cell",)

    def __init__(self, node: Node, cell: AgentCell) -> None:
        super().__init__(node, cell.address)
        self._cell = cell

    @property
    def cell(self) -> AgentCell:
        """The agent."""
        return self._cell

    @property
    def is_alive(self) -> bool:
        """Whether the agent lives."""
        return self._cell.is_alive


class RemoteReply:
    """Where the answer to an ask of another node goes. Safe from any thread: `_lock` guards who is first."""

    __slots__ = ("_agent", "_done", "_lock", "_node", "_source", "correlation", "request")

    def __init__(self, node: Node, source: str, correlation: int, agent: str) -> None:
        self.correlation = correlation
        self.request: Message | None = None
        self._node = node
        self._source = source
        self._agent = agent
        self._lock = new_lock(Rank.COMPLETION)
        self._done = False

    @property
    def done(self) -> bool:
        """Whether the ask has ended."""
        return self._done

    def withdraw(self) -> bool:
        """End the ask without telling anybody. Return whether it had not ended yet."""
        with self._lock:
            first = not self._done
            self._done = True
        if first:
            self._node.asks_no_more(self._source, self.correlation)
        return first

    def succeed(self, value: Any) -> bool:
        """Send the answer."""
        if not self.withdraw():
            return False
        codec = self._node.services.codec
        packet: Answer | Failure
        try:
            kind = codec.register(type(value)) if isinstance(value, Message) else ""
            packet = Answer(self.correlation, kind, codec.encode(value))
        except CodecError as error:
            assert self.request is not None
            packet = put_into_words(self.correlation, unencodable_answer(self._agent, self.request, error))
        self._node.answer(self._source, packet)
        return True

    def fail(self, error: BaseException) -> bool:
        """Send the error."""
        if not self.withdraw():
            return False
        self._node.answer(self._source, put_into_words(self.correlation, error))
        return True

    def expire(self) -> None:
        """End the ask. The asker has the deadline too, and needs no word."""
        self.withdraw()
