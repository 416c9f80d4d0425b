"""The way to one runtime of the cluster: the frames that wait for it, and the connection over which they leave."""

from __future__ import annotations

import logging
import socket
import ssl
import struct
from collections.abc import Callable
from typing import Any

from coterie.cluster.introduction import ENDED, GIVEN_UP, STRANGER
from coterie.cluster.limits import LinkLimits
from coterie.cluster.link_thread import READ, WRITE, LinkThread
from coterie.cluster.wire import encode
from coterie.concurrency import AutoResetEvent, Rank, new_lock, start_thread
from coterie.errors import describe
from coterie.kernel import SystemClock
from coterie.messaging.frame_queue import FrameQueue

_log = logging.getLogger(__name__)

BATCH_BYTES = 262_144
"""The bytes of a batch: less, or one frame."""
_BATCH_FRAMES = 1_000
_TURN = 8
"""Full batches that are sent before other links have their turn."""
_FLOOD, _STREAK, _CROWD = 0.0001, 8, 8
"""After so many batches that each follow the one before within so many seconds, frames are collected for a moment; and on as
long as at least so many come together."""
_PAUSE, _LONGEST_PAUSE = 0.05, 1.0
_STRANGE = 60.0
"""Seconds for which a member may not know this runtime yet: it learns of it by its next report to the directory, which takes long
while that starts again or the machine is busy. Later, the link ends for good."""
_LENGTH = struct.Struct("!I")

_clock = SystemClock()

Open = Callable[[], tuple[socket.socket | None, str]]
"""Connects to the member; returns the connection, or None and the reason of its refusal."""


