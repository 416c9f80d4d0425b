"""The connection of a node to one peer, over which its frames go out."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import zmq
from zmq.utils.monitor import recv_monitor_message

from coterie.concurrency import Signal
from coterie.kernel import SystemClock
from coterie.network.handshake import (
    BATCH,
    PROTOCOL,
    TALK,
    VERSION,
    Hello,
    RefusalReply,
    WelcomeReply,
    decode_talk,
    encode,
    version_mismatch,
)
from coterie.network.peer import Peer
from coterie.network.sockets import endpoint, sent
from coterie.network.topology import Topology

_log = logging.getLogger(__name__)

_BATCH, _BATCH_BYTES = 1_024, 256_000
"""Frames, and bytes, of one batch at most."""
_TURN = 4
"""Messages that are read or written before the other connections have their turn."""
_HELLO_AGAIN = 0.3
"""Seconds after a refusal before the next hello."""
_WRONG_KEY = "wrong key: "

_clock = SystemClock()
# As plain numbers: the enumerations of the library cost a microsecond each time.
_POLLIN, _POLLOUT = int(zmq.POLLIN), int(zmq.POLLOUT)


@dataclass(frozen=True, slots=True)
class LocalNode:
    """The node that has the connections."""

    name: str
    runtime: str
    """The name of its runtime, which is new with every start."""
    topology: Topology
    renewed: Callable[[Peer, str, str], None]
    """Called with the runtimes of a peer, the earlier and the new one, empty if there is none."""

    def renew(self, peer: Peer, runtime: str) -> None:
        """Record the current runtime of a peer."""
        before = peer.renew(runtime)
        if before != runtime:
            self.renewed(peer, before, runtime)


class OutgoingConnection:
    """Introduces this node to a peer, at the beginning of each connection, and sends the queued frames in batches.

    For the I/O thread alone. The library connects again after each loss; the events of the socket tell.
    """

    def __init__(
        self, local: LocalNode, peer: Peer, socket: zmq.Socket[bytes], monitor: zmq.Socket[bytes], poller: zmq.Poller
    ) -> None:
        self.peer = peer
        self.socket = socket
        self.monitor = monitor
        self._local = local
        self._poller = poller
        self._stalled: list[bytes] = []
        """A batch that the socket did not take yet."""
        self._hello_at: float | None = None
        """The time at which a hello is due."""
        self._backs_off = False
        """Whether the last attempt to connect has failed, so that the next one comes after a pause."""
        self._doubted = ""
        """The runtime that has introduced itself while another was connected, for which the address was tried again."""
        self._logged = ""
        """The problem that was logged last."""
        self._watched = 0
        """The events for which the poller watches the socket."""
        poller.register(monitor, _POLLIN)
        self._watch()

    @property
    def has_work(self) -> bool:
        """True if something can be sent now, as far as is known."""
        if self.peer.stalled:
            return False
        if self.peer.connected:
            return bool(self._stalled) or self.peer.is_waiting
        return self._hello_at is not None and self._hello_at <= _clock.monotonic()

    @property
    def is_flushed(self) -> bool:
        """True if the socket has taken all frames."""
        return not self._stalled and not self.peer.is_waiting

    def handle_event(self, _: int) -> None:
        """Handle one event of the connection."""
        event = int(recv_monitor_message(self.monitor)["event"])
        peer = self.peer
        self._backs_off = event == zmq.EVENT_CONNECT_RETRIED
        match event:
            case zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self._hello_at = _clock.monotonic()
                peer.detail = f"{peer.name} accepted the connection and has not answered yet"
            case zmq.EVENT_DISCONNECTED:
                self._stalled, self._hello_at = [], None
                self._stall(on=False)
                if peer.connected:
                    self.lose("the connection was lost")
                elif not peer.detail.startswith(_WRONG_KEY):
                    peer.detail = "it closed the connection during the handshake; compare the public keys in both topologies"
            case zmq.EVENT_HANDSHAKE_FAILED_AUTH:
                self._complain(f"{_WRONG_KEY}{peer.name} does not know the public key of {self._local.name}; add it there")
            case zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL:
                self._complain(f"{_WRONG_KEY}or one side does not encrypt; compare the public keys in both topologies")
            case zmq.EVENT_CONNECT_RETRIED if not peer.detail.startswith(_WRONG_KEY):
                peer.detail = f"no connection to {self._local.topology.nodes[peer.name].address} can be made"

    def handle_socket(self, flags: int) -> None:
        """Handle that the socket takes more, or has answers to hellos."""
        if flags & _POLLOUT:
            self._stall(on=False)
        if flags & _POLLIN:
            self._read()

    def _read(self) -> None:
        for _ in range(_TURN):
            try:
                parts = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            try:
                talk = decode_talk(parts[-1])
            except msgspec.DecodeError:
                self._complain("its answer makes no sense; install the same version of coterie on both")
                continue
            if isinstance(talk, RefusalReply):
                self._complain(talk.reason)
                self._hello_at = _clock.monotonic() + _HELLO_AGAIN
            elif isinstance(talk, WelcomeReply):
                self._welcome(talk)

    def write(self) -> int:
        """Send the hello that is due, and queued frames. Return the number of frames."""
        if self._hello_at is not None and _clock.monotonic() >= self._hello_at:
            local = self._local
            hello = Hello(PROTOCOL, VERSION, local.name, local.runtime, self.peer.name, local.topology.max_message)
            if not self.tell(encode(hello)):
                self._stall(on=True)
                return 0
            self._hello_at = None
        return self._send_batches() if self.peer.connected else 0

    def _stall(self, *, on: bool) -> None:
        """Record whether the socket takes no more. The queue then need not be looked at before the poller tells."""
        if on != self.peer.stalled:
            self.peer.stalled = on
            self._watch()

    def _watch(self) -> None:
        """Have the poller watch for what matters now: while there is a connection, no answers come."""
        flags = (0 if self.peer.connected else _POLLIN) | (_POLLOUT if self.peer.stalled else 0)
        if flags != self._watched:
            self._watched = flags
            if flags:
                self._poller.register(self.socket, flags)
            else:
                self._poller.unregister(self.socket)

    def tell(self, talk: bytes) -> bool:
        """Send a signal; return False if the socket does not take it now."""
        return sent(self.socket, [TALK, talk])

    def lose(self, why: str) -> None:
        """Record that there is no connection."""
        peer = self.peer
        peer.detail = why
        if peer.connected:
            peer.connected = False
            peer.ready = Signal()
            self._watch()

    def meet(self, runtime: str) -> str | None:
        """Handle that a runtime of the peer has connected to this node. Return the problem if another one is connected.

        The runtime at the address of the peer is that node, so this connects there again, at once, and once for each runtime.
        """
        peer, replaced = self.peer, self.peer.connected
        if replaced and peer.node == runtime:
            return None
        if (replaced and self._doubted != runtime) or self._backs_off:
            address = endpoint(self._local.topology.nodes[peer.name])
            self.socket.disconnect(address)
            self.socket.connect(address)
            self._stalled, self._backs_off = [], False
            self._stall(on=False)
        if replaced:
            if self._doubted != runtime:
                self._doubted = runtime
                self.lose(f"its runtime {runtime} has introduced itself")
            return (
                f"{self._local.name} is connected to another runtime of {peer.name}, {peer.node}; if that has not ended, give "
                "each node its own name and address"
            )
        self._local.renew(peer, runtime)
        return None

    def close(self, linger: float) -> None:
        """Close the socket; the library sends what it has taken, for `linger` seconds at most."""
        self.socket.disable_monitor()
        self.monitor.close(0)
        self.socket.close(round(1000 * linger))

    def _send_batches(self) -> int:
        """Send what is queued, for one turn. Return the number of frames."""
        count = 0
        for _ in range(_TURN):
            if not self._stalled:
                node = self.peer.node
                frames = self.peer.take(_BATCH, _BATCH_BYTES) if self.peer.is_waiting else None
                if not frames:
                    break
                count += len(frames)
                self._stalled = [BATCH + node.encode(), encode(frames)]
            if not sent(self.socket, self._stalled):
                self._stall(on=True)
                break
            self._stalled = []
        return count

    def _welcome(self, welcome: WelcomeReply) -> None:
        peer, local = self.peer, self._local
        if welcome.protocol != PROTOCOL:
            self._complain(version_mismatch(peer.name, welcome.protocol, welcome.version, local.name))
            return
        if welcome.name != peer.name:
            self._complain(f"the node at its address is {welcome.name}; mend the address of {peer.name} in the topology")
            return
        peer.clock_offset = welcome.time - _clock.time()
        if abs(peer.clock_offset) > local.topology.clock_tolerance:
            _log.warning("the clock of node %s differs from this one by %.1f s; set both by NTP", peer.name, peer.clock_offset)
        peer.max_message = min(local.topology.max_message, welcome.max_message)
        local.renew(peer, welcome.node)
        peer.connections += 1
        peer.connected = True
        self._watch()
        peer.detail = self._logged = ""
        peer.ready.set()
        _log.info("node %s is connected to %s (%s)", local.name, peer.name, welcome.node)

    def _complain(self, problem: str) -> None:
        """Log a problem with the peer, once until it changes."""
        self.lose(problem)
        if self._logged != problem:
            self._logged = problem
            _log.error("node %s cannot use the connection to %s: %s", self._local.name, self.peer.name, problem)
