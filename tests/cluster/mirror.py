"""A Ray actor that sends each frame back to its sender, so that all that a runtime sends crosses Ray twice."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import Any

import ray

from coterie.cluster import RayTransport
from coterie.cluster.rays import pusher, result
from coterie.cluster.transport import ENDED, Deliver
from coterie.cluster.wire import ClusterMember
from coterie.errors import TransportError
from coterie.messaging import Receive


class _Open:
    """Members that let each runtime in."""

    def __init__(self, handle: Any = None) -> None:
        self._handle = handle

    def member(self, runtime: str) -> ClusterMember:
        return ClusterMember(runtime, runtime)

    def deliver(self, member: ClusterMember) -> Deliver | None:
        return pusher(self._handle) if self._handle is not None else None

    def reason(self, runtime: str) -> str:
        return runtime

    def runtimes(self) -> list[str]:
        return []

    def home(self, name: str) -> str | None:
        return None


class Mirror:
    """The actor: one transport for each runtime that it reflects."""

    def __init__(self) -> None:
        self._transports: dict[str, RayTransport] = {}
        self._lock = threading.Lock()

    def deliver(self, source: str, target: str, batch: bytes) -> bytes:
        return self._transport(source).deliver(source, target, batch)

    def fetch(self, target: str, timeout: float) -> bytes:
        return self._transport(target).fetch(target, timeout)

    def forget(self, source: str) -> None:
        self._transport(source).close(f"mirror-{source}")

    def _transport(self, source: str) -> RayTransport:
        with self._lock:
            transport = self._transports.get(source)
            if transport is None:
                transport = self._transports[source] = RayTransport(_Open())

                def reflect(frame: bytes) -> None:
                    with suppress(TransportError):
                        transport.send("", source, frame)

                transport.bind(f"mirror-{source}", reflect)
            return transport


def start_mirror(resource: str) -> Any:
    """Start the actor on a machine that has a resource."""
    groups = {"deliver": 1, "fetch": 8}
    make: Any = ray.remote
    remote = make(num_cpus=0, resources={resource: 0.001}, concurrency_groups=groups)
    method: Any = ray.method
    Mirror.deliver = method(concurrency_group="deliver")(Mirror.deliver)  # type: ignore[method-assign]
    Mirror.fetch = method(concurrency_group="fetch")(Mirror.fetch)  # type: ignore[method-assign]
    return remote(Mirror).remote()


class ThroughRay:
    """A transport for one runtime: each frame goes to the mirror and comes back."""

    def __init__(self, mirror: Any) -> None:
        self._mirror = mirror
        self._transport = RayTransport(_Open(mirror))
        self._receive: Receive | None = None
        self._node = ""
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self.in_flight = 0

    def bind(self, node: str, receive: Receive) -> None:
        self._node, self._receive = node, receive
        self._transport.bind(node, self._arrived)
        threading.Thread(target=self._fetch, daemon=True).start()  # noqa: TID251 - a thread of a test

    def send(self, source: str, target: str, frame: bytes) -> None:
        assert target == source
        with self._lock:
            self.in_flight += 1
        self._transport.send(source, f"mirror-{source}", frame)

    def close(self, node: str) -> None:
        # An answer of the runtime to itself is still on its way.
        until = time.monotonic() + 2.0  # noqa: TID251 - as below
        while self.in_flight and time.monotonic() < until:  # noqa: TID251 - the machine's own time
            time.sleep(0.005)
        self._transport.close(node)
        self._closed.set()
        self._mirror.forget.remote(node)

    def _arrived(self, frame: bytes) -> None:
        assert self._receive is not None
        self._receive(frame)
        with self._lock:
            self.in_flight -= 1

    def _fetch(self) -> None:
        while not self._closed.is_set():
            data = result(self._mirror.fetch.remote(self._node, 5.0), 60.0)
            if data == ENDED:
                return
            self._transport.deliver(f"mirror-{self._node}", self._node, data)
