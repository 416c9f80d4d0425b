"""The frames that wait for one peer."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from coterie.concurrency import Rank, Signal, new_lock
from coterie.errors import MessageTooLarge, TransportError


@dataclass(frozen=True, slots=True)
class LinkLimits:
    """The limits of the frames between two nodes. Sizes are in bytes, times in seconds."""

    max_message: int = 16_000_000
    queue_messages: int = 10_000
    """The number of frames that wait for one peer before senders are held back; at twice as many they are refused."""
    queue_bytes: int = 64_000_000
    send_timeout: float = 10.0
    """The time for which a sender is held back at most."""


_BATCH_BYTES = 80_000
"""The bytes of a batch: Ray sends arguments of up to 100,000 bytes with the call itself."""
_BATCH_FRAMES = 2_000


class FrameQueue:
    """The queue of frames to one runtime. Safe from any thread: `_lock` guards its fields; nothing is called under it."""

    def __init__(self, peer: str, limits: LinkLimits) -> None:
        self.peer = peer
        self._limits = limits
        self._lock = new_lock(Rank.RECORDS)
        self._queue: deque[bytes] = deque()
        self._bytes = 0
        self._ended = ""
        """The reason why the peer takes no more frames."""
        self._room: Signal | None = None
        self._room_ends = 0.0
        self.sent = self.refused = 0

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def ended(self) -> str:
        """The reason why the peer takes no more frames; empty while it does."""
        return self._ended

    def put(self, frame: bytes) -> None:
        """Queue a frame. Raises `MessageTooLarge`, and `TransportError` if the peer has ended or the queue is full."""
        size, limits = len(frame), self._limits
        if size > limits.max_message:
            raise MessageTooLarge(self.peer, size, limits.max_message)
        with self._lock:
            full = len(self._queue) >= 2 * limits.queue_messages or (
                self._bytes + size > 2 * limits.queue_bytes and self._bytes
            )
            if not self._ended and not full:
                self._queue.append(frame)
                self._bytes += size
                return
            self.refused += 1
        if self._ended:
            raise TransportError(f"the runtime {self.peer} has ended: {self._ended}")
        raise TransportError(
            f"{len(self._queue):,} messages of {self._bytes:,} bytes wait for {self.peer} already: it takes them too slowly; "
            "send less at once, or raise LinkLimits.queue_messages and queue_bytes"
        )

    def take(self) -> list[bytes]:
        """Remove and return the oldest frames, as many as make a batch; an empty list if none waits."""
        batch: list[bytes] = []
        size = 0
        with self._lock:
            queue = self._queue
            while queue and len(batch) < _BATCH_FRAMES and (size + len(queue[0]) <= _BATCH_BYTES or not batch):
                batch.append(queue.popleft())
                size += len(batch[-1])
            self._bytes -= size
            self.sent += len(batch)
            room = self._take_room(0.5)
        if room is not None:
            room.set()
        return batch

    def room(self, now: float) -> Signal | None:
        """Return None if senders need not wait, or a signal that is set when they need not any more."""
        if self._has_room(1.0):
            return None
        with self._lock:
            if self._has_room(1.0) or self._ended:
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

    def end(self, why: str) -> None:
        """Drop what waits, and take no more frames."""
        with self._lock:
            if self._ended:
                return
            self._ended = why
            self._queue.clear()
            self._bytes = 0
            room, self._room = self._room, None
        if room is not None:
            room.set()

    def _has_room(self, part: float) -> bool:
        return len(self._queue) <= part * self._limits.queue_messages and self._bytes <= part * self._limits.queue_bytes

    def _take_room(self, part: float) -> Signal | None:
        room = self._room if self._room is not None and self._has_room(part) else None
        if room is not None:
            self._room = None
        return room
