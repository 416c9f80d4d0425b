"""Encoding of messages between local agents, so that a program which must cross machines is tested on one."""

from __future__ import annotations

from types import UnionType
from typing import Any, Union, get_args, get_origin

from coterie.concurrency import Completion
from coterie.errors import CodecError, HandlerFailed
from coterie.kernel import Address, Codec
from coterie.messaging import Message, Stream
from coterie.messaging.envelope import Envelope, ReplyPort
from coterie.messaging.message import reply_type
from coterie.messaging.pending_put import PendingPut
from coterie.runtime.references.invocation import Invocation
from coterie.runtime.references.local_agent import LocalAgent
from coterie.runtime.references.reference import AgentRef, Endpoint
from coterie.runtime.references.reply_stream import StreamPort


class StrictEndpoint:
    """An endpoint that encodes and decodes every message on its way to a local agent, and every answer on its way back."""

    __slots__ = ("_codec", "_inner")

    def __init__(self, inner: Endpoint, codec: Codec) -> None:
        self._inner = inner
        self._codec = codec

    @property
    def address(self) -> Address:
        """The address of the agent."""
        return self._inner.address

    @property
    def local(self) -> LocalAgent | None:
        """The agent itself."""
        return self._inner.local

    @property
    def is_durable(self) -> bool:
        """True for a durable agent."""
        return self._inner.is_durable

    @property
    def is_alive(self) -> bool:
        """True until the agent has ended."""
        return self._inner.is_alive

    def deliver(self, envelope: Envelope) -> PendingPut | None:
        """Deliver a copy. Raises `EncodeFailed`, `DecodeFailed`, and the errors of the agent's own endpoint."""
        return self._inner.deliver(self._copied(envelope))

    def cancel(self, envelope: Envelope) -> None:
        """Stop working on an envelope."""
        self._inner.cancel(envelope)

    def stop(self, *, drain: bool, kill_after: float | None = None) -> Completion:
        """Begin to stop the agent."""
        return self._inner.stop(drain=drain, kill_after=kill_after)

    def watch(self, watcher: AgentRef) -> None:
        """Notify `watcher` of restarts and of the end."""
        self._inner.watch(watcher)

    def unwatch(self, watcher: AgentRef) -> None:
        """Notify `watcher` no longer."""
        self._inner.unwatch(watcher)

    def _copied(self, envelope: Envelope) -> Envelope:
        # The envelope itself stays the same object, by which the ask can still be cancelled.
        message = envelope.message
        local = self._inner.local
        forms = local.forms if local is not None else {}
        envelope.message = self._codec.unpack(self._codec.pack(message), Message, forms)
        if envelope.reply is not None:
            answer = reply_type(forms.get(type(message), type(message)))
            strict = StrictStream if isinstance(message, Stream) else StrictReply
            envelope.reply = strict(envelope.reply, self._codec, self._inner.address.name, message, answer)
        return envelope


class StrictReply:
    """A reply that encodes and decodes the answer on its way."""

    __slots__ = ("_agent", "_answer", "_codec", "_message", "_reply")

    def __init__(self, reply: Any, codec: Codec, agent: str, message: Message, answer: Any) -> None:
        self._reply: ReplyPort = reply
        self._codec = codec
        self._agent = agent
        self._message = message
        self._answer = answer
        """The type of the answer."""

    @property
    def inner(self) -> ReplyPort:
        """The reply that the asker has."""
        return self._reply

    @property
    def correlation(self) -> int:
        """The number of the ask."""
        return self._reply.correlation

    @property
    def done(self) -> bool:
        """True once the ask has ended."""
        return self._reply.done

    def taken(self) -> bool:
        """Record that the agent takes the request. Return False if the ask has ended: then it need not be handled."""
        return self._reply.taken()

    def succeed(self, value: Any) -> bool:
        """Answer with a copy of the value."""
        try:
            copy = self._copied(value)
        except CodecError as error:
            return self._reply.fail(unencodable_answer(self._agent, self._message, error))
        return self._reply.succeed(copy)

    def fail(self, error: BaseException) -> bool:
        """End the ask with an error."""
        return self._reply.fail(error)

    def expire(self) -> None:
        """End the ask because its deadline has passed."""
        self._reply.expire()

    def _copied(self, value: Any) -> Any:
        if isinstance(value, Message):
            return self._codec.unpack(self._codec.pack(value), Message, answer_forms(self._answer))
        return self._codec.decode(self._codec.encode_as(value, self._answer), self._answer)


class StrictStream(StrictReply):
    """The port of a stream that encodes and decodes the items on their way."""

    __slots__ = ()

    _reply: StreamPort

    @property
    def reader(self) -> Invocation | None:
        """The invocation that reads the stream."""
        return self._reply.reader

    def send(self, item: Any) -> Completion | None:
        """Send a copy of an item. One that cannot be encoded ends the stream; raises `HandlerFailed`."""
        try:
            copy = self._copied(item)
        except CodecError as error:
            failure = unencodable_answer(self._agent, self._message, error)
            self._reply.fail(failure)
            raise failure from error
        return self._reply.send(copy)

    def succeed(self, value: Any) -> bool:
        """End the stream."""
        return self._reply.succeed(value)


def answer_forms(answer: Any) -> dict[type, Any]:
    """Return the types of the generic messages in a type of answers, by their classes."""
    members = get_args(answer) if get_origin(answer) in (Union, UnionType) else (answer,)
    return {origin: member for member in members if isinstance(origin := get_origin(member), type)}


def unencodable_answer(agent: str, message: Message, error: CodecError) -> HandlerFailed:
    """Return the error for an ask whose answer cannot be encoded."""
    failure = HandlerFailed(agent, type(message).__qualname__, f"its answer is not what can be sent: {error}")
    failure.__cause__ = error
    return failure
