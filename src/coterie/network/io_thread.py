"""The I/O thread of a node, which owns all of its sockets."""

from __future__ import annotations

import contextlib
import logging
import socket
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import zmq

from coterie.concurrency import start_thread
from coterie.kernel import SystemClock
from coterie.network.handshake import Goodbye, encode
from coterie.network.incoming import IncomingConnections
from coterie.network.outgoing import LocalNode, OutgoingConnection
from coterie.network.peer import Peer
from coterie.network.sockets import Authentication, Sockets

_log = logging.getLogger(__name__)

_TICK = 0.1
"""Seconds between looks at the deadlines."""
_FLOOD, _STREAK, _CROWD = 0.0001, 8, 8
"""After so many writes that each follow the one before within so many seconds, frames are collected for a millisecond; and on as
long as at least so many come together."""
_FAREWELL = 1.0
"""Seconds for which a node that stops still sends what is queued, at most."""

_clock = SystemClock()


class IoThread:
    """Connects a node to its peers, and moves the frames.

    ZeroMQ's sockets are not thread-safe: once the thread runs, only it touches them. Other threads put frames into the queues
    of the peers, or functions into `_calls`, and then call `wake`. The thread sets `_asleep` before its last look at the
    queues, and a sender reads it after it has queued a frame, so at least one of them sees the other.

    Raises `TransportError` if the address of the node cannot be had.
    """

    def __init__(
        self,
        local: LocalNode,
        peers: Mapping[str, Peer],
        deliver: Callable[[list[bytes]], None],
        sockets: Sockets,
        context: zmq.Context[zmq.Socket[bytes]],
    ) -> None:
        self._local = local
        self._context = context
        self._calls: deque[Callable[[], object]] = deque()
        self._asleep = self._closing = False
        nodes = local.topology.nodes
        # Before the listener, which would let any key in without it.
        self._zap = sockets.authenticator()
        self._listener = sockets.listener(local.name, nodes[local.name])
        self._authentication = Authentication(local.name, nodes)
        self._wakes, self._waker = socket.socketpair()
        for end in (self._wakes, self._waker):
            end.settimeout(0)
        self._poller = zmq.Poller()
        self._wrote, self._streak = 0.0, 0
        lines = {
            name: OutgoingConnection(local, peer, *sockets.connector(nodes[name]), self._poller) for name, peer in peers.items()
        }
        self._lines = list(lines.values())
        self._incoming = IncomingConnections(
            local, self._listener, lines, deliver, self.call, authenticated=self._zap is not None
        )
        self._handlers: dict[Any, tuple[int, Callable[[int], object]]] = {
            self._wakes.fileno(): (0, self._drain_wakes),
            self._zap: (0, self._authenticate),
            self._listener: (3, self._incoming.read),
        }
        for source in self._handlers:
            if source is not None:
                self._poller.register(source, zmq.POLLIN)
        for line in self._lines:
            self._handlers[line.monitor] = 1, line.handle_event
            self._handlers[line.socket] = 2, line.handle_socket
        self._thread = start_thread(self._run, f"{local.runtime}-network")

    def wake(self) -> None:
        """Let the thread look at the queues, if it sleeps."""
        if self._asleep:
            self._asleep = False
            with contextlib.suppress(OSError):  # it is full of wake-ups, or closed
                self._waker.send(b"!")

    def call(self, function: Callable[[], object]) -> None:
        """Call a function on the thread."""
        self._calls.append(function)
        self.wake()

    def admit(self) -> None:
        """Let peers in from now on."""
        self.call(self._incoming.admit)

    def close(self) -> None:
        """Send what is queued, say goodbye to the peers, close the sockets, and end the thread."""
        self.call(self._begin_to_close)
        self._thread.join(5 * _FAREWELL)

    def _begin_to_close(self) -> None:
        self._closing = True

    def _run(self) -> None:
        look_at = 0.0
        try:
            while not self._closing:
                collects = self._streak >= _STREAK
                # While it collects, it wakes up by itself.
                self._asleep = not collects
                busy = bool(self._calls) or any(line.has_work for line in self._lines)
                events = self._poller.poll(1 if collects else 0 if busy else round(1000 * _TICK))
                self._asleep = False
                self._guarded(self._step, events)
                now = _clock.monotonic()
                if now >= look_at:
                    look_at = now + _TICK
                    for line in self._lines:
                        line.peer.expire(now)
        finally:
            self._guarded(self._end)

    def _guarded(self, step: Callable[..., object], *arguments: Any) -> None:
        try:
            step(*arguments)
        except Exception:  # noqa: BLE001 - it is logged: without this thread, the node would be cut off for ever
            _log.exception("a step of the network of node %s raised", self._local.name)

    def _step(self, events: list[tuple[Any, int]]) -> None:
        if len(events) > 1:
            # The events of connections first: they tell to which connection the rest belongs.
            events.sort(key=lambda event: self._handlers[event[0]][0])
        for source, flags in events:
            self._guarded(self._handlers[source][1], flags)
        while self._calls:
            self._guarded(self._calls.popleft())
        for line in self._lines:
            if line.has_work:
                before, self._wrote = self._wrote, _clock.monotonic()
                count = line.write()
                quick = self._wrote - before < _FLOOD or count >= _CROWD
                self._streak = self._streak + 1 if quick else 0

    def _drain_wakes(self, _: int) -> None:
        self._wakes.recv(4096)

    def _authenticate(self, _: int) -> None:
        assert self._zap is not None
        self._authentication.answer(self._zap)

    def _end(self) -> None:
        until = _clock.monotonic() + _FAREWELL
        goodbye = encode(Goodbye(self._local.runtime))
        lines = [line for line in self._lines if line.peer.connected]
        while lines and _clock.monotonic() < until:
            for line in lines:
                line.write()
            lines = [line for line in lines if not (line.is_flushed and line.tell(goodbye))]
            if lines:
                self._poller.poll(10)
        for line in self._lines:
            line.lose(f"node {self._local.name} has stopped")
            line.peer.renew("")
            line.close(_FAREWELL)
        for each in (self._listener, self._zap):
            if each is not None:
                each.close(0)
        self._wakes.close()
        self._waker.close()
        self._context.term()
