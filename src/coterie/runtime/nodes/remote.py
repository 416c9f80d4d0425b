"""Endpoints of agents on other nodes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from coterie.concurrency import Completion, Signal
from coterie.errors import AgentStopped, AskCancelled, CodecError, DeliveryError, EncodeFailed, TransportError, UnknownAgent
from coterie.errors.network import MessageTooLarge
from coterie.kernel import Address
from coterie.messaging import Reason
from coterie.messaging.envelope import Envelope
from coterie.messaging.pending_put import PendingPut
from coterie.runtime.nodes.connection import Connection
from coterie.runtime.nodes.incoming_items import IncomingItems, decoded_answer
from coterie.runtime.nodes.strict import unencodable_answer
from coterie.runtime.nodes.wire import (
    Answer,
    AnswerFrame,
    DeliverFrame,
    FailureFrame,
    Frame,
    StopFrame,
    WatchFrame,
    WithdrawFrame,
    decode_error,
)
from coterie.runtime.references.local_agent import LocalAgent
from coterie.runtime.references.reference import AgentRef, Endpoint
from coterie.runtime.references.reply_stream import ItemBuffer

_log = logging.getLogger(__name__)


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
        """True if the agent may be durable, by its address. Its node refuses a request with an idempotency key if it is not."""
        return not self.address.number and "/" in self.address.name

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
        carried = services.carrier.pack(envelope.context)
        ttl = None if envelope.deadline is None else max(0.0, envelope.deadline - services.clock.monotonic())
        number = 0
        if reply is not None:
            number = reply.correlation
            self._node.expect(self.address.node, number, self._receiver(envelope))
            if isinstance(reply, Completion):
                reply.add_callback(lambda: self._node.expect_no_more(number))
        ahead = reply.ahead if isinstance(reply, ItemBuffer) else 0
        key = (envelope.delivery.idempotency_key if envelope.delivery is not None else None) or ""
        frame = DeliverFrame(
            self.address, message, sender and sender.address, envelope.priority, number, ttl, ahead, key, carried
        )
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

    def _stopped(self, ended: RemoteEnd, frame: Answer) -> None:
        if isinstance(frame, FailureFrame):
            ended.error = decode_error(frame)
        else:
            self._gone = True
        ended.set()

    def _receiver(self, envelope: Envelope) -> Callable[[Answer], None]:
        """Return the function that takes the frames which answer an ask."""
        reply = envelope.reply
        if isinstance(reply, ItemBuffer):
            return IncomingItems(self, envelope, reply, self._node).receive
        return lambda frame: self._ended(envelope, frame)

    def _ended(self, envelope: Envelope, frame: Answer) -> None:
        reply = envelope.reply
        assert reply is not None
        if isinstance(frame, AnswerFrame):
            try:
                value = decoded_answer(self._node.services.codec, frame, envelope.message)
            except CodecError as error:
                reply.fail(unencodable_answer(self.address.name, envelope.message, error))
            else:
                reply.succeed(value)
        elif isinstance(frame, FailureFrame):
            reply.fail(self.failure(frame))
        else:
            reply.fail(AskCancelled(self.address.name, type(envelope.message).__qualname__, "its node answered with a stream"))

    def failure(self, frame: FailureFrame) -> DeliveryError:
        """Return the error of a frame, and note whether it says that the agent is gone."""
        error = decode_error(frame)
        if isinstance(error, AgentStopped | UnknownAgent) and not self.is_durable:
            self._gone = True
        return error

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
