"""Endpoints of agents on other nodes, and replies to asks of other nodes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Protocol

from coterie.concurrency import Completion, Rank, Signal, new_lock
from coterie.errors import AgentStopped, CodecError, EncodeFailed, TransportError, UnknownAgent
from coterie.errors.network import MessageTooLarge
from coterie.kernel import Address, Clock, Codec
from coterie.kernel.codec import Packed
from coterie.messaging import Message, Reason
from coterie.messaging.envelope import Envelope
from coterie.messaging.message import reply_type
from coterie.messaging.pending_put import PendingPut
from coterie.runtime.nodes.strict import answer_forms, unencodable_answer
from coterie.runtime.nodes.wire import (
    AnswerFrame,
    DeliverFrame,
    FailureFrame,
    Frame,
    StopFrame,
    WatchFrame,
    WithdrawFrame,
    decode_error,
    encode_error,
)
from coterie.runtime.references.local_agent import LocalAgent
from coterie.runtime.references.reference import AgentRef, Endpoint

_log = logging.getLogger(__name__)


class RemoteServices(Protocol):
    """The parts of a runtime that its remote endpoints need."""

    @property
    def clock(self) -> Clock:
        """The runtime's clock."""
        ...

    @property
    def codec(self) -> Codec:
        """The codec of messages and answers."""
        ...

    @property
    def stopping(self) -> bool:
        """True once messages from outside are refused."""
        ...

    def next_correlation(self) -> int:
        """Return a number for an ask that no other ask of the runtime has."""
        ...

    def count_refused(self) -> None:
        """Count a message that no mailbox took."""
        ...

    def dead_letter(self, envelope: Envelope, recipient: Address, reason: Reason, detail: str = "") -> None:
        """Record a message that no handler gets."""
        ...

    def stopped_error(self, name: str, message: Message, cause: BaseException | None) -> AgentStopped:
        """Return the error for an ask of an agent that has ended."""
        ...


class Connection(Protocol):
    """The connection to other nodes."""

    @property
    def services(self) -> RemoteServices:
        """The parts of the runtime."""
        ...

    def send(self, node: str, frame: Frame) -> None:
        """Send a frame. Raises `TransportError` if it certainly cannot arrive."""
        ...

    def room(self, node: str) -> Completion | None:
        """Return None if senders to a node need not wait, or a completion that is done when they need not any more."""
        ...

    def expect(self, node: str, number: int, ended: Callable[[AnswerFrame | FailureFrame], None]) -> None:
        """Call `ended` with the outcome of an ask of a node when that arrives, or with a failure when the node is lost."""
        ...

    def is_lost(self, node: str) -> bool:
        """Return whether a node is lost."""
        ...

    def watches(self, address: Address, watcher: AgentRef, *, on: bool) -> None:
        """Record that an agent here watches one of another node, or does no longer."""
        ...

    def tell_lost(self, address: Address, watcher: AgentRef, why: str) -> None:
        """Tell a watcher that the node of an agent is lost."""
        ...

    def expect_no_more(self, number: int) -> None:
        """Forget an ask."""
        ...

    def answer(self, node: str, frame: AnswerFrame | FailureFrame) -> None:
        """Send the outcome of an ask to the asker's node."""
        ...

    def asks_no_more(self, node: str, correlation: int) -> None:
        """Forget an ask of another node, which has ended."""
        ...


class RemoteEnd(Signal):
    """The end of an agent of another node. If that is unknown, `error` says why."""

    __slots__ = ("error",)

    def __init__(self) -> None:
        super().__init__()
        self.error: BaseException | None = None


