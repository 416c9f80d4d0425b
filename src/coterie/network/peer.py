"""One peer of a node: the state of the connection to it, and the frames that wait for it."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from coterie.concurrency import Signal
from coterie.messaging.frame_queue import FrameQueue
from coterie.network.topology import Topology


class PeerStatus(msgspec.Struct, frozen=True):
    """The connection of a node to one peer, and the counts of its frames since the start."""

    name: str
    node: str
    """The name of the peer's runtime; empty while it is unknown."""
    connected: bool
    detail: str = ""
    """Why it is not connected."""
    clock_offset: float | None = None
    """Seconds by which the peer's clock is ahead, about."""
    queued: int = 0
    queued_bytes: int = 0
    sent: int = 0
    refused: int = 0
    """Frames that were refused because the queue was full."""
    dropped: int = 0
    """Frames that waited for a runtime that has ended."""
    connections: int = 0
    """How often a connection was made."""


class Peer(FrameQueue):
    """The queue to one peer, and what is known of it. The attributes of its own are written by the I/O thread alone."""

    def __init__(self, name: str, topology: Topology) -> None:
        super().__init__(name, topology)
        self.wake: Callable[[], None] = lambda: None
        """Wakes the I/O thread."""
        self.connected = False
        """True once both sides have introduced themselves on the present connection."""
        self.stalled = False
        """True while the connection takes no more: the I/O thread looks at the queue again when it does."""
        self.detail = "no connection has been made yet"
        self.clock_offset: float | None = None
        self.connections = 0
        self.max_message = topology.max_message
        self.ready = Signal()
        """Set while it is connected; a new one after a loss."""

    @property
    def is_waiting(self) -> bool:
        """True if frames wait for it."""
        return bool(self._queue)

    def put(self, node: str, frame: bytes, slow: str = "") -> None:
        """Queue a frame for a runtime of the peer; an error says how the connection is."""
        if self.connected:
            super().put(node, frame)
        else:
            super().put(node, frame, slow or self.detail)

    def flush(self) -> None:
        """Let the I/O thread send what is queued."""
        if not self.stalled:
            self.wake()

    def status(self) -> PeerStatus:
        """Return the state and the counts."""
        with self._lock:
            return PeerStatus(
                self.name, self.node, self.connected, "" if self.connected else self.detail, self.clock_offset,
                len(self._queue), self._bytes, self.sent, self.refused, self.dropped, self.connections,
            )  # fmt: skip
