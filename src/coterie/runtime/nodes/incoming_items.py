"""The items of a stream that an agent of another node sends, on their way to the asker."""

from __future__ import annotations

import contextlib
from typing import Any, Protocol

from coterie.errors import AskCancelled, CodecError, DeliveryError, TransportError
from coterie.kernel import Address, Codec
from coterie.kernel.codec import Packed
from coterie.messaging import Message
from coterie.messaging.envelope import Envelope
from coterie.messaging.message import reply_type
from coterie.runtime.nodes.connection import Connection
from coterie.runtime.nodes.strict import answer_forms, unencodable_answer
from coterie.runtime.nodes.wire import Answer, AnswerFrame, CreditFrame, EndFrame, FailureFrame, ItemFrame
from coterie.runtime.references.reply_stream import ItemBuffer


class Source(Protocol):
    """The endpoint of the agent that sends the items."""

    @property
    def address(self) -> Address:
        """The address of the agent."""
        ...

    def failure(self, frame: FailureFrame) -> DeliveryError:
        """Return the error of a frame."""
        ...


class IncomingItems:
    """Takes the frames of one stream in their order, and gives credit for what the asker has read.

    `receive` is called by one thread at a time. The readers call `_note`, several perhaps at once: the frames of credit carry
    totals, so their order does not matter.
    """

    __slots__ = ("_buffer", "_correlation", "_message", "_node", "_noted", "_received", "_source")

    def __init__(self, source: Source, envelope: Envelope, buffer: ItemBuffer, node: Connection) -> None:
        self._source = source
        self._message = envelope.message
        self._buffer = buffer
        self._node = node
        self._correlation = buffer.correlation
        self._received = 0
        self._noted = 0
        buffer.when_taken = self._note

    def receive(self, frame: Answer) -> None:
        """Take a frame of the agent's node. What makes no sense ends the stream with an error."""
        if isinstance(frame, ItemFrame):
            self._add(frame)
        elif isinstance(frame, EndFrame):
            if frame.items == self._received:
                self._buffer.succeed(None)
            else:
                self._lost(frame.items - self._received)
        elif isinstance(frame, FailureFrame):
            self._buffer.fail(self._source.failure(frame))
        elif isinstance(frame, AnswerFrame):
            self._break("its node answered without a stream")
        else:
            self._give_credit(self._buffer.count)

    def _add(self, frame: ItemFrame) -> None:
        if frame.number != self._received + 1:
            self._lost(frame.number - self._received - 1)
            return
        self._received += 1
        if self._received > self._buffer.count + self._buffer.ahead:
            self._break("its node sent more items than there is room for")
            return
        try:
            item = decoded_answer(self._node.services.codec, frame, self._message)
        except CodecError as error:
            self._buffer.withdraw(unencodable_answer(self._source.address.name, self._message, error))
        else:
            self._buffer.send(item)

    def _note(self, taken: int) -> None:
        """Give credit when about half of the items that may be under way have been read."""
        ahead = self._buffer.ahead
        if taken - self._noted >= ahead - ahead // 2:
            self._give_credit(taken)

    def _give_credit(self, taken: int) -> None:
        self._noted = taken
        if not self._buffer.done:
            # If the node is lost, the stream ends with that.
            with contextlib.suppress(TransportError):
                self._node.send(self._source.address.node, CreditFrame(self._correlation, taken))

    def _lost(self, count: int) -> None:
        self._break(f"{count} of its items were lost on the way" if count > 0 else "its node counts its items wrongly")

    def _break(self, why: str) -> None:
        self._buffer.withdraw(AskCancelled(self._source.address.name, type(self._message).__qualname__, why))


def decoded_answer(codec: Codec, frame: AnswerFrame | ItemFrame, request: Message) -> Any:
    """Return the answer, or the item, of a frame. Raises `DecodeFailed`."""
    expected = reply_type(type(request))
    if frame.kind:
        return codec.unpack(Packed(frame.kind, frame.body, frame.open), Message, answer_forms(expected))
    return codec.decode(frame.body, expected)
