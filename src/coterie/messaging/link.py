"""The link above an unreliable transport: it orders frames, removes duplicates, and counts losses."""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import msgspec

from coterie.concurrency import Rank, Timer, Timers, new_lock
from coterie.errors import TransportError
from coterie.messaging.liveness import PeerLiveness
from coterie.messaging.transport import BatchingTransport, QueueingTransport, Transport

_log = logging.getLogger(__name__)

_REMEMBERED_GAPS = 4_096
"""The number of skipped sequence numbers that are remembered, to tell a late frame from a repeated one."""


_QUESTION = b"?"
_ANSWER = b"!"
"""The payloads of heartbeats."""


class _Frame(msgspec.Struct, array_like=True):
    source: str
    sequence: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class LinkStatistics:
    """The counts of frames of a link."""

    sent: int = 0
    delivered: int = 0
    duplicates: int = 0
    """Frames that arrived again and were discarded."""
    lost: int = 0
    """Frames that were missing from the sequence for longer than the link's patience."""
    late: int = 0
    """Frames that arrived after they had been counted as lost, and were discarded."""
    malformed: int = 0
    """Data that are not a frame."""


class _Outgoing:
    """The frames to one node so far. `lock` guards the number."""

    __slots__ = ("lock", "number")

    def __init__(self) -> None:
        self.lock = new_lock(Rank.OUTGOING)
        self.number = 0


class _Peer:
    """The received frames of one peer. Guarded by the link's lock for it."""

    __slots__ = ("deliverable", "delivered", "delivering", "early", "expected", "gap_timer", "given_up", "lock")

    def __init__(self) -> None:
        self.lock = new_lock(Rank.LINK)
        self.expected = 1
        self.delivered = 0
        self.early: dict[int, tuple[float, bytes]] = {}
        """Payloads that came too early, by number, with their times of arrival; in the order of arrival."""
        self.given_up: dict[int, None] = {}
        self.gap_timer: Timer | None = None
        self.deliverable: deque[bytes] = deque()
        self.delivering = False


