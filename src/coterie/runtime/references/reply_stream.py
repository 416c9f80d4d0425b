"""The answer to a request for a stream: items that arrive one by one, and that the asker iterates."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Generic, Protocol, Self, TypeVar

from coterie.concurrency import Completion, Signal, Timer
from coterie.concurrency.frames import interrupted
from coterie.concurrency.threads import defer
from coterie.errors import AskCancelled, AskTimeout, CodecError, DeliveryError, InvalidSetting
from coterie.kernel import check_number
from coterie.messaging.envelope import Envelope, ReplyPort
from coterie.messaging.pending_put import PendingPut
from coterie.runtime.references.invocation import CURRENT, Invocation
from coterie.runtime.references.reply import Addressee, AskServices, Reply

R_co = TypeVar("R_co", covariant=True)

MOST_AHEAD = 100_000
"""Items that an agent may send, at most, before the asker has read the first of them."""
NOTHING: Final = object()
"""Stands for an item that has not arrived yet."""
END: Final = object()
"""Stands for the end of a stream."""


class StreamPort(ReplyPort, Protocol):
    """The receiver of the items of a stream. `succeed` ends the stream, and `fail` ends it with an error."""

    @property
    def reader(self) -> Invocation | None:
        """The invocation of this runtime that reads the stream, if that is known."""
        ...

    def send(self, item: Any) -> Completion | None:
        """Send an item. Return None, or a completion that is done when the next one may follow, or when the stream has ended."""
        ...


class ItemBuffer(Completion):
    """The asker's end of a stream: the items that have arrived and are not read. Done when the stream has ended.

    An end that the agent gives comes after the items before it; one that the asker makes discards them. Safe from any thread:
    `_lock` guards the items, the outcome, and the readers and the sender that wait.
    """

    __slots__ = (
        "_endpoint", "_envelope", "_error", "_items", "_limit", "_room", "_services", "_taken", "_timer", "_waiting", "_within",
        "ahead", "correlation", "reader", "when_taken"
    )  # fmt: skip

    def __init__(
        self, services: AskServices, endpoint: Addressee, limit: float | None, within: float | None, ahead: int
    ) -> None:
        check_number("stream.ahead", ahead, least=1, whole=True)
        if ahead > MOST_AHEAD:
            raise InvalidSetting("stream.ahead", ahead, f"a whole number from 1 to {MOST_AHEAD:,}")
        super().__init__()
        self.correlation: int = services.next_correlation()
        self.ahead = ahead
        """The number of items that the agent may send before the asker has read the first of them."""
        self.reader: Invocation | None = None
        self.when_taken: Callable[[int], object] | None = None
        """Called with the number of items that were read so far, after each."""
        self._services = services
        self._endpoint = endpoint
        self._limit = limit
        self._within = within
        self._envelope: Envelope | None = None
        self._error: BaseException | None = None
        self._items: deque[Any] = deque()
        self._taken = 0
        self._room: Signal | None = None
        self._timer: Timer | None = None
        self._waiting: list[NextItem] = []

    @property
    def error(self) -> BaseException | None:
        """The error with which the stream ended."""
        return self._error

    @property
    def count(self) -> int:
        """The number of items that were read so far."""
        return self._taken

    def send_request(
        self,
        envelope: Envelope,
        deliver: Callable[[Envelope], PendingPut | None],
        attend: Callable[[PendingPut, ItemBuffer], object],
    ) -> None:
        """Send the envelope of the request, and wait for its items until its deadline. Raises `EncodeFailed`."""
        self._envelope = envelope
        if envelope.deadline is not None:
            self._timer = self._services.timers.call_at(envelope.deadline, self.expire)
        try:
            pending = deliver(envelope)
            if pending is not None:
                attend(pending, self)
        except DeliveryError as error:
            self.fail(error)
        except CodecError as error:
            agent, message = self._names()
            self.fail(AskCancelled(agent, message, str(error)))
            raise

    # The agent's side.

    def taken(self) -> bool:
        """Record that the agent takes the request. Return False if the stream has ended: then it need not be handled."""
        return not self._done

    def send(self, item: Any) -> Completion | None:
        """Add an item; see `StreamPort`."""
        room = None
        with self._lock:
            if self._done:
                return None
            self._items.append(item)
            if len(self._items) >= self.ahead:
                room = self._room = self._room or Signal()
            waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.succeed(None)
        return room

    def succeed(self, value: Any) -> bool:  # noqa: ARG002 - as in every port
        """End the stream. Return whether this was in time to count."""
        return self._end(None)

    def fail(self, error: BaseException) -> bool:
        """End the stream with an error. Return whether this was in time to count."""
        return self._end(error)

    # The asker's side.

    def take(self) -> Any:
        """Return the next item, `NOTHING` if that has not arrived, or `END`; raise the error with which the stream ended."""
        room = None
        with self._lock:
            if not self._items:
                if self._error is not None:
                    raise self._error.with_traceback(None)
                return END if self._done else NOTHING
            item = self._items.popleft()
            self._taken = taken = self._taken + 1
            if self._room is not None and len(self._items) <= self.ahead // 2:
                room, self._room = self._room, None
        if room is not None:
            room.set()
        if self.when_taken is not None:
            self.when_taken(taken)
        return item

    def next_item(self) -> NextItem:
        """Return a reply that ends when `take` returns something, or when the time for an item is over."""
        waiting = NextItem(self._services, self._endpoint, self._limit, self)
        with self._lock:
            ready = self._done or bool(self._items)
            if not ready:
                self._waiting.append(waiting)
        if ready:
            waiting.succeed(None)
        return waiting

    def forget(self, waiting: NextItem) -> None:
        """Wake a reader no longer, which has stopped waiting."""
        with self._lock:
            if waiting in self._waiting:
                self._waiting.remove(waiting)

    def close(self) -> None:
        """Leave the stream, which ends its handler."""
        agent, message = self._names()
        self.withdraw(AskCancelled(agent, message, "the asker has left the stream"))

    def expire(self) -> None:
        """End the stream because the time for all of it is over."""
        self.overdue(self._within or 0.0)

    def overdue(self, seconds: float) -> None:
        """End the stream because so many seconds are over."""
        agent, message = self._names()
        self.withdraw(AskTimeout(agent, message, seconds))

    def withdraw(self, error: BaseException) -> bool:
        """End the stream from the asker's side: what was not read is discarded, and the handler is cancelled."""
        envelope = self._envelope
        first = self._end(error, discard=True)
        if first and envelope is not None:
            self._endpoint.cancel(envelope)
        return first

    def _end(self, error: BaseException | None, *, discard: bool = False) -> bool:
        if self._lock._is_owned():  # noqa: SLF001 - see `Lock`
            defer(lambda: self._end(error, discard=discard))
            return not self._done
        self._lock.acquire()
        if self._done:
            self._lock.release()
            return False
        self._done = True
        self._error = error
        # The envelope refers back to this buffer.
        self._envelope = None
        discarded = deque[Any]()
        if discard:
            discarded, self._items = self._items, discarded
        waiting, self._waiting = self._waiting, []
        room, self._room = self._room, None
        self._finish()
        if self._timer is not None:
            self._timer.cancel()
        if room is not None:
            room.set()
        for each in waiting:
            each.succeed(None)
        return True

    def _names(self) -> tuple[str, str]:
        message = type(self._envelope.message).__qualname__ if self._envelope is not None else "a stream"
        return self._endpoint.address.name, message


