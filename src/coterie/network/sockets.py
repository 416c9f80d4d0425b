"""The ZeroMQ sockets of one node, with their options. Not thread-safe: one thread at a time uses them."""

from __future__ import annotations

import logging
import socket as machine
from collections.abc import Mapping

import zmq
from zmq.utils import z85

from coterie.concurrency.lookup import connect_to_any, look_up
from coterie.errors import TransportError
from coterie.kernel import Countdown
from coterie.network.keys import KeyPair
from coterie.network.topology import NodeEntry, Topology, split_address

_log = logging.getLogger(__name__)

# As plain numbers: the enumerations of the library cost a microsecond each time.
_NOBLOCK = int(zmq.NOBLOCK)
_MORE = int(zmq.NOBLOCK | zmq.SNDMORE)
_BATCHES = 4
"""Batches that a socket holds for one connection, on each side."""
_OVERHEAD = 1_000_000
"""Bytes of a ZeroMQ message beyond the largest message: a batch holds several small ones."""
_MISSED = 3
"""Signs of life that are missed before a connection is given up."""
_STRANGERS = 1_000
"""Unknown keys that are remembered, so that each is logged once."""
_EVENTS = (
    zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_DISCONNECTED
    | zmq.EVENT_CONNECT_RETRIED
)


class Sockets:
    """Makes the sockets of a node: one that listens, one to each peer, and one that authenticates.

    A connection to a node is encrypted with that node's key, and the node accepts only the keys of its topology.
    """

    def __init__(self, topology: Topology, keys: KeyPair | None, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        self._topology = topology
        self._keys = keys
        self._context = context

    def listener(self, name: str, entry: NodeEntry) -> zmq.Socket[bytes]:
        """Return the socket to which the peers connect. Raises `TransportError` if its address cannot be had."""
        socket = self._context.socket(zmq.ROUTER)
        self._set_common(socket)
        socket.router_mandatory = True
        if self._keys is not None:
            socket.curve_server = True
            socket.curve_secretkey = self._keys.secret.encode()
            socket.zap_domain = b"coterie"
        address = entry.listen or entry.address
        host, port = split_address(address)
        try:
            family, *_, place = machine.getaddrinfo(host, port, type=machine.SOCK_STREAM)[0]
            shown = f"[{place[0]}]" if family == machine.AF_INET6 else place[0]
            socket.bind(f"tcp://{shown}:{port}")
        except (zmq.ZMQError, OSError) as error:
            socket.close(0)
            why = error.strerror or str(error)
            raise TransportError(
                f"node {name} cannot listen on {address}: {why}; end the other process there, or set another address"
            ) from error
        return socket

    def authenticator(self) -> zmq.Socket[bytes] | None:
        """Return the socket on which the library asks whether a key is known; None without encryption.

        It must exist before the listener does (ZAP, https://rfc.zeromq.org/spec/27).
        """
        if self._keys is None:
            return None
        socket = self._context.socket(zmq.REP)
        socket.linger = 0
        socket.bind("inproc://zeromq.zap.01")
        return socket

    def connector(self, entry: NodeEntry, *, queues: bool = False) -> tuple[zmq.Socket[bytes], zmq.Socket[bytes]]:
        """Return a socket that connects to a peer, and again after each loss; and the socket of its events.

        With `queues` it takes messages before there is a connection.
        """
        socket = self._context.socket(zmq.DEALER)
        self._set_common(socket)
        # What was not sent when the connection was lost is not sent on the next one, which begins with a hello.
        socket.immediate = not queues
        socket.reconnect_ivl = max(1, round(1000 * self._topology.reconnect))
        socket.reconnect_ivl_max = round(1000 * max(self._topology.reconnect, self._topology.reconnect_most))
        if self._keys is not None:
            socket.curve_publickey = self._keys.public.encode()
            socket.curve_secretkey = self._keys.secret.encode()
            socket.curve_serverkey = entry.public_key.encode()
        monitor = socket.get_monitor_socket(_EVENTS)
        monitor.linger = 0
        socket.connect(endpoint(entry))
        return socket, monitor

    def _set_common(self, socket: zmq.Socket[bytes]) -> None:
        limit = self._topology
        socket.linger = 0
        socket.ipv6 = True
        socket.sndhwm = socket.rcvhwm = _BATCHES
        socket.maxmsgsize = limit.max_message + _OVERHEAD
        socket.heartbeat_ivl = max(1, round(1000 * limit.keep_alive))
        socket.heartbeat_timeout = _MISSED * socket.heartbeat_ivl
        socket.tcp_keepalive = 1


class Authentication:
    """Answers the library's questions whether a key is known. For one thread."""

    def __init__(self, name: str, nodes: Mapping[str, NodeEntry]) -> None:
        self._name = name
        self._known = {node.public_key: name for name, node in nodes.items()}
        self._strangers: set[str] = set()

    def answer(self, socket: zmq.Socket[bytes]) -> None:
        """Answer one question: yes for the key of a node of the topology. Log each unknown key once."""
        version, number, _, address, _, mechanism, *credentials = socket.recv_multipart()
        key = z85.encode(credentials[0]).decode() if mechanism == b"CURVE" and credentials else ""
        node = self._known.get(key)
        if node is None and key not in self._strangers and len(self._strangers) < _STRANGERS:
            self._strangers.add(key)
            _log.warning(
                "node %s refused a connection from %s: no node of its topology has the public key %s",
                self._name, address.decode("ascii", "replace"), key or "(none)",
            )  # fmt: skip
        status = (b"200", b"OK", node.encode()) if node is not None else (b"400", b"unknown key", b"")
        socket.send_multipart([version, number, *status, b""])


def sent(socket: zmq.Socket[bytes], parts: list[bytes]) -> bool:
    """Send a message; return False if the socket does not take it now, or has lost its connection."""
    try:
        for part in parts[:-1]:
            socket.send(part, _MORE)
        socket.send(parts[-1], _NOBLOCK)
    except zmq.ZMQError as error:
        if error.errno in (zmq.EAGAIN, zmq.EHOSTUNREACH):
            return False
        raise
    return True


def endpoint(entry: NodeEntry) -> str:
    """Return the address of a node as ZeroMQ writes it."""
    return f"tcp://{entry.address}"


def probe(address: str, timeout: float) -> str:
    """Return why no TCP connection to an address can be made, or an empty text if one can. Blocks up to `timeout` seconds."""
    host, port = split_address(address)
    try:
        countdown = Countdown(timeout)
        connect_to_any(look_up(host, port, timeout), countdown).close()
    except machine.gaierror:
        return f"the name {host} has no address; mend it in the topology, or in the DNS"
    except ConnectionRefusedError:
        return f"refused: no process listens on {address}; start the node there"
    except TimeoutError:
        return f"no route: {address} does not answer; look at the firewall, and whether the machine runs"
    except OSError as error:
        return f"no route to {address}: {error.strerror}; look at the network"
    return ""
