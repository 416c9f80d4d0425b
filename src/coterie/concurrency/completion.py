"""Completions: an outcome that arrives once, and that threads and event loops can wait for."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Generator
from typing import Any

from coterie.concurrency.frames import calls_out, interrupts_a_step, waits
from coterie.concurrency.locks import Rank, new_lock
from coterie.concurrency.threads import CONTAINED, defer
from coterie.errors import ReentrantCall

_log = logging.getLogger(__name__)

_PROMPT = 0.2
"""Seconds that a signal handler that interrupted a step may wait: the outcome may come without that step."""


class Completion:
    """Becomes done once and stays done. The base of replies, pending writes and pending puts to a full mailbox.

    Safe from any thread. `_lock` guards `_done` and `_callbacks`; callbacks are called without it, by the thread that
    completes, or at once by a thread that adds one afterwards. They must be short; their errors are logged.
    """

    __slots__ = ("_callbacks", "_done", "_lock")

    def __init__(self) -> None:
        self._lock = new_lock(Rank.COMPLETION)
        self._done = False
        self._callbacks: list[Callable[[], object]] | None = None

    @property
    def done(self) -> bool:
        """True once the outcome has arrived."""
        return self._done

    @calls_out
    def add_callback(self, callback: Callable[[], object]) -> None:
        """Call `callback` when the outcome arrives; immediately if it has arrived."""
        if self._lock._is_owned():  # noqa: SLF001 - see `Lock`
            defer(lambda: self.add_callback(callback))
            return
        self._lock.acquire()
        if not self._done:
            if self._callbacks is None:
                self._callbacks = [callback]
            else:
                self._callbacks.append(callback)
            self._lock.release()
            return
        self._lock.release()
        try:
            callback()
        except CONTAINED:
            _log.exception("a callback of an outcome raised")

    def remove_callback(self, callback: Callable[[], object]) -> None:
        """Remove a callback that has not been called; do nothing if it is not registered."""
        if self._lock._is_owned():  # noqa: SLF001 - see `Lock`
            defer(lambda: self.remove_callback(callback))
            return
        self._lock.acquire()
        # They are compared by identity: the comparison of a user's callback is code of the user.
        forgotten = self._callbacks
        if forgotten is not None:
            self._callbacks = [each for each in forgotten if each is not callback]
        self._lock.release()
        del forgotten

    def wait(self, timeout: float | None = None) -> bool:
        """Block this thread until the outcome arrives, or `timeout` seconds of real time have passed.

        Return whether it has arrived. Raise `ReentrantCall` if it cannot arrive, because the caller has interrupted a step
        of the runtime.
        """
        if self._done:
            return True
        doorbell = threading.Lock()
        doorbell.acquire()
        ring = doorbell.release
        self.add_callback(ring)
        try:
            if not interrupts_a_step():
                _take(doorbell, timeout)
            elif not _take(doorbell, _PROMPT if timeout is None else min(timeout, _PROMPT)):
                raise ReentrantCall("a wait")
        finally:
            if not self._done:
                self.remove_callback(ring)
        return self._done

    def suspend(self) -> Generator[Any, None, None]:
        """Yield to the running event loop until the outcome arrives, without blocking its thread. For ``__await__`` methods."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            try:
                loop.call_soon_threadsafe(_set, future)
            except RuntimeError:
                # The loop is closed, so no task can be waiting on it.
                return

        self.add_callback(wake)
        try:
            yield from future
        finally:
            self.remove_callback(wake)

    @calls_out
    def _finish(self) -> None:
        """Call the callbacks. The caller holds the lock and has set `_done`; this releases the lock."""
        callbacks = self._callbacks
        self._callbacks = None
        self._lock.release()
        if callbacks is not None:
            for callback in callbacks:
                try:
                    callback()
                except CONTAINED:  # it must harm neither the answerer nor the other callbacks
                    _log.exception("a callback of an outcome raised")


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


@waits
def _take(doorbell: threading.Lock, timeout: float | None) -> bool:
    return doorbell.acquire() if timeout is None else doorbell.acquire(timeout=max(0.0, min(timeout, threading.TIMEOUT_MAX)))


class Signal(Completion):
    """A completion without a value. It can be awaited on any event loop."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, None]:
        if not self._done:
            yield from self.suspend()

    def set(self) -> None:
        """Complete the signal. Further calls do nothing."""
        if self._lock._is_owned():  # noqa: SLF001 - see `Lock`
            defer(self.set)
            return
        self._lock.acquire()
        self._done = True
        self._finish()
