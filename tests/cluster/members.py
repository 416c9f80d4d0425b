"""Members of a cluster without Ray: each transport is in a table that all of them share."""

from __future__ import annotations

from coterie.cluster import ClusterMember, RayTransport
from coterie.cluster.wire import LinkPlace


class SharedMembers:
    """The members of one process, or of one test."""

    def __init__(self) -> None:
        self.places: dict[str, LinkPlace] = {}

    def join(self, runtime: str, transport: RayTransport) -> None:
        """Make a transport known, as the directory does."""
        self.places[runtime] = transport.place

    def member(self, runtime: str) -> ClusterMember | None:
        place = self.places.get(runtime)
        return None if place is None else ClusterMember(runtime, runtime, place=place)

    def reason(self, runtime: str) -> str:
        return f"{runtime} is not part of the cluster"

    def runtimes(self) -> list[str]:
        return list(self.places)

    def home(self, name: str) -> str | None:
        return None
