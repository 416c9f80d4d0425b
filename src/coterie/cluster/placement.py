"""The choice of a node: for an ordinary agent when it is spawned, and for each key of durable agents."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from coterie.cluster.wire import ClusterMember
from coterie.errors import InvalidSetting
from coterie.errors.cluster import NoNodeBeside, NoNodeFits, UnknownNode
from coterie.kernel import check_number
from coterie.kernel.settings import check_instance
from coterie.runtime import AgentRef

Strategy = Literal["least-loaded", "spread"]
_HOMES = 100_000
"""Homes that are remembered for one view."""


@dataclass(frozen=True, slots=True)
class Placement:
    """The node on which an agent is spawned. Raises `InvalidSetting`.

    `node` pins it to a node; `beside` puts it on the node of another agent, also of one that has ended there. The node must have all
    the `labels`, and at least the `resources` in total (they are not counted as used). Of several nodes the strategy chooses:
    "least-loaded" takes the one with the fewest living agents, "spread" takes the nodes in turn.
    """

    node: str | None = None
    beside: AgentRef | None = None
    strategy: Strategy = "least-loaded"
    labels: Mapping[str, str] = field(default_factory=dict)
    resources: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.strategy not in ("least-loaded", "spread"):
            raise InvalidSetting("Placement.strategy", self.strategy, "'least-loaded' or 'spread'")
        if self.node is not None and self.beside is not None:
            raise InvalidSetting("Placement", "node and beside", "one of them: both name a node")
        check_instance("Placement.labels", self.labels, Mapping, "texts by their keys, such as {'zone': 'x'}")
        for key, value in self.labels.items():
            check_instance(f"Placement.labels[{key!r}]", value, str, "a text, as in `coterie cluster join --label KEY=VALUE`")
        check_instance("Placement.resources", self.resources, Mapping, "numbers by their names, such as {'gpu': 1}")
        for key, amount in self.resources.items():
            check_number(f"Placement.resources[{key!r}]", amount)


class Placer:
    """Chooses nodes for agents. Safe from any thread: the counts are only estimates until the next view."""

    def __init__(self) -> None:
        self._turns = itertools.count()
        self._since: dict[str, int] = {}

    def new_view(self) -> None:
        """Forget the agents that were placed since the last view: the new one counts them."""
        self._since = {}

    def choose(self, nodes: Sequence[ClusterMember], placement: Placement, count: int = 1) -> list[ClusterMember]:
        """Return a node for each of `count` agents. Raises `UnknownNode`, `NoNodeFits`."""
        names = [each.name for each in nodes]
        if placement.beside is not None:
            nodes = [each for each in nodes if each.runtime == placement.beside.address.node]
            if not nodes:
                raise NoNodeBeside(str(placement.beside.address), names)
        elif placement.node is not None:
            nodes = [each for each in nodes if each.name == placement.node]
            if not nodes:
                raise UnknownNode(placement.node, names)
        # One that is named may still start: the call waits for it.
        waits = placement.node is not None
        fitting = [each for each in nodes if (each.ready or waits) and not each.draining and _fits(each, placement)]
        if not fitting:
            raise NoNodeFits(_wanted(placement), [each.name for each in nodes])
        return [self._next(fitting, placement) for _ in range(count)]

    def _next(self, fitting: Sequence[ClusterMember], placement: Placement) -> ClusterMember:
        if placement.strategy == "spread":
            return fitting[next(self._turns) % len(fitting)]
        since = self._since
        chosen = min(fitting, key=lambda each: each.load + since.get(each.runtime, 0))
        since[chosen.runtime] = since.get(chosen.runtime, 0) + 1
        return chosen


class Homes:
    """The home of each key by rendezvous hashing (Thaler and Ravishankar, 1998), for one set of nodes. Safe from any thread.

    Each node gets a score for each key, and the highest wins: when a node joins or leaves, only its own keys move.
    """

    def __init__(self, nodes: Sequence[ClusterMember]) -> None:
        able = [each for each in nodes if each.lease > 0 and each.ready]
        self.nodes = [each for each in able if not each.draining] or able
        self._cache: dict[str, str] = {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Homes) and [each.runtime for each in self.nodes] == [each.runtime for each in other.nodes]

    __hash__ = None  # type: ignore[assignment] # it is compared by its nodes

    def home(self, name: str) -> str | None:
        """Return the runtime that is the home of a durable agent by its name in addresses; None without nodes."""
        found = self._cache.get(name)
        if found is None and self.nodes:
            found = rendezvous(self.nodes, name).runtime
            if len(self._cache) >= _HOMES:
                self._cache.clear()
            self._cache[name] = found
        return found


def rendezvous(nodes: Sequence[ClusterMember], key: str) -> ClusterMember:
    """Return the node with the highest score for a key. There must be one."""
    return max(nodes, key=lambda each: _score(each.name, key))


def _score(node: str, name: str) -> bytes:
    return hashlib.blake2b(f"{node}\0{name}".encode(), digest_size=8).digest()


def _fits(member: ClusterMember, placement: Placement) -> bool:
    return all(member.labels.get(key) == value for key, value in placement.labels.items()) and all(
        member.resources.get(key, 0.0) >= amount for key, amount in placement.resources.items()
    )


def _wanted(placement: Placement) -> str:
    parts = [f"the label {key}={value}" for key, value in placement.labels.items()]
    parts += [f"{amount:g} of the resource {key!r}" for key, amount in placement.resources.items()]
    return " and ".join(parts)
