"""Waking the event loops that await outcomes, whichever code owns the loop."""

from __future__ import annotations

import asyncio
import logging
import threading
import weakref
from asyncio import events
from collections import deque
from typing import TYPE_CHECKING

from coterie.concurrency import Completion, Rank, new_lock
from coterie.kernel import SystemClock
from coterie.kernel.clock import Throttle

if TYPE_CHECKING:
    from collections.abc import Callable


_log = logging.getLogger(__name__)

_MOST_WARNINGS = 10
"""Warnings of blocked loops in a minute."""


def running_loop() -> asyncio.AbstractEventLoop:
    """Return the running event loop. Raises `RuntimeError`, as asyncio does, and says what else to do."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError(
            "an outcome can be awaited on an event loop of asyncio only; elsewhere, as under trio, wait for it on a helper "
            "thread: trio.to_thread.run_sync(reply.result)"
        ) from None


class LoopInbox:
    """Sets futures of one event loop from other threads, with one wake-up for a burst of them.

    Safe from any thread. `_idle` is free exactly when no flush is on its way to the loop; who takes it sends one.
    """

    __slots__ = ("_due", "_idle", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)
        self._due: deque[asyncio.Future[None]] = deque()
        self._idle = threading.Lock()

    def deliver(self, future: asyncio.Future[None]) -> None:
        """Set `future` soon, on its loop. Does nothing if the loop is closed: then no code awaits it any more."""
        self._due.append(future)
        if self._idle.acquire(blocking=False):
            loop = self._loop()
            try:
                if loop is not None:
                    loop.call_soon_threadsafe(self._flush)
            except RuntimeError:
                self._due.clear()

    def _flush(self) -> None:
        self._idle.release()
        due = self._due
        while due:
            future = due.popleft()
            if not future.done():
                future.set_result(None)


class LoopInboxes:
    """The inboxes of the loops on which outcomes of one runtime are awaited. `_lock` guards the table."""

    def __init__(self) -> None:
        self._lock = new_lock(Rank.RECORDS)
        self._throttle = Throttle(_MOST_WARNINGS, 60.0)
        self._inboxes: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, LoopInbox] = weakref.WeakKeyDictionary()

    def of(self, loop: asyncio.AbstractEventLoop) -> LoopInbox:
        """Return the inbox of a loop."""
        inbox: LoopInbox | None = getattr(loop, "coterie_inbox", None)
        if inbox is None:
            with self._lock:
                inbox = self._inboxes.get(loop)
                if inbox is None:
                    inbox = self._inboxes[loop] = LoopInbox(loop)
        return inbox

    def warn_if_blocked(self, what: str, remedy: str) -> None:
        """Log that code is about to block the event loop that runs on this thread, unless it is an agent's own."""
        loop = events._get_running_loop()  # noqa: SLF001 - what asyncio.get_running_loop calls, without its exception
        if loop is None or isinstance(getattr(loop, "coterie_inbox", None), LoopInbox):
            return
        omitted = self._throttle.permit(SystemClock.monotonic())
        if omitted is not None:
            more = f" ({omitted} warnings like this were left out before)" if omitted else ""
            _log.warning("%s blocks the event loop that it was called on; %s%s", what, remedy, more)

    def future(self, completion: Completion) -> asyncio.Future[None]:
        """Return a future of the running loop that is set when `completion` is done."""
        loop = running_loop()
        future: asyncio.Future[None] = loop.create_future()
        deliver: Callable[[asyncio.Future[None]], None] = self.of(loop).deliver
        completion.add_callback(lambda: deliver(future))
        return future
