"""One object that gives each runtime a node of its own, where other tests share one local transport."""

from coterie.messaging import Receive
from coterie.network import NetworkTransport
from tests.network.nodes import topology


class SocketWire:
    """Connects up to four runtimes of one process over sockets. Every pair is connected when `bind` returns."""

    def __init__(self) -> None:
        self._topology = topology("a", "b", "c", "d")
        self._transports: dict[str, NetworkTransport] = {}

    def bind(self, node: str, receive: Receive) -> None:
        names = list(self._topology.nodes)
        transport = NetworkTransport(self._topology, names[len(self._transports)])
        transport.bind(node, receive)
        for other in self._transports.values():
            transport.address(other.name, "agent", timeout=30.0)
            other.address(transport.name, "agent", timeout=30.0)
        self._transports[node] = transport

    def send(self, source: str, target: str, frame: bytes) -> None:
        self._transports[source].send(source, target, frame)

    def close(self, node: str) -> None:
        self._transports[node].close(node)
