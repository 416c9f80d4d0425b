"""A process that sends each frame back to its sender, so that all that a runtime sends crosses two processes."""

import sys
import threading
from contextlib import suppress
from pathlib import Path

import msgspec

from coterie.errors import TransportError
from coterie.messaging import Receive
from coterie.network import NetworkTransport, Topology
from coterie.testing.waiting import eventually


class ThroughAnotherProcess:
    """A transport for one runtime: each frame goes to the mirror and comes back."""

    def __init__(self, topology: Topology, node: str) -> None:
        self._network = NetworkTransport(topology, node)
        self._mirror = ""
        self._receive: Receive | None = None
        self._lock = threading.Lock()
        self.in_flight = 0

    def bind(self, node: str, receive: Receive) -> None:
        self._receive = receive
        self._network.bind(node, self._arrived)
        eventually(lambda: self._network.peers()["mirror"].connected, timeout=30.0)
        self._mirror = self._network.address("mirror", "mirror", timeout=0.0).node

    def send(self, source: str, target: str, frame: bytes) -> None:
        assert target == source
        with self._lock:
            self.in_flight += 1
        self._network.send(source, self._mirror, frame)

    def close(self, node: str) -> None:
        self._network.close(node)

    def _arrived(self, frame: bytes) -> None:
        assert self._receive is not None
        self._receive(frame)
        with self._lock:
            self.in_flight -= 1


def main() -> None:
    network = NetworkTransport(Topology.load(Path(sys.argv[1])), "mirror")

    def reflect(frame: bytes) -> None:
        with suppress(TransportError):
            network.send("mirror-1", msgspec.msgpack.decode(frame)[0], frame)

    network.bind("mirror-1", reflect)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.read()
    network.close("mirror-1")


if __name__ == "__main__":
    main()
