"""A Ray actor that sends each frame back to its sender, so that all that a runtime sends crosses to another process and back."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import Any

import msgspec
import ray

from coterie.cluster import RayTransport
from coterie.cluster.wire import LinkPlace, decode, encode
from coterie.errors import TransportError
from coterie.messaging import Receive
from tests.cluster.members import SharedMembers


class Mirror:
    """The actor: one transport for all runtimes that it reflects."""

    def __init__(self) -> None:
        self._members = SharedMembers()
        self._transport = RayTransport(self._members)
        self._transport.bind("mirror", self._reflect)

    def meet(self, runtime: str, place: bytes) -> bytes:
        self._members.places[runtime] = decode(place, LinkPlace)
        return encode(self._transport.place)

    def forget(self, runtime: str) -> None:
        del self._members.places[runtime]
        self._transport.end(runtime, "its test has ended")

    def _reflect(self, frame: bytes) -> None:
        with suppress(TransportError):
            self._transport.send("mirror", msgspec.msgpack.decode(frame)[0], frame)


def start_mirror(resource: str) -> Any:
    """Start the actor on a machine that has a resource."""
    make: Any = ray.remote
    return make(num_cpus=0, resources={resource: 0.001})(Mirror).remote()


class ThroughRay:
    """A transport for one runtime: each frame goes to the mirror and comes back."""

    def __init__(self, mirror: Any) -> None:
        self._mirror = mirror
        self._members = SharedMembers()
        self._transport = RayTransport(self._members)
        self._receive: Receive | None = None
        self._lock = threading.Lock()
        self.in_flight = 0

    def bind(self, node: str, receive: Receive) -> None:
        self._receive = receive
        self._transport.bind(node, self._arrived)
        place = ray.get(self._mirror.meet.remote(node, encode(self._transport.place)), timeout=60)
        self._members.places["mirror"] = decode(place, LinkPlace)

    def send(self, source: str, target: str, frame: bytes) -> None:
        assert target == source
        with self._lock:
            self.in_flight += 1
        self._transport.send(source, "mirror", frame)

    def close(self, node: str) -> None:
        # An answer of the runtime to itself is still on its way.
        until = time.monotonic() + 2.0  # noqa: TID251 - as below
        while self.in_flight and time.monotonic() < until:  # noqa: TID251 - the machine's own time
            time.sleep(0.005)
        self._transport.close(node)
        self._mirror.forget.remote(node)

    def _arrived(self, frame: bytes) -> None:
        assert self._receive is not None
        self._receive(frame)
        with self._lock:
            self.in_flight -= 1
