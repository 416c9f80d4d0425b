"""Futures of replies, and channels of streams, for threads and event loops."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from typing import Any

from coterie.concurrency import Completion, Rank, Signal, new_lock
from coterie.errors import ModelError, WaitTimeout
from coterie.models.values import ModelReply, ModelRequest, TextDelta


class ModelReplyFuture(Completion):
    """The reply to one request. ``await pending`` on any event loop, or block a thread in ``pending.result()``.

    It ends once: with the reply, or with a `ModelError`. Cancelling the await cancels the request and ends its HTTP call.
    Safe from any thread.
    """

    __slots__ = ("_cancel", "_error", "_reply", "_unwanted", "request")

    def __init__(self, request: ModelRequest) -> None:
        super().__init__()
        self.request = request
        """The request."""
        self._reply: ModelReply | None = None
        self._error: BaseException | None = None
        self._cancel: Callable[[], object] | None = None
        self._unwanted = False

    def __repr__(self) -> str:
        state = "pending" if not self._done else "failed" if self._error is not None else "answered"
        return f"<ModelReplyFuture {self.request.agent or 'nobody'}/{self.request.step or '-'}: {state}>"

    def result(self, timeout: float | None = None) -> ModelReply:
        """Block until the reply is there and return it, or raise the error that the request ended with.

        Raises `WaitTimeout` after `timeout` seconds of real time; the request goes on.
        """
        if not self.wait(timeout):
            raise WaitTimeout(repr(self), timeout or 0.0)
        return self._outcome()

    def __await__(self) -> Generator[Any, None, ModelReply]:
        try:
            if not self._done:
                yield from self.suspend()
        finally:
            # Does nothing after the end; before it, the await was cancelled or closed.
            self.cancel()
        return self._outcome()

    def cancel(self) -> None:
        """End the request, and its HTTP call with it. Does nothing once it has ended."""
        with self._lock:
            if self._done:
                return
            self._unwanted = True
            cancel = self._cancel
        if cancel is not None:
            cancel()

    def begun(self, cancel: Callable[[], object]) -> None:
        """Set the function that cancels the request; call it at once if `cancel` came earlier."""
        with self._lock:
            self._cancel = cancel
            unwanted = self._unwanted
        if unwanted:
            cancel()

    def end(self, reply: ModelReply | None, error: BaseException | None = None) -> bool:
        """End the request with a reply or an error. Return False if it had ended before."""
        self._lock.acquire()
        if self._done:
            self._lock.release()
            return False
        self._reply, self._error, self._cancel = reply, error, None
        self._done = True
        self._finish()
        return True

    @property
    def ended(self) -> tuple[ModelReply | None, BaseException | None]:
        """The reply and the error, as far as they are there."""
        return self._reply, self._error

    def _outcome(self) -> ModelReply:
        if self._error is not None:
            raise self._error
        if self._reply is None:
            raise ModelError("the request was cancelled: ask again")
        return self._reply


Item = TextDelta | ModelReply | BaseException | None
"""A piece, the whole reply, an error; None at the end."""


class StreamChannel:
    """The items of a stream that its one reader has not taken yet.

    The gateway's thread puts them, any thread takes them. `_lock` guards all fields. It holds one reply at most, so it needs
    no bound.
    """

    def __init__(self) -> None:
        self._lock = new_lock(Rank.STREAM)
        self._items: deque[Item] = deque()
        self._waiting: Signal | None = None

    def put(self, item: Item) -> None:
        """Deliver an item."""
        with self._lock:
            self._items.append(item)
            waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.set()

    async def take(self) -> Item:
        """Wait for the next item, and return it."""
        while True:
            signal = self._look()
            if not isinstance(signal, Signal):
                return signal
            await signal

    def take_blocking(self, timeout: float | None) -> Item:
        """Block the thread until the next item comes, and return it. Raises `WaitTimeout`."""
        while True:
            signal = self._look()
            if not isinstance(signal, Signal):
                return signal
            if not signal.wait(timeout):
                raise WaitTimeout("the next piece of a stream", timeout or 0.0)

    def _look(self) -> Item | Signal:
        with self._lock:
            if self._items:
                return self._items.popleft()
            if self._waiting is None:
                self._waiting = Signal()
            return self._waiting