class Link:
    """Numbers outgoing frames, and delivers incoming frames in order.

    A frame that arrives too early waits up to `patience` seconds for all those before it; then they count as lost, and
    if they arrive later they are discarded. Nothing is sent twice: delivery is at most once, in the order of sending. A loss at
    the end shows only when another frame follows it.

    Heartbeats, which have the number 0, ask silent nodes for a sign of life. A node that gives none for `silence` seconds is
    lost: then `lost(node, reason)` is called, on the timers' thread. So is `forgotten(node)`, when a node was lost so long ago
    that nothing is remembered of it. `found(node)` is called when a lost node is heard again, on the thread that brings its frame.

    Safe from any thread. `deliver(source, payload)` is called without any lock, for one peer by one thread at a time.
    """

    def __init__(
        self,
        node: str,
        transport: Transport,
        timers: Timers,
        deliver: Callable[[str, bytes], None],
        patience: float = 0.05,
        most_early: int = 10_000,
        silence: float = 10.0,
        lost: Callable[[str, str], None] = lambda node, why: None,  # noqa: ARG005 - the names say what it gets
        forgotten: Callable[[str], None] = lambda node: None,  # noqa: ARG005 - as above
        found: Callable[[str], None] = lambda node: None,  # noqa: ARG005 - as above
    ) -> None:
        self.node = node
        self.patience = patience
        self._most_early = most_early
        self._transport = transport
        self._timers = timers
        self._deliver = deliver
        self._lock = new_lock(Rank.RECORDS)
        self._out: dict[str, _Outgoing] = {}
        self._peers: dict[str, _Peer] = {}
        self._counts = dict.fromkeys(LinkStatistics.__dataclass_fields__, 0)
        """The counts; those of the frames that were sent and delivered are of forgotten nodes alone."""
        self._forgotten = forgotten
        self._outbox = transport.outbox if isinstance(transport, QueueingTransport) else None
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(_Frame)
        self.liveness = PeerLiveness(timers, silence, self._ask_for_life, lost, self._forget, found)
        if isinstance(transport, BatchingTransport):
            transport.bind_batches(self.receive_all)
        transport.bind(node, self.receive)

    def send(self, node: str, payload: bytes) -> None:
        """Send a payload to a node. Raises `TransportError` if it certainly cannot arrive there."""
        if node != self.node:
            self.liveness.watch(node)
        out = self._out.get(node)
        if out is None:
            with self._lock:
                out = self._out.setdefault(node, _Outgoing())
        outbox = self._outbox(node) if self._outbox is not None else None
        if outbox is None:
            self._send_at_once(node, out, payload)
            return
        with out.lock:
            # Only in one step do the frames of several threads have the order of their numbers.
            outbox.put(node, self._encoder.encode(_Frame(self.node, out.number + 1, payload)))
            out.number += 1
        outbox.flush()

    def _send_at_once(self, node: str, out: _Outgoing, payload: bytes) -> None:
        with out.lock:
            sequence = out.number = out.number + 1
        try:
            self._transport.send(self.node, node, self._encoder.encode(_Frame(self.node, sequence, payload)))
        except TransportError:
            with out.lock:
                # The number is used again, or else the receiver would wait for this frame.
                if out.number == sequence:
                    out.number = sequence - 1
            raise

    def receive(self, data: bytes) -> None:
        """Take a frame from the transport."""
        frame = self._decoded(data)
        if frame is not None:
            self._take(frame.source, frame.sequence, (frame.payload,))

    def receive_all(self, batch: Sequence[bytes]) -> None:
        """Take frames that arrive together from the transport: those that follow each other in one step."""
        source, first, run = "", 0, list[bytes]()
        for data in batch:
            frame = self._decoded(data)
            if frame is None:
                continue
            if run and frame.sequence == first + len(run) and frame.source == source:
                run.append(frame.payload)
                continue
            if run:
                self._take(source, first, run)
            source, first, run = frame.source, frame.sequence, [frame.payload]
        if run:
            self._take(source, first, run)

    def _decoded(self, data: bytes) -> _Frame | None:
        """Return a frame to deliver; None for a heartbeat, which is answered, and for other data."""
        try:
            frame = self._decoder.decode(data)
        except (msgspec.DecodeError, RecursionError) as error:
            self._count("malformed")
            _log.warning("node %s: %d bytes that are not a frame were discarded: %s", self.node, len(data), error)
            return None
        if frame.sequence:
            return frame
        if frame.source != self.node:
            self.liveness.heard(frame.source)
        if frame.payload == _QUESTION:
            with contextlib.suppress(TransportError):
                self._transport.send(self.node, frame.source, self._encoder.encode(_Frame(self.node, 0, _ANSWER)))
        return None

    def _take(self, source: str, first: int, payloads: Sequence[bytes]) -> None:
        """Deliver payloads of frames whose numbers follow each other, in their turn."""
        if source != self.node:
            self.liveness.heard(source)
        peer = self._peers.get(source)
        if peer is None:
            with self._lock:
                peer = self._peers.setdefault(source, _Peer())
        with peer.lock:
            in_turn = first == peer.expected and not (peer.early or peer.delivering or peer.deliverable)
            if in_turn:
                # The common case: nothing is to be sorted.
                peer.expected += len(payloads)
                peer.delivering = True
            else:
                for sequence, payload in enumerate(payloads, first):
                    self._sort_in(source, peer, sequence, payload)
        if in_turn:
            self._deliver_all(source, peer, payloads)
        if peer.deliverable:
            self._hand_over(source, peer)

    def close(self) -> None:
        """Receive no more frames."""
        self.liveness.close()
        self._transport.close(self.node)
        for peer in list(self._peers.values()):
            with peer.lock:
                timer, peer.gap_timer = peer.gap_timer, None
            if timer is not None:
                timer.cancel()

    def _ask_for_life(self, node: str) -> None:
        self._transport.send(self.node, node, self._encoder.encode(_Frame(self.node, 0, _QUESTION)))

    def _forget(self, node: str) -> None:
        """Remove the records of a node: each start of a runtime is another node, so they would grow for ever."""
        with self._lock:
            out, peer = self._out.pop(node, None), self._peers.pop(node, None)
            self._counts["sent"] += out.number if out is not None else 0
            self._counts["delivered"] += peer.delivered if peer is not None else 0
        self._forgotten(node)

    @property
    def statistics(self) -> LinkStatistics:
        """The counts of frames so far."""
        with self._lock:
            sent, delivered = (
                sum(out.number for out in self._out.values()),
                sum(peer.delivered for peer in self._peers.values()),
            )
            counts = self._counts
            return LinkStatistics(**{**counts, "sent": counts["sent"] + sent, "delivered": counts["delivered"] + delivered})

    def _sort_in(self, source: str, peer: _Peer, sequence: int, payload: bytes) -> None:
        if sequence < peer.expected:
            if sequence in peer.given_up:
                del peer.given_up[sequence]
                self._count("late")
            else:
                self._count("duplicates")
        elif sequence in peer.early:
            self._count("duplicates")
        else:
            peer.early[sequence] = self._timers.clock.monotonic(), payload
            expected = peer.expected
            self._release(peer)
            if len(peer.early) > self._most_early:
                self._skip(peer)
            self._watch_gap(source, peer, moved=peer.expected != expected)

    def _watch_gap(self, source: str, peer: _Peer, *, moved: bool) -> None:
        """Keep a timer for the current gap: it fires when the first frame after the gap has waited for `patience`."""
        if peer.gap_timer is not None and (moved or not peer.early):
            peer.gap_timer.cancel()
            peer.gap_timer = None
        if peer.early and peer.gap_timer is None:
            gap = peer.expected
            noticed, _ = next(iter(peer.early.values()))
            peer.gap_timer = self._timers.call_at(noticed + self.patience, lambda: self._give_up(source, peer, gap))

    def _release(self, peer: _Peer) -> None:
        while peer.expected in peer.early:
            peer.deliverable.append(peer.early.pop(peer.expected)[1])
            peer.expected += 1

    def _skip(self, peer: _Peer) -> None:
        first = min(peer.early)
        self._count("lost", first - peer.expected)
        missing = range(max(peer.expected, first - _REMEMBERED_GAPS), first)
        peer.given_up.update(dict.fromkeys(missing))
        while len(peer.given_up) > _REMEMBERED_GAPS:
            del peer.given_up[next(iter(peer.given_up))]
        peer.expected = first
        self._release(peer)

    def _give_up(self, source: str, peer: _Peer, gap: int) -> None:
        with peer.lock:
            if peer.expected != gap or not peer.early:
                return
            self._skip(peer)
            self._watch_gap(source, peer, moved=True)
        self._hand_over(source, peer)

    def _hand_over(self, source: str, peer: _Peer) -> None:
        # One thread at a time delivers, to keep the order; any other thread leaves its frames to that one.
        while peer.deliverable:
            with peer.lock:
                if peer.delivering or not peer.deliverable:
                    return
                peer.delivering = True
                batch = list(peer.deliverable)
                peer.deliverable.clear()
            self._deliver_all(source, peer, batch)

    def _deliver_all(self, source: str, peer: _Peer, batch: Iterable[bytes]) -> None:
        """Deliver payloads, and then let another thread deliver. The caller has set `delivering`."""
        count = 0
        try:
            for payload in batch:
                self._deliver(source, payload)
                count += 1
        finally:
            with peer.lock:
                peer.delivered += count
                peer.delivering = False

    def _count(self, what: str, by: int = 1) -> None:
        with self._lock:
            self._counts[what] += by
