"""The diagnosis of a network: which node reaches which, and why not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec
import zmq
from zmq.utils.monitor import recv_monitor_message

from coterie.errors import TopologyError
from coterie.kernel import SystemClock
from coterie.network.handshake import (
    PROTOCOL,
    TALK,
    VERSION,
    Hello,
    RefusalReply,
    StatusQuestion,
    StatusReply,
    WelcomeReply,
    decode_talk,
    encode,
    version_mismatch,
)
from coterie.network.keys import KeyPair
from coterie.network.sockets import Sockets, probe
from coterie.network.topology import Topology

_clock = SystemClock()
_OWN = "(this command)"
_PROBE = 2.0


@dataclass(frozen=True, slots=True)
class Reach:
    """Whether one node reaches another."""

    source: str
    """The node; ``(this command)`` for the program that asks."""
    target: str
    reached: bool
    detail: str = ""
    """The reason if not, or a warning."""


@dataclass
class _Visit:
    """A connection to one node that asks for its state."""

    name: str
    socket: zmq.Socket[bytes]
    monitor: zmq.Socket[bytes]
    problem: str = ""
    warning: str = ""
    welcomed: bool = False
    reaches: list[Reach] | None = field(default=None)

    @property
    def is_over(self) -> bool:
        return bool(self.problem) or self.reaches is not None


def diagnose(topology: Topology, node: str | None = None, timeout: float = 5.0) -> list[Reach]:
    """Ask every node of a topology which peers it reaches. Blocks up to `timeout` seconds, and two for each node that is away.

    It speaks with the key of `node`, which must be on this machine; by default of the first node whose file of keys can be
    read. Raises `TopologyError` if there is none and one is needed.
    """
    name, keys = _speaker(topology, node)
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    try:
        sockets = Sockets(topology, keys, context)
        visits = [_Visit(each, *sockets.connector(topology.nodes[each], queues=True)) for each in topology.nodes]
        _visit(topology, name, visits, timeout)
    finally:
        context.destroy(0)
    own = [Reach(_OWN, visit.name, visit.welcomed, _explained(topology, visit)) for visit in visits]
    return [*own, *(reach for visit in visits for reach in visit.reaches or ())]


def _speaker(topology: Topology, node: str | None) -> tuple[str, KeyPair | None]:
    if node is not None:
        entry = topology.node(node)
        if topology.secure and entry.secret_key is None:
            raise TopologyError(topology.where, [f"nodes.{node}.secret_key: missing; set it to the path of its file of keys"])
        return node, KeyPair.load(entry.secret_key) if topology.secure and entry.secret_key is not None else None
    if not topology.secure:
        return next(iter(topology.nodes)), None
    for name, entry in topology.nodes.items():
        if entry.secret_key is not None and entry.secret_key.exists():
            return name, KeyPair.load(entry.secret_key)
    raise TopologyError(topology.where, ["no node of it has a secret_key file on this machine; run this on a node's machine"])


def _visit(topology: Topology, name: str, visits: list[_Visit], timeout: float) -> None:
    poller = zmq.Poller()
    by_socket = {}
    for visit in visits:
        # It is sent as soon as there is a connection.
        hello = Hello(PROTOCOL, VERSION, name, "", visit.name, topology.max_message)
        for socket in (visit.socket, visit.monitor):
            poller.register(socket, zmq.POLLIN)
            by_socket[socket] = visit
        visit.socket.send_multipart([TALK, encode(hello)], zmq.NOBLOCK)
    until = _clock.monotonic() + timeout
    while not all(visit.is_over for visit in visits) and (left := until - _clock.monotonic()) > 0:
        for socket, _ in poller.poll(round(1000 * left)):
            visit = by_socket[socket]
            if socket is visit.monitor:
                _event(topology, visit)
            else:
                _answer(topology, name, visit)


def _event(topology: Topology, visit: _Visit) -> None:
    event = int(recv_monitor_message(visit.monitor)["event"])
    if event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
        visit.problem = "wrong key: it does not know the public key of this node; add it to its topology"
    elif event in (zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL, zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL):
        visit.problem = "wrong key, or one side does not encrypt; compare the public keys in both topologies"
    elif event == zmq.EVENT_CONNECT_RETRIED and not visit.welcomed:
        visit.problem = probe(topology.nodes[visit.name].address, _PROBE)


def _answer(topology: Topology, name: str, visit: _Visit) -> None:
    try:
        talk = decode_talk(visit.socket.recv_multipart()[-1])
    except msgspec.DecodeError:
        visit.problem = "its answer makes no sense; install the same version of coterie on both"
        return
    if isinstance(talk, RefusalReply):
        visit.problem = talk.reason
    elif isinstance(talk, WelcomeReply):
        if talk.protocol != PROTOCOL:
            visit.problem = version_mismatch(visit.name, talk.protocol, talk.version, name)
            return
        visit.welcomed = True
        offset = talk.time - _clock.time()
        if abs(offset) > topology.clock_tolerance:
            visit.warning = f"its clock differs by {offset:+.1f} s; set both by NTP"
        visit.socket.send_multipart([TALK, encode(StatusQuestion())])
    elif isinstance(talk, StatusReply):
        visit.reaches = list(_reaches(topology, visit.name, talk))


def _reaches(topology: Topology, source: str, reply: StatusReply) -> Iterator[Reach]:
    for peer in reply.peers:
        detail = peer.detail
        if peer.clock_offset is not None and abs(peer.clock_offset) > topology.clock_tolerance:
            detail = detail or f"its clock differs by {peer.clock_offset:+.1f} s; set both by NTP"
        yield Reach(source, peer.name, peer.connected, detail)


def _explained(topology: Topology, visit: _Visit) -> str:
    if visit.problem or visit.warning:
        return visit.problem or visit.warning
    if visit.welcomed:
        return "" if visit.reaches is not None else "it does not tell which peers it reaches; look at its log"
    return probe(topology.nodes[visit.name].address, _PROBE) or "a process listens there and does not answer; is it a node?"
