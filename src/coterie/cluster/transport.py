"""The transport of one runtime of a cluster, over connections between its members."""

from __future__ import annotations

import logging
import socket
from collections import OrderedDict
from typing import Any, Protocol

import msgspec

from coterie.cluster.admission import Admissions
from coterie.cluster.incoming_link import IncomingLink
from coterie.cluster.introduction import connect, is_loopback
from coterie.cluster.limits import LinkLimits
from coterie.cluster.link_keys import LinkKeys
from coterie.cluster.link_thread import READ, LinkThread
from coterie.cluster.member_link import BATCH_BYTES, MemberLink
from coterie.cluster.ports import listen
from coterie.cluster.wire import ClusterMember, LinkPlace
from coterie.concurrency import AutoResetEvent, Rank, new_lock
from coterie.concurrency.forks import register_fork_handler, unregister_fork_handler
from coterie.errors import TransportError
from coterie.kernel import SystemClock
from coterie.messaging import Receive
from coterie.messaging.frame_queue import FrameQueue
from coterie.messaging.queued_transport import QueuedTransport

_log = logging.getLogger(__name__)

_ENDED_KEPT = 1_000
_DOUBT = 10.0
"""Seconds after which a runtime that seems to have ended is tried again if the directory has not given it up."""
_FAREWELL = 1.0
_ANY_PORT = range(0)
_LINKS_EACH = 4
"""Connections of one runtime that are kept: the present one, and earlier ones of which frames may still be on their way."""
_OVERHEAD = 1_000
"""The bytes of a frame beyond its message, at most."""

_BATCH: msgspec.msgpack.Decoder[list[bytes]] = msgspec.msgpack.Decoder(list[bytes])
_clock = SystemClock()


class Members(Protocol):
    """The members of the cluster, as a transport sees them. Safe from any thread."""

    def member(self, runtime: str) -> ClusterMember | None:
        """Return the living member with a runtime; ask the directory if it is not known here."""
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