class MemberLink:
    """Sends the frames for one runtime, in order and at most once.

    A frame leaves on its sender's thread, unless another thread sends at that moment: then that one takes it along. If the socket
    takes no more, or frames come in a flood, the thread of the links goes on. A connection that is lost is made again, with
    growing pauses, until the member refuses, or is known to have ended.

    Safe from any thread. `_lock` guards `_writing`; only the thread that has set that uses the connection and `_rest`.
    """

    def __init__(self, target: str, place: str, limits: LinkLimits, thread: LinkThread, open_: Open) -> None:
        self.outbox = FrameQueue(target, limits, target)
        self.target = target
        self.collected = False
        """True while the thread of the links sends alone, once a millisecond."""
        self.detail = "no connection has been made yet"
        """Why there is no connection; empty if there is one."""
        self.lost = 0
        """Connections that were lost."""
        self._place = place
        self._thread = thread
        self._open = open_
        self._lock = new_lock(Rank.RECORDS)
        self._writing = self._stalled = False
        self._connection: socket.socket | None = None
        self._rest: memoryview | None = None
        self._wrote, self._streak = 0.0, 0
        self._ends = AutoResetEvent()
        self._dial()

    @property
    def is_busy(self) -> bool:
        """True if frames wait, and may still be sent."""
        return bool(self._rest is not None or self.outbox.queued)

    def put(self, node: str, frame: bytes) -> None:
        """Queue a frame. Raises `MessageTooLarge`, and `TransportError` if too much waits or the runtime has ended."""
        self.outbox.put(node, frame)

    def flush(self) -> None:
        """Send what waits, unless the thread of the links does so soon."""
        if not self.collected:
            self._flush()

    def _flush(self) -> None:
        """Send what waits, if no other thread does and the connection takes it."""
        while (self.outbox.queued or self._rest is not None) and not self._stalled and self._connection is not None:
            if not self._begin():
                return
            try:
                self._write()
                now = _clock.monotonic()
                self._streak = self._streak + 1 if now - self._wrote < _FLOOD else 0
                self._wrote = now
            finally:
                self._writing = False
            if self._streak >= _STREAK and not self.collected:
                self.collected = True
                self._thread.collect(self)
                return

    def collect(self) -> bool:
        """Send what has come together; return whether to go on like that. For the thread of the links."""
        count = 0
        if self._begin():
            try:
                for _ in range(_TURN):
                    written = self._write() if not self._stalled and self._connection is not None else 0
                    count += written
                    if written < _BATCH_FRAMES:
                        break
            finally:
                self._writing = False
        if count >= _CROWD and not self._stalled and self._connection is not None:
            return True
        self._streak = 0
        self.collected = False
        self._flush()
        return False

    def end(self, why: str) -> None:
        """Send no more."""
        self.outbox.renew("", why)
        self.detail = why
        self._ends.set()
        connection = self._connection
        if connection is not None:
            # Not by the method of the encrypted form: that would let a thread that sends go on without encryption.
            try:
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
            except OSError as error:
                _log.debug("the connection to %s was closed already: %s", self.target, error)

    def status(self) -> dict[str, Any]:
        """Return the counts and the state of the connection."""
        outbox = self.outbox
        return {
            "queued": outbox.queued, "sent": outbox.sent, "refused": outbox.refused, "lost": self.lost, "detail": self.detail
        }  # fmt: skip

    # Writing.

    def _begin(self) -> bool:
        """Have this thread send alone; return False if another does."""
        with self._lock:
            if self._writing:
                return False
            self._writing = True
            return True

    def _write(self) -> int:
        """Send the rest of a batch, or a new one; return the number of new frames. The caller has set `_writing`."""
        connection, rest, count = self._connection, self._rest, 0
        if connection is None:
            return 0
        if rest is None:
            batch = self.outbox.take(_BATCH_FRAMES, BATCH_BYTES)
            count = len(batch)
            if not count:
                return 0
            data = encode(batch)
            rest = memoryview(_LENGTH.pack(len(data)) + data)
        try:
            sent = connection.send(rest)
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            sent = 0
        except OSError as error:
            self._lose(describe(error))
            return count
        self._rest = rest[sent:] if sent < len(rest) else None
        if self._rest is not None:
            self._stalled = True
            self._thread.watch(connection, READ | WRITE, self._look)
        return count

    def _look(self, ready: int) -> None:
        """Go on when the socket takes more, and see when the other side has closed it. On the thread of the links."""
        connection = self._connection
        if connection is None or not self._begin():
            return
        try:
            if ready & READ:
                try:
                    # The other side sends nothing.
                    connection.recv(1)
                    self._lose("it has closed the connection")
                except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                    pass
                except OSError as error:
                    self._lose(describe(error))
            if ready & WRITE and self._connection is not None:
                self._stalled = False
                self._thread.watch(connection, READ, self._look)
        finally:
            self._writing = False
        self._flush()

    def _lose(self, why: str) -> None:
        """Give the connection up, and make it again. The caller has set `_writing`."""
        connection, self._connection, self._rest = self._connection, None, None
        self._stalled = self.collected = False
        if connection is not None:
            self._thread.forget(connection)
        if not self.outbox.ended:
            self.lost += 1
            self.detail = why
            self._dial()

    # Connecting.

    def _dial(self) -> None:
        start_thread(self._connect, f"to-{self.target}")

    def _connect(self) -> None:
        pause, strange_until = _PAUSE, _clock.monotonic() + _STRANGE
        while not self.outbox.ended:
            try:
                connection, refusal = self._open()
            except ConnectionRefusedError:
                self.end(f"its process has ended: {self._place} refuses connections")
                return
            except Exception as error:  # noqa: BLE001 - whatever it is, it is tried again until the member is known to have ended
                self.detail = f"no connection to {self._place}: {describe(error)}"
            else:
                if connection is not None:
                    self._connected(connection)
                    return
                if refusal != STRANGER or _clock.monotonic() >= strange_until:
                    self.end(_TEXTS.get(refusal, refusal))
                    return
                self.detail = _TEXTS[STRANGER]
            self._ends.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _connected(self, connection: socket.socket) -> None:
        connection.settimeout(0)
        self.detail = ""
        self._connection = connection
        if self.outbox.ended:
            self.end(self.outbox.ended)
        self._thread.watch(connection, READ, self._look)
        self._flush()


_TEXTS = {
    ENDED: "it is not there any more",
    GIVEN_UP: "it has given this runtime up, which was silent for too long; a program has to connect again",
    STRANGER: "it does not know this runtime as a member of the cluster",
}
