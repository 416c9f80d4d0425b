"""The transport of one runtime over the network."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterable

import zmq

from coterie.concurrency import Rank, Signal, new_lock
from coterie.concurrency.forks import register_fork_handler, unregister_fork_handler
from coterie.errors import TopologyError, TransportError
from coterie.kernel import Address, SystemClock
from coterie.messaging import Receive
from coterie.messaging.queued_transport import QueuedTransport
from coterie.network.io_thread import IoThread
from coterie.network.keys import KeyPair
from coterie.network.outgoing import LocalNode
from coterie.network.peer import Peer, PeerStatus
from coterie.network.sockets import Sockets
from coterie.network.topology import Topology

_log = logging.getLogger(__name__)

_ENDED = 1_000
"""Ended runtimes that are remembered."""


class NetworkTransport(QueuedTransport):
    """Connects one runtime to the runtimes of the other nodes of a topology, over ZeroMQ.

    ::

        network = NetworkTransport(Topology.load("network.toml"), "one")
        with Runtime("one", transport=network) as runtime:
            counter = runtime.reference(network.address("two", "counter"))

    It listens and connects from the construction of the runtime until its stop. Lost connections are made again, with
    backoff. A runtime that ends takes all that waits for it along; when its node starts again, it has another runtime, to which
    `address` leads.

    A message that is too large raises at its sender. Messages for one peer wait in one queue: when it is longer than
    `Topology.queue_messages` or `queue_bytes`, `room` tells the senders to wait, and at twice as much `send` raises. With
    `admit=False` no peer gets in before `admit` is called, so that agents can be spawned first.

    Safe from any thread. `_lock` guards the tables of runtimes; the I/O thread owns the sockets. Raises `TopologyError`.
    """

    def __init__(self, topology: Topology, node: str, *, admit: bool = True) -> None:
        self.topology = topology
        self.name = node
        """The name of this node in the topology."""
        entry = topology.node(node)
        self._keys: KeyPair | None = None
        if topology.secure:
            if entry.secret_key is None:
                problem = f"nodes.{node}.secret_key: missing; set it to the path of its file of keys"
                raise TopologyError(topology.where, [problem])
            self._keys = KeyPair.load(entry.secret_key)
            if self._keys.public != entry.public_key:
                problem = f"nodes.{node}.public_key: {entry.secret_key} has another public key; copy the key from that file"
                raise TopologyError(topology.where, [problem])
        self._admit = admit
        self._clock = SystemClock()
        self._lock = new_lock(Rank.RECORDS)
        self._peers = {name: Peer(name, topology) for name in topology.nodes if name != node}
        self._by_node: dict[str, Peer] = {}
        self._ended: OrderedDict[str, str] = OrderedDict()
        self._node = ""
        self._thread: IoThread | None = None

    def __repr__(self) -> str:
        return f"<NetworkTransport {self.name} at {self.topology.nodes[self.name].address}>"

    # The contract of transports.

    def bind(self, node: str, receive: Receive) -> None:
        """Listen for the runtime `node`, and connect to the peers. Raises `TransportError`: it serves one runtime, once."""
        with self._lock:
            if self._node:
                raise TransportError(f"{self!r} serves {self._node} already; give each runtime its own NetworkTransport")
            self._node, self._receive = node, receive
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        local = LocalNode(self.name, node, self.topology, self._renewed)
        try:
            thread = IoThread(local, self._peers, self.deliver, Sockets(self.topology, self._keys, context), context)
        except BaseException:
            context.destroy(0)
            self._node = ""
            raise
        if self._keys is None and not self.topology.is_local:
            _log.warning("node %s lets any process on its network in, and does not encrypt: limits.encrypt is false", self.name)
        for peer in self._peers.values():
            peer.wake = thread.wake
        self._thread = thread
        register_fork_handler(self)
        if self._admit:
            thread.admit()

    def outbox(self, target: str) -> Peer | None:
        """Return the queue of the frames to a runtime; None for the own one. Raises `TransportError` if it is unknown."""
        if self._thread is None:
            raise TransportError(f"{self!r} serves no runtime")
        peer = self._by_node.get(target)
        if peer is None and target != self._node:
            raise TransportError(self._reason(target))
        return peer

    def queue_of(self, target: str) -> Peer | None:
        """Return the queue of the frames to a runtime, if there is one."""
        return self._by_node.get(target)

    def close(self, node: str) -> None:
        """Send what is queued, for a second at most, say goodbye to the peers, and disconnect."""
        thread = self._thread if node == self._node else None
        if thread is not None:
            unregister_fork_handler(self)
            # What arrives meanwhile is still answered.
            thread.close()
            self._thread = None

    def reachable(self) -> list[str]:
        """Return the runtimes of the connected peers."""
        return [peer.node for peer in self._peers.values() if peer.connected]

    # Peers.

    def admit(self) -> None:
        """Let the peers in, if they were held off by `admit=False`."""
        if self._thread is not None:
            self._thread.admit()

    def address(self, peer: str, agent: str, timeout: float = 10.0) -> Address:
        """Return the address of an agent by the names of its node and its own; the agent need not exist.

        Blocks until the peer is connected. Raises `TransportError` with the reason after `timeout` seconds; with 0 it never
        blocks. The address belongs to the present runtime of that node, and ends with it.
        """
        known = self._peer(peer)
        until = self._clock.monotonic() + timeout
        while not (known.connected and (node := known.node)):
            left = until - self._clock.monotonic()
            if left <= 0 or not known.ready.wait(left):
                where = self.topology.nodes[peer].address
                raise TransportError(f"{peer} at {where} is not connected after {timeout:g} s: {known.detail}")
        return Address(node, agent)

    def connected(self, peer: str) -> Signal:
        """Return a signal that is set while a peer is connected: await it, or `wait` for it. A lost connection has another."""
        return self._peer(peer).ready

    def peers(self) -> dict[str, PeerStatus]:
        """Return the state of the connections and the counts, by the name of the peer."""
        return {name: peer.status() for name, peer in self._peers.items()}

    def after_fork_in_child(self) -> None:
        """Serve no runtime any more: this is a copy in a forked process, whose sockets belong to the parent."""
        self._lock = new_lock(Rank.RECORDS)
        self._thread = None

    def _peer(self, name: str) -> Peer:
        self.topology.node(name)
        if name not in self._peers:
            raise TransportError(f"{name} is this node; use the runtime itself")
        return self._peers[name]

    def _renewed(self, peer: Peer, before: str, node: str) -> None:
        with self._lock:
            if before:
                self._by_node.pop(before, None)
                self._ended[before] = f"it was replaced by {node}" if node else peer.detail
                if len(self._ended) > _ENDED:
                    self._ended.popitem(last=False)
            if node:
                self._ended.pop(node, None)
                self._by_node[node] = peer

    def _reason(self, target: str) -> str:
        """Return why no frame can be sent to a runtime."""
        with self._lock:
            ended = self._ended.get(target)
        if ended is not None:
            return f"the runtime {target} has ended: {ended}"
        if target in self._peers:
            return f"{target} is the name of a node and not of its runtime; use NetworkTransport.address({target!r}, ...)"
        known: Iterable[str] = self._by_node or ("none",)
        return f"node {self.name} knows no runtime {target}; it knows {', '.join(known)}"