class RayTransport(QueuedTransport):
    """Carries the frames of one runtime of a cluster on Ray; see `coterie.messaging.Transport`.

    Ray starts and watches the members, and carries their places and keys through the directory. The frames travel over TCP
    connections between them, one in each direction, in batches: a frame leaves on its sender's thread at once, unless many come
    together. A connection is made by the first frame, and again when it is lost. Only members get in, and connections between
    machines are encrypted (TLS 1.3; with `encrypts` all are).

    Frames for one peer wait in one queue: when that is longer than the `LinkLimits`, `room` tells the senders to wait, and at
    twice as much `send` raises. Nothing is sent twice, so a frame arrives at most once.

    It listens at the first free one of `ports`; without any, at a port that the system chooses. Raises `ClusterError` if all are taken.

    Safe from any thread. `_lock` guards the table of links; the thread of the links has `_incoming`.
    """

    def __init__(
        self,
        members: Members,
        limits: LinkLimits | None = None,
        host: str = "127.0.0.1",
        *,
        encrypts: bool = False,
        ports: range = _ANY_PORT,
    ) -> None:
        self._members = members
        self._limits = limits or LinkLimits()
        self._encrypts = encrypts
        self._listener = listen(host, ports)
        self._keys = LinkKeys(encrypts=encrypts or not is_loopback(host))
        port = self._listener.getsockname()[1]
        self.place = LinkPlace(host, port, self._keys.key, self._keys.fingerprint)
        """The place at which other members reach this one, with its key, for the directory."""
        self._lock = new_lock(Rank.RECORDS)
        self._peers: dict[str, MemberLink] = {}
        self._ended: OrderedDict[str, tuple[float, str]] = OrderedDict()
        """The runtimes that have ended, as far as is known here: since when, and why."""
        self._doubts_at = 0.0
        self._incoming: dict[IncomingLink, None] = {}
        self._node = ""
        self._thread: LinkThread | None = None
        self._admissions: Admissions | None = None
        self._closed = False

    # The contract of transports.

    def bind(self, node: str, receive: Receive) -> None:
        """Deliver the frames for the runtime `node`. Raises `TransportError`: it serves one runtime, once."""
        with self._lock:
            if self._node:
                raise TransportError(f"this transport serves {self._node} already; give each runtime its own RayTransport")
            self._node, self._receive = node, receive
        register_fork_handler(self)
        thread = self._thread = LinkThread(f"{node}-cluster", self._look)
        self._admissions = Admissions(
            node,
            self._keys,
            thread,
            self._listener,
            self._key_of,
            self.has_ended,
            lambda *found: thread.call(lambda: self._enter(*found)),
        )
        self._admissions.start()

    def outbox(self, target: str) -> MemberLink | None:
        """Return the queue of the frames to a runtime; None for the own one. Raises `TransportError` if it is no member."""
        if self._closed:
            raise TransportError("this runtime has stopped")
        peer = self._peers.get(target)
        if peer is None and target != self._node:
            peer = self._meet(target)
        return peer

    def queue_of(self, target: str) -> FrameQueue | None:
        """Return the queue of the frames to a runtime, if there is one."""
        peer = self._peers.get(target)
        return None if peer is None else peer.outbox

    def close(self, node: str) -> None:
        """Send what waits, for a second at most, and send and receive no more."""
        if node != self._node or self._closed:
            return
        unregister_fork_handler(self)
        until = _clock.monotonic() + _FAREWELL
        pause = AutoResetEvent()
        while any(peer.is_busy for peer in list(self._peers.values())) and _clock.monotonic() < until:
            pause.wait(0.01)
        self._closed = True
        self._receive = None
        for peer in list(self._peers.values()):
            peer.end("this runtime has stopped")
        if self._thread is not None:
            self._thread.close(_FAREWELL)
        self._listener.close()

    def reachable(self) -> list[str]:
        """Return the runtimes of all other living members."""
        return [each for each in self._members.runtimes() if each != self._node and each not in self._ended]

    def home(self, name: str) -> str:
        """Return the runtime of a durable agent by its name in addresses. Raises `TransportError` if no node can have it."""
        home = self._members.home(name)
        if home is None:
            raise TransportError(f"no node of the cluster can have {name} now: none has a lease in the store")
        return home

    # The members.

    def has_ended(self, runtime: str) -> bool:
        """Return whether a runtime is known to have ended: what it sends does not count any more."""
        return runtime in self._ended

    def end(self, runtime: str, why: str) -> None:
        """Send no more to a runtime, and take no more from it."""
        with self._lock:
            peer = self._peers.get(runtime)
            self._remember(runtime, why)
        if peer is not None:
            peer.end(why)
        if self._thread is not None:
            self._thread.call(lambda: self._drop(runtime))

    def status(self) -> dict[str, dict[str, Any]]:
        """Return the counts of frames and the state of the connection, by runtime."""
        return {name: each.status() for name, each in list(self._peers.items())}

    def after_fork_in_child(self) -> None:
        """Serve no runtime any more: this is a copy in a forked process, whose connections belong to the parent."""
        self._lock = new_lock(Rank.RECORDS)
        self._closed = True

    def _meet(self, runtime: str) -> MemberLink:
        """Return the way to a runtime. Raises `TransportError` if it is not a member of the cluster."""
        ended = self._ended.get(runtime)
        member = self._members.member(runtime) if ended is None else None
        thread = self._thread
        if member is None or thread is None:
            raise TransportError(ended[1] if ended is not None else self._members.reason(runtime))
        place = member.place

        def open_() -> tuple[socket.socket | None, str]:
            return connect(place, self._node, runtime, self._keys.key, encrypts=self._encrypts)

        with self._lock:
            peer = self._peers.get(runtime)
            if peer is None:
                shown = f"{place.host}:{place.port}"
                peer = self._peers[runtime] = MemberLink(runtime, shown, self._limits, thread, open_)
            return peer

    def _remember(self, runtime: str, why: str) -> None:
        """Note that a runtime has ended. The caller holds the lock."""
        self._ended.setdefault(runtime, (_clock.monotonic(), why))
        if len(self._ended) > _ENDED_KEPT:
            self._ended.popitem(last=False)

    # On the thread of the links.

    def _look(self) -> None:
        """Let senders go on that have waited for too long, and forget the runtimes that have ended."""
        now = _clock.monotonic()
        if self._admissions is not None:
            self._admissions.look(now)
        for name, peer in list(self._peers.items()):
            peer.outbox.expire(now)
            if peer.outbox.ended and not self._closed:
                with self._lock:
                    self._remember(name, peer.outbox.ended)
                    self._peers.pop(name, None)
                self._drop(name)
        if now >= self._doubts_at:
            self._doubts_at = now + _DOUBT / 10
            self._doubt(now)

    def _doubt(self, now: float) -> None:
        """Try a runtime again that has ended, as it seems here, and is a member still: a firewall may have refused a connection."""
        for runtime in self._members.runtimes():
            with self._lock:
                since, _ = self._ended.get(runtime, (now, ""))
                if now - since > _DOUBT:
                    del self._ended[runtime]

    def _drop(self, runtime: str) -> None:
        """Close the connections of a runtime that has ended."""
        for link in [each for each in self._incoming if each.runtime == runtime]:
            self._leave(link, "it has ended")

    def _key_of(self, runtime: str) -> bytes | None:
        member = self._members.member(runtime) if runtime not in self._ended else None
        return member.place.key if member is not None else None

    def _enter(self, runtime: str, connection: socket.socket) -> None:
        """Take the frames of a member that was let in."""
        assert self._thread is not None
        link = IncomingLink(runtime, connection, self._limits.max_message + BATCH_BYTES + _OVERHEAD, self._take, self._leave)
        self._incoming[link] = None
        # The system may take hours to see that one was lost without a word.
        earlier = [each for each in self._incoming if each.runtime == runtime][:-_LINKS_EACH]
        for each in earlier:
            self._leave(each, "it has made newer ones")
        self._thread.watch(link.connection, READ, link.read)
        if link.runtime in self._ended:
            self._drop(link.runtime)

    def _leave(self, link: IncomingLink, why: str) -> None:
        if self._incoming.pop(link, link) is None:
            _log.info("the connection of %s has ended: %s", link.runtime, why)
            assert self._thread is not None
            self._thread.forget(link.connection)

    def _take(self, source: str, batch: memoryview) -> None:
        """Take a batch of frames."""
        if self._receive is None or source in self._ended:
            return
        try:
            frames = _BATCH.decode(batch)
        except msgspec.DecodeError as error:
            _log.warning("a batch of %d bytes from %s makes no sense and was discarded: %s", len(batch), source, error)
            return
        self.deliver(frames)
