"""One peer of a node: the state of the connection to it, and the frames that wait for it."""

from __future__ import annotations

from collections import deque

import msgspec

from coterie.concurrency import Rank, Signal, new_lock
from coterie.errors import MessageTooLarge, TransportError
from coterie.network.topology import Topology

_HARD = 2
"""How many times the limit of a queue it holds before frames are refused."""


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


class Peer:
    """The queue to one peer, and what is known of it.

    `_lock` guards the queue, its sizes, its counts and `node`. The other attributes are written by the I/O thread alone; other
    threads read them for information. A signal handler that interrupts a step may enter it again: each step leaves the sizes
    right.
    """

    def __init__(self, name: str, topology: Topology) -> None:
        self.name = name
        self.node = ""
        """The name of its current runtime; empty while it is unknown."""
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
        self._limits = topology
        self._lock = new_lock(Rank.RECORDS)
        self._queue: deque[bytes] = deque()
        self._bytes = 0
        self._sent = self._refused = self._dropped = 0
        self._room: Signal | None = None
        self._room_ends = 0.0

    @property
    def is_waiting(self) -> bool:
        """True if frames wait for it."""
        return bool(self._queue)

    def put(self, node: str, frame: bytes) -> None:
        """Queue a frame for a runtime of the peer. Raises `TransportError` if the queue is full, or the runtime has ended."""
        size = len(frame)
        if size > self.max_message:
            raise MessageTooLarge(self.name, size, self.max_message)
        limits = self._limits
        with self._lock:
            current = node == self.node
            full = len(self._queue) >= _HARD * limits.queue_messages or (
                self._bytes + size > _HARD * limits.queue_bytes and self._bytes > 0
            )
            if current and not full:
                self._queue.append(frame)
                self._bytes += size
                return
            self._refused += 1
        if not current:
            raise TransportError(f"the runtime {node} of {self.name} has ended")
        why = "it takes them too slowly" if self.connected else self.detail
        raise TransportError(
            f"{len(self._queue):,} messages of {self._bytes:,} bytes wait for {self.name} already: {why}; send less at once, or "
            "raise limits.queue_messages and limits.queue_bytes"
        )

    def take(self, most: int, most_bytes: int) -> list[bytes]:
        """Remove and return the oldest frames: at most so many, and of so many bytes, but at least one."""
        batch: list[bytes] = []
        size = 0
        with self._lock:
            queue = self._queue
            while queue and len(batch) < most and (size + len(queue[0]) <= most_bytes or not batch):
                batch.append(queue.popleft())
                size += len(batch[-1])
            self._bytes -= size
            self._sent += len(batch)
            room = self._take_room(0.5)
        if room is not None:
            room.set()
        return batch

    def room(self, now: float) -> Signal | None:
        """Return None if senders need not wait, or a signal that is set when they need not any more."""
        if self._has_room(1.0):
            return None
        with self._lock:
            if self._has_room(1.0):
                return None
            if self._room is None:
                self._room = Signal()
                self._room_ends = now + self._limits.send_timeout
            return self._room

    def expire(self, now: float) -> None:
        """Let waiting senders go on if they have waited for too long. Their frames stay queued."""
        with self._lock:
            room = self._room if self._room is not None and now >= self._room_ends else None
            if room is not None:
                self._room = None
        if room is not None:
            room.set()

    def renew(self, node: str) -> str:
        """Record that the peer has a new runtime, or none if `node` is empty. Drop what waits for the earlier one; return it."""
        with self._lock:
            before = self.node
            if node != before:
                self._dropped += len(self._queue)
                self._queue.clear()
                self._bytes = 0
                self.node = node
            room = self._take_room(1.0)
        if room is not None:
            room.set()
        return before

    def status(self) -> PeerStatus:
        """Return the state and the counts."""
        with self._lock:
            return PeerStatus(
                self.name, self.node, self.connected, "" if self.connected else self.detail, self.clock_offset,
                len(self._queue), self._bytes, self._sent, self._refused, self._dropped, self.connections,
            )  # fmt: skip

    def _has_room(self, part: float) -> bool:
        return len(self._queue) <= part * self._limits.queue_messages and self._bytes <= part * self._limits.queue_bytes

    def _take_room(self, part: float) -> Signal | None:
        """Return the signal of the waiting senders, and forget it, if there is room. The caller holds the lock."""
        room = self._room if self._room is not None and self._has_room(part) else None
        if room is not None:
            self._room = None
        return room
