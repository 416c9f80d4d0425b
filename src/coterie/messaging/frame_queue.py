"""The frames that wait for one runtime on another node."""

from __future__ import annotations

from collections import deque
from typing import Protocol

from coterie.concurrency import Rank, Signal, new_lock
from coterie.errors import MessageTooLarge, TransportError

_HARD = 2
"""How many times the limit of a queue it holds before frames are refused."""


class FrameQueueLimits(Protocol):
    """The limits of a queue of frames."""

    @property
    def max_message(self) -> int:
        """The bytes of a frame at most."""
        ...

    @property
    def queue_messages(self) -> int:
        """The number of frames that wait before senders are held back; at twice as many they are refused."""
        ...

    @property
    def queue_bytes(self) -> int:
        """The same, in bytes."""
        ...

    @property
    def send_timeout(self) -> float:
        """The seconds for which a sender is held back at most."""
        ...


class FrameQueue:
    """The bounded queue of the frames to one peer. Safe from any thread.

    `_lock` guards the frames, their size, the counts, `node` and `ended`; nothing is called under it. A signal handler that
    interrupts a step may enter it again: each step leaves the sizes right.
    """

    def __init__(self, name: str, limits: FrameQueueLimits, node: str = "") -> None:
        self.name = name
        self.node = node
        """The name of the peer's current runtime; empty while it is unknown, or after it has ended."""
        self.ended = ""
        """Why the last runtime has ended, if it was said."""
        self._limits = limits
        self._largest, self._most, self._most_bytes = limits.max_message, limits.queue_messages, limits.queue_bytes
        self._lock = new_lock(Rank.RECORDS)
        self._queue: deque[bytes] = deque()
        self._bytes = 0
        self.sent = self.refused = self.dropped = 0
        self._room: Signal | None = None
        self._room_ends = 0.0

    @property
    def queued(self) -> int:
        """The number of frames that wait."""
        return len(self._queue)

    def put(self, node: str, frame: bytes, slow: str = "it takes them too slowly") -> None:
        """Queue a frame for a runtime of the peer. `slow` says in an error why frames wait.

        Raises `MessageTooLarge`, and `TransportError` if the queue is full or the runtime has ended.
        """
        size, queue = len(frame), self._queue
        if size > self._largest:
            raise MessageTooLarge(self.name, size, self._largest)
        with self._lock:
            current, bytes_ = node == self.node, self._bytes
            if current and len(queue) < _HARD * self._most and (bytes_ + size <= _HARD * self._most_bytes or not bytes_):
                queue.append(frame)
                self._bytes = bytes_ + size
                return
            self.refused += 1
        if not current:
            of = f" of {self.name}" if node != self.name else ""
            raise TransportError(f"the runtime {node}{of} has ended{f': {self.ended}' if self.ended else ''}")
        raise TransportError(
            f"{len(self._queue):,} messages of {self._bytes:,} bytes wait for {self.name} already: {slow}; send less at once, or "
            "raise the limits queue_messages and queue_bytes"
        )

    def take(self, most: int, most_bytes: int) -> list[bytes]:
        """Remove and return the oldest frames: at most so many, and of so many bytes, but at least one if any waits."""
        batch: list[bytes] = []
        size = 0
        with self._lock:
            queue = self._queue
            while queue and len(batch) < most and (size + len(queue[0]) <= most_bytes or not batch):
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
        if self.has_room:
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

    def renew(self, node: str, why: str = "") -> str:
        """Record that the peer has a new runtime, or none if `node` is empty; `why` says why the earlier one has ended.

        Drop what waits for the earlier one, and return its name.
        """
        with self._lock:
            before = self.node
            if node != before:
                self.dropped += len(self._queue)
                self._queue.clear()
                self._bytes = 0
                self.node, self.ended = node, why
            room = self._take_room(1.0)
        if room is not None:
            room.set()
        return before

    @property
    def has_room(self) -> bool:
        """True if senders need not wait."""
        return len(self._queue) <= self._most and self._bytes <= self._most_bytes

    def _has_room(self, part: float) -> bool:
        return len(self._queue) <= part * self._most and self._bytes <= part * self._most_bytes

    def _take_room(self, part: float) -> Signal | None:
        """Return the signal of the waiting senders, and forget it, if there is room. The caller holds the lock."""
        room = self._room if self._room is not None and self._has_room(part) else None
        if room is not None:
            self._room = None
        return room
