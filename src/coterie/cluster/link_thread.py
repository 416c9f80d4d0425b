"""The thread of one runtime that waits for its connections: it reads those of other members, and writes what could not be sent at once."""

from __future__ import annotations

import contextlib
import logging
import selectors
import socket
from collections import deque
from collections.abc import Callable
from typing import Protocol

from coterie.concurrency import start_thread
from coterie.kernel import SystemClock

_log = logging.getLogger(__name__)

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE

_TICK = 0.1
_COLLECTS = 0.001
"""Seconds for which frames are collected while they come in a flood."""

_clock = SystemClock()

Handler = Callable[[int], None]


class Collector(Protocol):
    """A link whose frames are collected for a moment, since they come in a flood."""

    def collect(self) -> bool:
        """Send what has come together; return whether to go on like that."""
        ...


class LinkThread:
    """Waits for sockets, and calls their handlers with what they are ready for. Handlers never block.

    Only the thread itself uses the selector. Other threads put functions into `_calls`, and then wake it: it sets `_asleep` before
    its last look, and they read it after they have put something there, so at least one of them sees the other. `tick` is
    called ten times a second.
    """

    def __init__(self, name: str, tick: Callable[[], None]) -> None:
        self._selector = selectors.DefaultSelector()
        self._calls: deque[Callable[[], object]] = deque()
        self._collectors: dict[Collector, None] = {}
        self._tick = tick
        self._asleep = self._closed = False
        self._wakes, self._waker = socket.socketpair()
        for end in (self._wakes, self._waker):
            end.settimeout(0)
        self._selector.register(self._wakes, READ, self._drain)
        self._thread = start_thread(self._run, name)

    def call(self, function: Callable[[], object]) -> None:
        """Call a short function on the thread."""
        self._calls.append(function)
        if self._asleep:
            self._asleep = False
            with contextlib.suppress(OSError):  # it is full of wake-ups, or closed
                self._waker.send(b"!")

    def watch(self, connection: socket.socket, events: int, handler: Handler) -> None:
        """Call a handler whenever a socket is ready for some of the events. From any thread; it replaces an earlier one."""
        self.call(lambda: self._watch(connection, events, handler))

    def unwatch(self, connection: socket.socket) -> None:
        """Look at a socket no more, until it is watched again. From any thread."""
        self.call(lambda: self._unwatch(connection))

    def forget(self, connection: socket.socket) -> None:
        """Close a socket. From any thread."""
        self.call(lambda: self._forget(connection))

    def collect(self, collector: Collector) -> None:
        """Have the frames of a link collected from now on. From any thread."""
        self.call(lambda: self._collectors.setdefault(collector))

    def close(self, within: float) -> None:
        """Close all sockets, and end the thread."""
        self._closed = True
        self.call(lambda: None)
        self._thread.join(within)

    def _watch(self, connection: socket.socket, events: int, handler: Handler) -> None:
        if connection.fileno() < 0:
            return
        if connection in self._selector.get_map():
            self._selector.modify(connection, events, handler)
        else:
            self._selector.register(connection, events, handler)

    def _unwatch(self, connection: socket.socket) -> None:
        if connection.fileno() >= 0:
            with contextlib.suppress(KeyError):
                self._selector.unregister(connection)

    def _forget(self, connection: socket.socket) -> None:
        self._unwatch(connection)
        connection.close()

    def _drain(self, _: int) -> None:
        with contextlib.suppress(OSError):
            self._wakes.recv(4_096)

    def _run(self) -> None:
        look_at = 0.0
        while not self._closed:
            self._asleep = True
            events = self._selector.select(0 if self._calls else _COLLECTS if self._collectors else _TICK)
            self._asleep = False
            for key, ready in events:
                self._guarded(lambda key=key, ready=ready: key.data(ready))  # type: ignore[misc]
            while self._calls:
                self._guarded(self._calls.popleft())
            for collector in list(self._collectors):
                self._guarded(lambda collector=collector: self._collect(collector))  # type: ignore[misc]
            now = _clock.monotonic()
            if now >= look_at:
                look_at = now + _TICK
                self._guarded(self._tick)
        for key in list(self._selector.get_map().values()):
            self._guarded(lambda key=key: key.fileobj.close())  # type: ignore[misc]
        self._waker.close()
        self._selector.close()

    def _collect(self, collector: Collector) -> None:
        if not collector.collect():
            self._collectors.pop(collector, None)

    def _guarded(self, step: Callable[[], object]) -> None:
        try:
            step()
        except Exception:  # noqa: BLE001 - it is logged: without this thread, the runtime would be cut off for ever
            _log.exception("a step of the links raised")
