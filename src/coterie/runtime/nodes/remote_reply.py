"""Replies to asks of other nodes: they send what the agent answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from coterie.concurrency import Completion, Rank, Signal, Timer, new_lock
from coterie.errors import CodecError
from coterie.kernel.codec import Packed
from coterie.messaging import Message
from coterie.messaging.message import reply_type
from coterie.runtime.nodes.connection import Connection
from coterie.runtime.nodes.strict import unencodable_answer
from coterie.runtime.nodes.wire import Answer, AnswerFrame, EndFrame, ItemFrame, ProbeFrame, encode_error
from coterie.runtime.references.reply_stream import MOST_AHEAD

_PROBE = 5.0
"""Seconds without room after which the asker's node is asked whether the asker still reads."""


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
        frame: Answer
        try:
            packed = self._packed(value)
            frame = AnswerFrame(self.correlation, packed.kind, packed.body, packed.open)
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

    def _packed(self, value: Any) -> Packed:
        """Return an answer or item as bytes, with the name of its class if it is a message. Raises `EncodeFailed`."""
        codec = self._node.services.codec
        if isinstance(value, Message):
            return codec.pack(value)
        assert self.request is not None
        return Packed("", codec.encode_as(value, reply_type(type(self.request))))


class RemoteStream(RemoteReply):
    """The port of a stream to an asker of another node.

    The asker gives credit as it reads, which may be lost on the way; so may its withdrawal. An agent that is held back for
    `_PROBE` seconds has the asker's node asked again.
    """

    __slots__ = ("_ahead", "_probe", "_room", "_sent", "_taken")

    reader = None

    def __init__(self, node: Connection, source: str, correlation: int, agent: str, ahead: int) -> None:
        super().__init__(node, source, correlation, agent)
        self._ahead = min(max(1, ahead), MOST_AHEAD)
        self._sent = 0
        self._taken = 0
        self._room: Signal | None = None
        self._probe: Timer | None = None

    def send(self, item: Any) -> Completion | None:
        """Send an item; see `StreamPort`. One that cannot be encoded ends the stream; raises `HandlerFailed`."""
        if self._done:
            return None
        try:
            packed = self._packed(item)
        except CodecError as error:
            assert self.request is not None
            failure = unencodable_answer(self._agent, self.request, error)
            self.fail(failure)
            raise failure from error
        self._sent += 1
        self._node.answer(self._source, ItemFrame(self.correlation, self._sent, packed.kind, packed.body, packed.open))
        with self._lock:
            if self.done:
                return None
            full = self._sent >= self._taken + self._ahead
            if full and self._room is None:
                self._room = Signal()
                self._probe = self._node.services.timers.call_later(_PROBE, self._ask_again)
            room = self._room
        return room if full else self._node.room(self._source)

    def grant(self, taken: int) -> None:
        """Note that the asker has read so many items."""
        with self._lock:
            if self._taken < taken <= self._sent:
                self._taken = taken
            if self._sent >= self._taken + self._ahead:
                return
            room = self._give_room()
        if room is not None:
            room.set()

    def withdraw(self) -> bool:
        """End the stream. Return whether it had not ended yet."""
        first = super().withdraw()
        with self._lock:
            room = self._give_room()
        if room is not None:
            room.set()
        return first

    def succeed(self, value: Any) -> bool:  # noqa: ARG002 - as in every port
        """Send the end."""
        if not self.withdraw():
            return False
        self._node.answer(self._source, EndFrame(self.correlation, self._sent))
        return True

    def _give_room(self) -> Signal | None:
        """Return the signal of a sender that waits for room, which is to be set. The lock is held."""
        room, self._room = self._room, None
        if self._probe is not None:
            self._probe.cancel()
            self._probe = None
        return room

    def _ask_again(self) -> None:
        with self._lock:
            if self._room is None:
                return
            self._probe = self._node.services.timers.call_later(_PROBE, self._ask_again)
        self._node.answer(self._source, ProbeFrame(self.correlation))
