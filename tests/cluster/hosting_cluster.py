"""A cluster of runtimes in this process, as far as hosted simulations need one: nodes that end, links that lose frames."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from coterie import Agent, AgentRef, Runtime
from coterie.cluster.hosted import HostedCount
from coterie.cluster.placement import Placement, Placer
from coterie.cluster.wire import ClusterMember
from coterie.errors import TransportError
from coterie.errors.cluster import ClusterUnavailable
from coterie.messaging.transport import LocalTransport


class LossyTransport(LocalTransport):
    """Loses the frames of nodes that are dead, and those that `loses` names."""

    def __init__(self) -> None:
        super().__init__()
        self.dead: set[str] = set()
        self.loses: Callable[[str, bytes], bool] = lambda target, frame: False

    def send(self, source: str, target: str, frame: bytes) -> None:
        if target in self.dead:
            raise TransportError(f"{target} is dead")
        if source not in self.dead and not self.loses(target, frame):
            super().send(source, target, frame)


class NearbyCluster:
    """The cluster, as the dispatch of turns sees it."""

    def __init__(self, *names: str) -> None:
        self.transport = LossyTransport()
        self.runtime = self._runtime("program")
        self.hosts: dict[str, Runtime] = {}
        self._placer = Placer()
        self._every: list[Runtime] = [self.runtime]
        for name in names:
            self.add(name)

    def add(self, name: str) -> None:
        """Start a node."""
        runtime = self.hosts[name] = self._runtime(name)
        runtime.provide(HostedCount())
        self._every.append(runtime)

    def kill(self, name: str) -> None:
        """Let a node end without a word."""
        self.transport.dead.add(self.hosts.pop(name).node)

    def _runtime(self, name: str) -> Runtime:
        return Runtime(name, transport=self.transport, node_timeout=0.5)

    def nodes(self) -> list[ClusterMember]:
        return [ClusterMember(name, runtime.node, actor=name) for name, runtime in sorted(self.hosts.items())]

    def place(self, placement: Placement, count: int = 1) -> list[ClusterMember]:
        return self._placer.choose(self.nodes(), placement, count)

    def spawn(self, agent: type[Agent], *args: Any, node: str) -> AgentRef:
        if node not in self.hosts:
            raise ClusterUnavailable("nearby", f"its node {node} does not answer")
        return self.runtime.reference(self.hosts[node].spawn(agent, *args).address)

    def close(self) -> None:
        for runtime in self._every:
            runtime.stop(drain=False)