class NextItem(Reply[None]):
    """A wait for the next item of a stream. The rules for waits are those of a reply: agents that wait in a circle are found."""

    __slots__ = ("_buffer",)

    def __init__(self, services: AskServices, endpoint: Addressee, limit: float | None, buffer: ItemBuffer) -> None:
        super().__init__(services, endpoint, limit)
        self._buffer = buffer
        if limit is not None:
            self._timer = services.timers.call_later(limit, self.expire)

    def expire(self) -> None:
        """End the stream: no item has come in time."""
        if not self._done:
            self._buffer.overdue(self._timeout or 0.0)

    def cancel(self, reason: str = "") -> bool:  # noqa: ARG002 - as for every reply
        """Stop this wait. The stream goes on, and the item comes at the next wait."""
        self._buffer.forget(self)
        return self.succeed(None)

    def _withdraw(self, error: BaseException) -> bool:
        return self._buffer.withdraw(error)


class ReplyStream(Generic[R_co]):
    """The items of one answer that streams. ``async for item in stream`` on any event loop, or ``for`` on any thread.

    The agent runs ahead by a bounded number of items, and is then held back until some are read. The stream always ends: after the
    last item, or with a `DeliveryError`, which is raised after the items that came before it. An `AskTimeout` and a `WaitCycle`
    end it at once.

    Leaving the loop ends the stream; so do `close`, the end of a ``with`` or ``async with`` block, and the end of the last reference
    to it. The handler is then cancelled: its generator is closed, and its ``finally`` blocks run. A cancelled wait for one
    item, as by `asyncio.wait_for`, ends only that wait: no item is lost.

    Read it in one loop; several readers share the items. Safe from any thread.
    """

    __slots__ = ("__weakref__", "_buffer")

    def __init__(self, buffer: ItemBuffer) -> None:
        self._buffer = buffer

    @property
    def correlation(self) -> int:
        """The number of the request, unique in the asker's runtime."""
        return self._buffer.correlation

    @property
    def done(self) -> bool:
        """True once the stream has ended. Items that came before may not have been read yet."""
        return self._buffer.done

    def exception(self) -> BaseException | None:
        """Return the error with which the stream ended; None if it ended without one, or has not ended."""
        return self._buffer.error

    def close(self) -> None:
        """Leave the stream. Never blocks: the handler is cancelled soon. Does nothing if the stream has ended."""
        self._buffer.close()

    def __iter__(self) -> ItemReader[R_co]:
        return ItemReader(self, self._buffer)

    def __aiter__(self) -> ItemReader[R_co]:
        return ItemReader(self, self._buffer)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        _leave(self._buffer)

    def __repr__(self) -> str:
        buffer = self._buffer
        state = "open" if not buffer.done else "failed" if buffer.error is not None else "ended"
        return f"<ReplyStream {buffer.correlation}: {state}>"


class ItemReader(Generic[R_co]):
    """The iterator of one loop over a stream. The end of the loop ends the stream."""

    __slots__ = ("_buffer", "_stream")

    def __init__(self, stream: ReplyStream[R_co], buffer: ItemBuffer) -> None:
        self._stream = stream
        self._buffer = buffer
        buffer.reader = CURRENT.get()

    def __iter__(self) -> Self:
        return self

    def __aiter__(self) -> Self:
        return self

    def __next__(self) -> R_co:
        while (item := self._buffer.take()) is NOTHING:
            self._buffer.next_item().result()
        if item is END:
            raise StopIteration
        return item  # type: ignore[no-any-return] # the agent promises the type

    async def __anext__(self) -> R_co:
        while (item := self._buffer.take()) is NOTHING:
            await self._buffer.next_item()
        if item is END:
            raise StopAsyncIteration
        return item  # type: ignore[no-any-return] # the agent promises the type

    def __del__(self) -> None:
        _leave(self._buffer)


def _leave(buffer: ItemBuffer) -> None:
    """Close a stream from a finalizer, which may have interrupted a step of the bookkeeping."""
    if not buffer.done:
        if interrupted():
            defer(buffer.close)
        else:
            buffer.close()
