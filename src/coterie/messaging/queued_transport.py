"""The base of transports that queue the frames for each peer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from coterie.concurrency import Completion
from coterie.kernel import SystemClock
from coterie.messaging.frame_queue import FrameQueue
from coterie.messaging.transport import FrameOutbox, Receive, ReceiveAll

_clock = SystemClock()


class QueuedTransport(ABC):
    """Carries the frames of one runtime by a `FrameQueue` for each peer, and delivers in batches; see `Transport`.

    `bind` of a subclass sets `_receive`, and its `close` sets it to None again.
    """

    _receive: Receive | None = None
    """The handler of the runtime for one frame; None before `bind` and after the end."""
    _receive_all: ReceiveAll | None = None

    @abstractmethod
    def outbox(self, target: str) -> FrameOutbox | None:
        """Return the queue of the frames to a runtime; None for the own one. Raises `TransportError` if it cannot be reached."""

    @abstractmethod
    def queue_of(self, target: str) -> FrameQueue | None:
        """Return the queue of the frames to a runtime, if there is one."""

    def bind_batches(self, receive: ReceiveAll) -> None:
        """Deliver frames that arrive together to `receive` rather than one by one. Call it before `bind`."""
        self._receive_all = receive

    def send(self, source: str, target: str, frame: bytes) -> None:  # noqa: ARG002 - it serves one runtime
        """Queue a frame for a runtime, and see that it is sent. Never blocks. Raises `TransportError` if it cannot arrive."""
        queue = self.outbox(target)
        if queue is not None:
            queue.put(target, frame)
            queue.flush()
        elif self._receive is not None:
            self._receive(frame)

    def room(self, target: str) -> Completion | None:
        """Return None if a sender need not wait, or a completion: it is done when there is room, or after `send_timeout`."""
        queue = self.queue_of(target)
        return None if queue is None or queue.has_room else queue.room(_clock.monotonic())

    def deliver(self, frames: Sequence[bytes]) -> None:
        """Hand frames that have arrived to the runtime, in their order."""
        if self._receive is None:
            return
        if self._receive_all is not None:
            self._receive_all(frames)
            return
        for frame in frames:
            self._receive(frame)
