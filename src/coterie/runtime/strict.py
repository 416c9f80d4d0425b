"""Sending through the codec what could be passed by reference, so that a program that must cross machines is tested."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from coterie.errors import CodecError, HandlerFailed
from coterie.kernel import Codec
from coterie.messaging import Envelope, Message, ReplyPort, reply_type

if TYPE_CHECKING:
    from coterie.concurrency import Completion
    from coterie.kernel import Address
    from coterie.messaging import PendingPut
    from coterie.runtime.cell import AgentCell
    from coterie.runtime.reference import AgentRef


class StrictPort:
    """A port that encodes and decodes every message on its way to a local agent, and every answer on its way back."""

    __slots__ = ("_cell", "_codec")

    def __init__(self, cell: AgentCell, codec: Codec) -> None:
        self._cell = cell
        self._codec = codec

    @property
    def address(self) -> Address:
        """Where it leads."""
        return self._cell.address

    @property
    def cell(self) -> AgentCell:
        """The agent."""
        return self._cell

    @property
    def is_alive(self) -> bool:
        """Whether the agent lives."""
        return self._cell.is_alive

    def admit(self, envelope: Envelope) -> PendingPut | None:
        """Deliver a copy. Raises `EncodeFailed` or `DecodeFailed` beside what the agent's own port raises."""
        return self._cell.admit(self._copied(envelope))

    def cancel(self, envelope: Envelope) -> None:
        """Stop working on an envelope."""
        self._cell.cancel(envelope)

    def stop(self, *, drain: bool) -> Completion:
        """Have the agent stopped."""
        return self._cell.stop(drain=drain)

    def watch(self, watcher: AgentRef) -> None:
        """Have `watcher` told of restarts and of the end."""
        self._cell.watch(watcher)

    def unwatch(self, watcher: AgentRef) -> None:
        """Tell `watcher` no more."""
        self._cell.unwatch(watcher)

    def _copied(self, envelope: Envelope) -> Envelope:
        # The envelope itself stays the same object, by which the ask can still be cancelled.
        message = envelope.message
        envelope.message = self._codec.unpack(self._codec.pack(message), Message)
        if envelope.reply is not None:
            envelope.reply = StrictReply(envelope.reply, self._codec, self._cell.name, message)
        return envelope


class StrictReply:
    """Where an answer goes through the codec on its way."""

    __slots__ = ("_agent", "_codec", "_message", "_reply")

    def __init__(self, reply: ReplyPort, codec: Codec, agent: str, message: Message) -> None:
        self._reply = reply
        self._codec = codec
        self._agent = agent
        self._message = message

    @property
    def correlation(self) -> int:
        """The number of the ask."""
        return self._reply.correlation

    @property
    def done(self) -> bool:
        """Whether the ask has ended."""
        return self._reply.done

    def succeed(self, value: Any) -> bool:
        """Answer with a copy of the value."""
        try:
            if isinstance(value, Message):
                copy: Any = self._codec.unpack(self._codec.pack(value), Message)
            else:
                copy = self._codec.decode(self._codec.encode(value), reply_type(type(self._message)))
        except CodecError as error:
            return self._reply.fail(unencodable_answer(self._agent, self._message, error))
        return self._reply.succeed(copy)

    def fail(self, error: BaseException) -> bool:
        """End the ask with an error."""
        return self._reply.fail(error)

    def expire(self) -> None:
        """End the ask because its deadline has passed."""
        self._reply.expire()


def unencodable_answer(agent: str, message: Message, error: CodecError) -> HandlerFailed:
    """Return what an asker gets whose answer cannot be sent."""
    failure = HandlerFailed(agent, type(message).__qualname__, f"its answer is not what can be sent: {error}")
    failure.__cause__ = error
    return failure
