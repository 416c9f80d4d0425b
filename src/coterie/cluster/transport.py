"""The transport of one runtime over Ray's actor calls."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from coterie.cluster.limits import LinkLimits
from coterie.cluster.wire import ClusterMember, encode
from coterie.concurrency import AutoResetEvent, Completion, Rank, new_lock, start_thread
from coterie.errors import TransportError, describe
from coterie.kernel import SystemClock
from coterie.messaging import Receive
from coterie.messaging.frame_queue import FrameQueue

_log = logging.getLogger(__name__)

TAKEN, ENDED, STRANGER = b"", b"ended", b"stranger"
"""The results of a delivery: taken; the runtime that it is for is not there; the sender is no member of the cluster."""

_IN_FLIGHT = 3
"""Batches that are under way to one node at once. More frames wait meanwhile, and make larger batches."""
_BATCH_FRAMES = 2_000
_BATCH_BYTES = 80_000
"""The bytes of a batch: Ray sends arguments of up to 100,000 bytes with the call itself."""
_TICK = 0.1
_ENDED_KEPT = 1_000

_BATCH: msgspec.msgpack.Decoder[list[bytes]] = msgspec.msgpack.Decoder(list[bytes])
_clock = SystemClock()

Deliver = Callable[[str, str, bytes, Callable[[bytes | BaseException], None]], None]
"""Starts a delivery (source, target, batch), and calls the function with the result, on any thread."""


class Members(Protocol):
    """The members of the cluster, as a transport sees them. Safe from any thread."""

    def member(self, runtime: str) -> ClusterMember | None:
        """Return the living member with a runtime; ask the directory if it is not known here."""
        ...

    def deliver(self, member: ClusterMember) -> Deliver | None:
        """Return the way to a node; None for a program, which fetches its frames."""
        ...

    def reason(self, runtime: str) -> str:
        """Return why a runtime is not a member."""
        ...

    def runtimes(self) -> list[str]:
        """Return the runtimes of all living members."""
        ...

    def home(self, name: str) -> str | None:
        """Return the runtime of a durable agent by its name in addresses; None if no node can have it."""
        ...


class _Peer:
    """The way to one runtime. `_lock` guards its counts; frames leave while `_sending`, by one thread at a time."""

    def __init__(self, source: str, target: str, deliver: Deliver | None, limits: LinkLimits, wake: Callable[[], None]) -> None:
        self.outbox = FrameQueue(target, limits, target)
        self.target = target
        self._source = source
        self._deliver = deliver
        self._wake = wake
        self._lock = new_lock(Rank.RECORDS)
        self._in_flight = 0
        self._sending = False
        self.waiting = AutoResetEvent()
        """Set when frames wait for a program that fetches them."""
        self.doubtful = 0
        """Batches of which it is not known whether they arrived."""

    @property
    def is_busy(self) -> bool:
        """True if frames wait, or are on their way."""
        return bool(self._in_flight or self.outbox.queued)

    def flush(self) -> None:
        """Send what waits, unless enough is under way."""
        if self._deliver is None:
            self.waiting.set()
            return
        while self.outbox.queued:
            with self._lock:
                if self._sending or self._in_flight >= _IN_FLIGHT:
                    return
                self._sending = True
                self._in_flight += 1
            batch = self.outbox.take(_BATCH_FRAMES, _BATCH_BYTES)
            try:
                if batch:
                    self._deliver(self._source, self.target, encode(batch), self._done)
                else:
                    self._ends()
            except Exception as error:  # noqa: BLE001 - Ray may raise anything; the peer is lost then
                self._ends()
                self.outbox.renew("", describe(error))
            finally:
                self._sending = False

    def fetch(self, timeout: float) -> bytes:
        """Return a batch for a program that fetches its frames; wait for one."""
        batch = self.outbox.take(_BATCH_FRAMES, _BATCH_BYTES)
        if not batch and not self.outbox.ended and self.waiting.wait(timeout):
            batch = self.outbox.take(_BATCH_FRAMES, _BATCH_BYTES)
        return encode(batch)

    def end(self, why: str) -> None:
        """Send no more."""
        self.outbox.renew("", why)
        self.waiting.set()

    def _done(self, result: bytes | BaseException) -> None:
        self._ends()
        if isinstance(result, BaseException):
            self.doubtful += 1
            if type(result).__name__ == "ActorDiedError":
                self.outbox.renew("", "its process has ended")
            else:
                _log.warning("a batch of messages to %s may be lost: %s", self.target, describe(result).splitlines()[0])
        elif result == ENDED:
            self.outbox.renew("", "it is not there any more")
        elif result == STRANGER:
            self.outbox.renew("", "it does not know this runtime as a member of the cluster")
        if self.outbox.queued:
            self._wake()

    def _ends(self) -> None:
        with self._lock:
            self._in_flight -= 1


class RayTransport:
    """Carries the frames of one runtime by Ray's actor calls, in batches; see `coterie.messaging.Transport`.

    A frame leaves on its sender's thread, unless batches are under way already: then it waits for the next batch. To a node it
    is pushed; a program, which Ray cannot call, fetches its frames. Frames for one peer wait in one queue: when that is longer
    than the `LinkLimits`, `room` tells the senders to wait, and at twice as much `send` raises. Ray is told to repeat no call,
    so a frame arrives at most once.

    Safe from any thread. `_lock` guards the table of peers.
    """

    def __init__(self, members: Members, limits: LinkLimits | None = None) -> None:
        self._members = members
        self._limits = limits or LinkLimits()
        self._lock = new_lock(Rank.RECORDS)
        self._peers: dict[str, _Peer] = {}
        self._ended: OrderedDict[str, str] = OrderedDict()
        self._node = ""
        self._receive: Receive | None = None
        self._wakes = AutoResetEvent()
        self._closed = False

    # The contract of transports.

    def bind(self, node: str, receive: Receive) -> None:
        """Deliver the frames for the runtime `node`. Raises `TransportError`: it serves one runtime, once."""
        with self._lock:
            if self._node:
                raise TransportError(f"this transport serves {self._node} already; give each runtime its own RayTransport")
            self._node, self._receive = node, receive
        start_thread(self._run, f"{node}-cluster")

    def send(self, source: str, target: str, frame: bytes) -> None:  # noqa: ARG002 - it serves one runtime
        """Queue a frame for a runtime, and send it if enough waits. Raises `TransportError` if it cannot arrive."""
        peer = self._peers.get(target)
        if self._closed:
            raise TransportError("this runtime has stopped")
        if peer is None:
            if target == self._node and self._receive is not None:
                self._receive(frame)
                return
            peer = self._meet(target)
        peer.outbox.put(peer.target, frame)
        peer.flush()

    def room(self, target: str) -> Completion | None:
        """Return None if a sender need not wait, or a completion: it is done when there is room, or after `send_timeout`."""
        peer = self._peers.get(target)
        return peer.outbox.room(_clock.monotonic()) if peer is not None else None

    def close(self, node: str) -> None:
        """Send what waits, for a second at most, and send and receive no more."""
        if node != self._node or self._closed:
            return
        until = _clock.monotonic() + 1.0
        pause = AutoResetEvent()
        while any(peer.is_busy for peer in list(self._peers.values())) and _clock.monotonic() < until:
            self._wakes.set()
            pause.wait(0.01)
        self._closed = True
        self._receive = None
        self._wakes.set()
        for peer in list(self._peers.values()):
            peer.end("this runtime has stopped")

    def reachable(self) -> list[str]:
        """Return the runtimes of all other living members."""
        return [each for each in self._members.runtimes() if each != self._node and each not in self._ended]

    def home(self, name: str) -> str:
        """Return the runtime of a durable agent by its name in addresses. Raises `TransportError` if no node can have it."""
        home = self._members.home(name)
        if home is None:
            raise TransportError(f"no node of the cluster can have {name} now: none has a lease in the store")
        return home

    # Frames that come in.

    def deliver(self, source: str, target: str, batch: bytes) -> bytes:
        """Take a batch of frames; return one of the results of a delivery."""
        receive = self._receive
        if target != self._node or receive is None:
            return ENDED
        if source in self._ended:
            return STRANGER
        if source not in self._peers:
            try:
                self._meet(source)
            except TransportError:
                return STRANGER
        try:
            frames = _BATCH.decode(batch)
        except msgspec.DecodeError as error:
            _log.warning("a batch of %d bytes from %s makes no sense and was discarded: %s", len(batch), source, error)
            return TAKEN
        for frame in frames:
            receive(frame)
        return TAKEN

    def fetch(self, target: str, timeout: float) -> bytes:
        """Return the next batch for a program; wait up to `timeout` seconds for one."""
        peer = self._peers.get(target)
        if peer is None:
            try:
                peer = self._meet(target)
            except TransportError:
                return ENDED
        return peer.fetch(timeout) if not peer.outbox.ended else ENDED

    def has_ended(self, runtime: str) -> bool:
        """Return whether a runtime is known to have ended: what it sends does not count any more."""
        return runtime in self._ended

    def end(self, runtime: str, why: str) -> None:
        """Send no more to a runtime, and take no more from it."""
        with self._lock:
            peer = self._peers.get(runtime)
            self._ended[runtime] = why
            if len(self._ended) > _ENDED_KEPT:
                self._ended.popitem(last=False)
        if peer is not None:
            peer.end(why)

    def status(self) -> dict[str, dict[str, Any]]:
        """Return the counts of frames, by runtime."""
        return {
            name: {
                "queued": each.outbox.queued,
                "sent": each.outbox.sent,
                "refused": each.outbox.refused,
                "lost": each.doubtful,
            }
            for name, each in list(self._peers.items())
        }

    def _meet(self, runtime: str) -> _Peer:
        """Return the way to a runtime. Raises `TransportError` if it is not a member of the cluster."""
        ended = self._ended.get(runtime)
        member = self._members.member(runtime) if ended is None else None
        if member is None:
            raise TransportError(ended or self._members.reason(runtime))
        deliver = self._members.deliver(member)
        with self._lock:
            peer = self._peers.get(runtime)
            if peer is None:
                peer = self._peers[runtime] = _Peer(self._node, runtime, deliver, self._limits, self._wakes.set)
            return peer

    def _run(self) -> None:
        """Send what waited while batches were under way, and let senders go on that have waited for too long."""
        while not self._closed:
            self._wakes.wait(_TICK)
            now = _clock.monotonic()
            for name, peer in list(self._peers.items()):
                peer.flush()
                peer.outbox.expire(now)
                if peer.outbox.ended:
                    with self._lock:
                        self._ended.setdefault(name, peer.outbox.ended)
                        self._peers.pop(name, None)
