"""Send requests from any thread to the gateway's loop, and replies back."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol

from coterie.concurrency import Signal
from coterie.concurrency.exits import ExitOrder, end_dropped, register_exit_handler, unregister_exit_handler
from coterie.concurrency.forks import register_fork_handler
from coterie.errors import GatewayClosed, ModelError, describe
from coterie.errors.models import GatewayForked
from coterie.models.contract import Model, reading
from coterie.models.gateway.futures import ModelReplyFuture, StreamChannel
from coterie.models.gateway.loop import EventLoopThread
from coterie.models.values import ModelRequest

_log = logging.getLogger(__name__)

_EXIT_WITHIN = 5.0
"""Seconds that the end of the program waits for requests in flight."""


class _Assembled(Protocol):
    @property
    def model(self) -> Model: ...

    async def close(self) -> None: ...


class GatewayLoop:
    """The loop of a gateway, and the requests on it.

    Any thread may submit; `_tasks` belongs to the loop's thread. Requests submitted during the closing end with an error.
    """

    def __init__(self, thread: EventLoopThread, assembly: _Assembled, name: str) -> None:
        self.name = name
        self._thread = thread
        self._assembly = assembly
        self._tasks: dict[asyncio.Task[None], Callable[[BaseException], object]] = {}
        self._closing = False
        self._ended = Signal()
        self._accepting = True
        self._forked = False
        register_fork_handler(self)
        register_exit_handler(self, ExitOrder.MODELS)

    @property
    def closed(self) -> bool:
        """True once no more requests are accepted."""
        return self._closing or self._forked

    def after_fork_in_child(self) -> None:
        """Refuse requests in a forked child: it lacks the thread, and shares the connections."""
        self._forked = True

    def refuse_own_thread(self, what: str) -> None:
        """Raise `ModelError` on the thread of the loop, which would wait for itself."""
        if self._thread.here:
            raise ModelError(f"{what} was called on the thread of the model gateway itself, and would wait for ever: use await")

    def submit(self, request: ModelRequest) -> ModelReplyFuture:
        """Start a request on the loop."""
        pending = ModelReplyFuture(request)
        self._send(lambda: self._begin_ask(pending))
        return pending

    def stream(self, request: ModelRequest, channel: StreamChannel) -> Callable[[], object]:
        """Start a stream into a channel; return the function that cancels it."""
        left = Signal()
        self._send(lambda: self._begin_stream(request, channel, left))
        return left.set

    def close(self, timeout: float) -> bool:
        """End all requests and the loop; return whether they ended within `timeout` seconds."""
        if self._forked:
            return True
        first = not self._closing
        self._closing = True
        unregister_exit_handler(self)
        if first:
            self._thread.call(lambda: self._keep(self._close(timeout), _log_error))
        if self._thread.here:
            return True
        if self._ended.wait(timeout):
            return self._thread.stop(timeout)
        # A model blocks the loop; end the waits of its callers.
        for fail in list(self._tasks.copy().values()):
            fail(GatewayClosed(self.name))
        return self._thread.stop(0.0)

    def finish_at_exit(self) -> str | None:
        """Wait a limited time for the requests in flight, and close. Return how many were lost, as text, or None."""
        if self.closed:
            return None
        with contextlib.suppress(TimeoutError, RuntimeError):
            self._thread.run(self._idle(), _EXIT_WITHIN)
        lost = len(self._tasks)
        self.close(_EXIT_WITHIN)
        return f"{self.name}: {lost} requests to models, not answered within {_EXIT_WITHIN:g} s" if lost else None

    def dropped(self) -> None:
        """Close after the requests in flight, because the gateway was dropped; do not make the caller wait."""
        if not self.closed:
            end_dropped(f"the model gateway {self.name}", self._finish)

    def _finish(self) -> None:
        with contextlib.suppress(RuntimeError):  # it has been closed meanwhile
            self._thread.run(self._idle())
        self.close(_EXIT_WITHIN)

    async def _idle(self) -> None:
        while tasks := [*self._tasks]:
            await asyncio.wait(tasks)

    def _send(self, begin: Callable[[], object]) -> None:
        if self._forked:
            raise GatewayForked(self.name)
        if self._closing or not self._thread.call(begin):
            raise GatewayClosed(self.name)

    def _begin_ask(self, pending: ModelReplyFuture) -> None:
        if not self._accepting:
            pending.end(None, GatewayClosed(self.name))
            return
        task = self._keep(self._ask(pending), lambda error: pending.end(None, error))
        pending.begun(lambda: self._thread.call(task.cancel))

    async def _ask(self, pending: ModelReplyFuture) -> None:
        pending.end(await self._assembly.model.ask(pending.request))

    def _begin_stream(self, request: ModelRequest, channel: StreamChannel, left: Signal) -> None:
        if not self._accepting:
            channel.put(GatewayClosed(self.name))
            return
        task = self._keep(self._stream(request, channel), channel.put)
        left.add_callback(lambda: self._thread.call(task.cancel))

    async def _stream(self, request: ModelRequest, channel: StreamChannel) -> None:
        async with reading(self._assembly.model.stream(request)) as pieces:
            async for piece in pieces:
                channel.put(piece)
        channel.put(None)

    def _keep(self, work: Coroutine[Any, Any, None], fail: Callable[[BaseException], object]) -> asyncio.Task[None]:
        task = self._thread.loop.create_task(work)
        self._tasks[task] = fail
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        fail = self._tasks.pop(task)
        if task.cancelled():
            fail(GatewayClosed(self.name) if self._closing else ModelError("the request was cancelled: ask again"))
        elif (error := task.exception()) is not None:
            fail(error if isinstance(error, ModelError) else _foreign(error))

    async def _close(self, seconds: float) -> None:
        self._accepting = False
        own = asyncio.current_task()
        tasks = [task for task in self._tasks if task is not own]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)
        try:
            await self._within(seconds, self._assembly.close())
        finally:
            self._ended.set()
            if own is not None:
                own.add_done_callback(lambda _: self._thread.halt())

    async def _within(self, seconds: float, work: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(seconds):
                await work
        except TimeoutError:
            _log.warning("the clients of the model gateway %s did not close within %g s", self.name, seconds)


def _foreign(error: BaseException) -> ModelError:
    """Wrap a foreign error of a `Model` in a `ModelError`."""
    wrapped = ModelError(f"the model raised {describe(error)}: a Model must raise ModelError only, so correct the model")
    wrapped.__cause__ = error
    return wrapped


def _log_error(error: BaseException) -> None:
    _log.error("closing a model gateway: %s", describe(error))