class RemoteEndpoint:
    """The endpoint to an agent of another node. If a frame is lost, the ask ends by its deadline; if the node is, at once."""

    __slots__ = ("__weakref__", "_gone", "_node", "address")

    def __init__(self, node: Connection, address: Address) -> None:
        self.address = address
        self._node = node
        self._gone = False

    @property
    def local(self) -> LocalAgent | None:
        """None: the agent is on another node."""
        return None

    @property
    def is_durable(self) -> bool:
        """False: requests to other nodes carry no idempotency key."""
        return False

    @property
    def is_alive(self) -> bool:
        """True until its node has said that the agent has ended, or is lost."""
        return not self._gone and not self._node.is_lost(self.address.node)

    def deliver(self, envelope: Envelope) -> PendingPut | None:
        """Send an envelope. It never waits here; if the sender should, it returns a pending put. Raises `EncodeFailed`."""
        services = self._node.services
        sender: Any = envelope.sender
        reply = envelope.reply
        message = services.codec.pack(envelope.message)
        ttl = None if envelope.deadline is None else max(0.0, envelope.deadline - services.clock.monotonic())
        number = 0
        if reply is not None:
            number = reply.correlation
            self._node.expect(self.address.node, number, lambda frame: self._ended(envelope, frame))
            if isinstance(reply, Completion):
                reply.add_callback(lambda: self._node.expect_no_more(number))
        frame = DeliverFrame(self.address, message, sender and sender.address, envelope.priority, number, ttl)
        try:
            self._node.send(self.address.node, frame)
        except MessageTooLarge as error:
            raise EncodeFailed(f"a {type(envelope.message).__qualname__}", error, "several smaller messages") from error
        except TransportError as error:
            services.count_refused()
            services.dead_letter(envelope, self.address, Reason.UNDELIVERABLE, str(error))
            if reply is None:
                return None
            if services.stopping:
                reply.fail(services.stopped_error(self.address.name, envelope.message, None))
            else:
                reply.fail(UnknownAgent(self.address, str(error)))
            return None
        room = self._node.room(self.address.node)
        if room is None:
            return None
        pending = PendingPut(envelope, _is_sent)
        room.add_callback(lambda: pending.end(admitted=True))
        return pending

    def cancel(self, envelope: Envelope) -> None:
        """Withdraw the ask at the other node."""
        if envelope.reply is not None:
            self._try_to_send(WithdrawFrame(envelope.reply.correlation))

    def stop(self, *, drain: bool, kill_after: float | None = None) -> Completion:
        """Begin to stop the agent. The returned completion is done when its node says that it has ended."""
        ended = RemoteEnd()
        if not self.is_alive and not self._node.is_lost(self.address.node):
            # It is known to have ended.
            ended.set()
            return ended
        number = self._node.services.next_correlation()
        self._node.expect(self.address.node, number, lambda frame: self._stopped(ended, frame))
        if error := self._try_to_send(StopFrame(self.address, number, drain, kill_after)):
            self._node.expect_no_more(number)
            ended.error = UnknownAgent(self.address, str(error))
            ended.set()
        return ended

    def watch(self, watcher: AgentRef) -> None:
        """Notify `watcher` of restarts and of the end."""
        self._node.watches(self.address, watcher, on=True)
        if error := self._try_to_send(WatchFrame(self.address, watcher.address, on=True)):
            self._node.watches(self.address, watcher, on=False)
            self._node.tell_lost(self.address, watcher, str(error))

    def unwatch(self, watcher: AgentRef) -> None:
        """Notify `watcher` no longer."""
        self._node.watches(self.address, watcher, on=False)
        self._try_to_send(WatchFrame(self.address, watcher.address, on=False))

    def _stopped(self, ended: RemoteEnd, frame: AnswerFrame | FailureFrame) -> None:
        if isinstance(frame, FailureFrame):
            ended.error = decode_error(frame)
        else:
            self._gone = True
        ended.set()

    def _ended(self, envelope: Envelope, frame: AnswerFrame | FailureFrame) -> None:
        reply = envelope.reply
        assert reply is not None
        if isinstance(frame, FailureFrame):
            error = decode_error(frame)
            if isinstance(error, AgentStopped | UnknownAgent):
                self._gone = True
            reply.fail(error)
            return
        codec = self._node.services.codec
        try:
            if frame.kind:
                forms = answer_forms(reply_type(type(envelope.message)))
                value: Any = codec.unpack(Packed(frame.kind, frame.body, frame.open), Message, forms)
            else:
                value = codec.decode(frame.body, reply_type(type(envelope.message)))
        except CodecError as error_:
            reply.fail(unencodable_answer(self.address.name, envelope.message, error_))
            return
        reply.succeed(value)

    def _try_to_send(self, frame: Frame) -> TransportError | None:
        """Send a frame; return the error if it cannot arrive."""
        try:
            self._node.send(self.address.node, frame)
        except TransportError as error:
            _log.warning("%s could not be told: %s", self.address, error)
            return error
        return None


def _is_sent(_: PendingPut) -> bool:
    """Return False: the message is with the transport already, and only its sender waits."""
    return False


class LoopbackEndpoint(RemoteEndpoint):
    """An endpoint to an agent of this very node that uses the transport all the same, to test it."""

    __slots__ = ("_agent",)

    def __init__(self, node: Connection, agent: Endpoint) -> None:
        super().__init__(node, agent.address)
        self._agent = agent

    @property
    def local(self) -> LocalAgent | None:
        """The agent itself."""
        return self._agent.local

    @property
    def is_alive(self) -> bool:
        """True until the agent has ended."""
        return self._agent.is_alive


class RemoteReply:
    """The reply to an ask of another node. Safe from any thread: `_lock` lets only the first outcome count."""

    __slots__ = ("_agent", "_callback", "_done", "_lock", "_node", "_source", "correlation", "request")

    def __init__(self, node: Connection, source: str, correlation: int, agent: str) -> None:
        self.correlation = correlation
        self.request: Message | None = None
        self._node = node
        self._source = source
        self._agent = agent
        self._lock = new_lock(Rank.COMPLETION)
        self._done = False
        self._callback: Callable[[], object] | None = None

    @property
    def done(self) -> bool:
        """True once the ask has ended."""
        return self._done

    def taken(self) -> bool:
        """Record that the agent takes the request. Return False if the ask has ended: then it need not be handled."""
        return not self._done

    def add_callback(self, callback: Callable[[], object]) -> None:
        """Call `callback`, which must be short, when the ask has ended; immediately if it has. Only one may be given."""
        with self._lock:
            if not self._done:
                self._callback = callback
                return
        callback()

    def withdraw(self) -> bool:
        """End the ask without an answer. Return whether it had not ended yet."""
        with self._lock:
            first, callback = not self._done, self._callback
            self._done, self._callback = True, None
        if first:
            self._node.asks_no_more(self._source, self.correlation)
        if callback is not None:
            callback()
        return first

    def succeed(self, value: Any) -> bool:
        """Send the answer."""
        if not self.withdraw():
            return False
        codec = self._node.services.codec
        frame: AnswerFrame | FailureFrame
        try:
            if isinstance(value, Message):
                packed = codec.pack(value)
                frame = AnswerFrame(self.correlation, packed.kind, packed.body, packed.open)
            else:
                assert self.request is not None
                frame = AnswerFrame(self.correlation, "", codec.encode_as(value, reply_type(type(self.request))))
        except CodecError as error:
            assert self.request is not None
            frame = encode_error(self.correlation, unencodable_answer(self._agent, self.request, error))
        self._node.answer(self._source, frame)
        return True

    def fail(self, error: BaseException) -> bool:
        """Send the error."""
        if not self.withdraw():
            return False
        self._node.answer(self._source, encode_error(self.correlation, error))
        return True

    def expire(self) -> None:
        """End the ask without an answer: the asker has the deadline too."""
        self.withdraw()
