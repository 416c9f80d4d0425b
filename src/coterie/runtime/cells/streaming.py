"""The handlers of streams: they send what they yield, and are held back while the asker does not read."""

from __future__ import annotations

import asyncio
import copy
from inspect import isawaitable
from typing import Any, Protocol

from coterie.concurrency import Completion
from coterie.errors import HandlerFailed
from coterie.messaging import Stream
from coterie.messaging.envelope import Envelope
from coterie.runtime.definition.handlers import Handler
from coterie.runtime.references.invocation import CURRENT, ActingAgent
from coterie.runtime.references.mailbox_room import WaitServices
from coterie.runtime.references.reply_stream import StreamPort

_STEPS = 32
"""Items after which a handler that never awaits lets the event loop run."""
COPIED = frozenset({list, dict, set, bytearray})
"""Kinds of answers and items that are copied, one level deep: the agent may keep what it answers with."""


def handler_for(kind: type, handler: Handler | None, services: WaitServices) -> Handler | None:
    """Return the handler for messages of a type: for a stream, one that sends the items of the given handler."""
    if handler is None or not issubclass(kind, Stream):
        return handler
    streaming = copy.copy(handler)
    # Items that were sent cannot be taken back.
    streaming.attempts = 1
    streaming.is_async = True
    source = handler.function

    async def send_items(agent: Any, message: Any) -> None:
        running: Any = CURRENT.get()  # a handler that is ``async`` has a task of its own
        items = source(agent, message)
        if isawaitable(items):
            items = await items
        await _Sending(running, services).send_all(items)

    streaming.function = send_items
    return streaming


class _RunningHandler(Protocol):
    """A running ``async`` handler."""

    @property
    def cell(self) -> ActingAgent:
        """The agent."""
        ...

    @property
    def exclusive(self) -> bool:
        """True if the agent handles nothing else meanwhile."""
        ...

    @property
    def active(self) -> bool:
        """True until it has ended."""
        ...

    @property
    def envelope(self) -> Envelope | None:
        """The message, unless it was postponed."""
        ...

    def cancel(self) -> None:
        """Cancel it, unless it is shielded."""
        ...


class _Sending:
    """One running handler of a stream. Only for the agent's thread."""

    __slots__ = ("_count", "_port", "_running", "_services")

    def __init__(self, running: _RunningHandler, services: WaitServices) -> None:
        self._running = running
        self._services = services
        self._count = 0
        reply: Any = running.envelope.reply if running.envelope is not None else None  # `AgentRef.stream` makes it
        self._port: StreamPort | None = reply

    async def send_all(self, items: Any) -> None:
        """Send all items of an iterable; if the asker leaves before the end, close it."""
        if self._running.envelope is None:
            # The handler has postponed its message.
            return
        if not (hasattr(items, "__aiter__") or hasattr(items, "__next__")):
            self._refuse(items)
        try:
            if hasattr(items, "__aiter__"):
                async for item in items:
                    await self._send(item)
            else:
                for item in items:
                    await self._send(item)
        finally:
            if hasattr(items, "aclose"):
                await items.aclose()
            elif hasattr(items, "close"):
                items.close()

    async def _send(self, item: Any) -> None:
        """Send an item, and wait until there is room for another. Without an asker, items are dropped."""
        port = self._port
        self._count += 1
        if port is None or self._running.envelope is None:
            await asyncio.sleep(0)
            return
        kind = item.__class__
        if kind in COPIED:
            item = item.copy()
        room = port.send(item)
        if room is not None and not port.done:
            await self._wait_for(room, port)
        if port.done:
            # The end of a stream also ends the wait for room: the generator must not make one more item for nobody.
            self._running.cancel()
            await asyncio.sleep(0)
        elif not self._count % _STEPS:
            await asyncio.sleep(0)

    async def _wait_for(self, room: Completion, port: StreamPort) -> None:
        """Wait for room. A reader that waits for this agent, which waits for it to read, is a cycle; raises `WaitCycle`."""
        running, reader, waits = self._running, port.reader, self._services.waits
        if running.exclusive and reader is not None and reader.active and reader.exclusive:
            waits.enter(running.cell, reader.cell, room, running)
        try:
            await self._services.loops.future(room)
        finally:
            waits.leave(running.cell, room)

    def _refuse(self, value: Any) -> None:
        """Raise `HandlerFailed` for a value that cannot be iterated."""
        envelope = self._running.envelope
        kind = type(envelope.message).__qualname__ if envelope is not None else ""
        reason = f"it returned a {type(value).__qualname__}; a handler of a Stream yields its items, or returns an iterator"
        error = HandlerFailed(self._running.cell.name, kind, reason)
        if self._port is not None:
            self._port.fail(error)
        raise error
