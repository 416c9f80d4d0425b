"""The I/O thread of a node, which owns all of its sockets."""

from __future__ import annotations

import contextlib
import logging
import os
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
        receive: Callable[[bytes], None],
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
        self._wake_reader, self._wake_writer = os.pipe()
        for end in (self._wake_reader, self._wake_writer):
            os.set_blocking(end, False)
        self._poller = zmq.Poller()
        for source in (self._wake_reader, self._listener, self._zap):
            if source is not None:
                self._poller.register(source, zmq.POLLIN)
        self._lines = {
            name: OutgoingConnection(local, peer, *sockets.connector(nodes[name]), self._poller) for name, peer in peers.items()
        }
        self._incoming = IncomingConnections(
            local, self._listener, self._lines, receive, self.call, authenticated=self._zap is not None
        )
        self._thread = start_thread(self._run, f"{local.runtime}-network")

    def wake(self) -> None:
        """Let the thread look at the queues, if it sleeps."""
        if self._asleep:
            self._asleep = False
            with contextlib.suppress(OSError):  # the pipe is full of wake-ups, or closed
                os.write(self._wake_writer, b"!")

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
                self._asleep = True
                busy = bool(self._calls) or any(line.has_work for line in self._lines.values())
                ready = dict(self._poller.poll(0 if busy else round(1000 * _TICK)))
                self._asleep = False
                self._guarded(self._step, ready)
                now = _clock.monotonic()
                if now >= look_at:
                    look_at = now + _TICK
                    for line in self._lines.values():
                        line.peer.expire(now)
        finally:
            self._guarded(self._end)

    def _guarded(self, step: Callable[..., object], *arguments: Any) -> None:
        try:
            step(*arguments)
        except Exception:  # noqa: BLE001 - it is logged: without this thread, the node would be cut off for ever
            _log.exception("a step of the network of node %s raised", self._local.name)

    def _step(self, ready: Mapping[Any, int]) -> None:
        if self._wake_reader in ready:
            os.read(self._wake_reader, 4096)
        while self._calls:
            self._calls.popleft()()
        if self._zap is not None and self._zap in ready:
            self._authentication.answer(self._zap)
        lines = self._lines.values()
        # The events first: they tell to which connection the rest belongs.
        for line in lines:
            if line.monitor in ready:
                self._guarded(line.handle_event)
        for line in lines:
            if ready.get(line.socket, 0) & zmq.POLLIN:
                self._guarded(line.read)
        if self._listener in ready:
            self._guarded(self._incoming.read)
        for line in lines:
            self._guarded(line.write)

    def _end(self) -> None:
        until = _clock.monotonic() + _FAREWELL
        goodbye = encode(Goodbye(self._local.runtime))
        lines = [line for line in self._lines.values() if line.peer.connected]
        while lines and _clock.monotonic() < until:
            for line in lines:
                line.write()
            lines = [line for line in lines if not (line.is_flushed and line.tell(goodbye))]
            if lines:
                self._poller.poll(10)
        for line in self._lines.values():
            line.lose(f"node {self._local.name} has stopped")
            line.peer.renew("")
            line.close(_FAREWELL)
        for socket in (self._listener, self._zap):
            if socket is not None:
                socket.close(0)
        for end in (self._wake_reader, self._wake_writer):
            os.close(end)
        self._context.term()
