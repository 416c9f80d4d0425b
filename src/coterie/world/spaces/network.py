"""Networks: agents at the nodes of a graph, with those at adjacent nodes as neighbours."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from coterie.errors import InvalidSetting
from coterie.world.spaces.space import Position, Space

Node = int | str


class Network(Space):
    """The nodes of a graph of networkx, or of a mapping of each node to those next to it. Nodes are text or whole numbers.

    The neighbours of a node in a directed graph are its successors. By default a node holds any number of agents. The graph is
    copied: later changes of it have no effect.
    """

    def __init__(self, graph: Any, *, capacity: int | None = None, name: str = "network") -> None:
        super().__init__(name, capacity)
        adjacent = getattr(graph, "adj", graph)
        if not isinstance(adjacent, Mapping):
            raise InvalidSetting("Network.graph", graph, "a graph of networkx, or a mapping of each node to those next to it")
        self._next: dict[Node, tuple[Node, ...]] = {}
        for node, others in adjacent.items():
            if not isinstance(others, Iterable) or isinstance(others, str):
                raise InvalidSetting(f"Network.graph[{node!r}]", others, "the nodes next to it, in a list")
            self._next[_node(node)] = tuple(sorted({_node(other) for other in others if other != node}, key=_order))
        for node, near in self._next.items():
            for other in near:
                if other not in self._next:
                    raise InvalidSetting(
                        f"Network.graph[{node!r}]", other, "a node that the graph has; add it, or mend the name"
                    )
        if len({str(node) for node in self._next}) < len(self._next):
            raise InvalidSetting("Network.graph", graph, "nodes of different texts; 1 and '1' are one key of the world")
        self._places: dict[Node, tuple[float, float]] = {}

    def __repr__(self) -> str:
        return f"<Network {self.name!r} of {len(self._next)} nodes>"

    @property
    def nodes(self) -> tuple[Node, ...]:
        """All nodes, in the order of the graph."""
        return tuple(self._next)

    def near(self, node: Position, radius: int = 1) -> tuple[Node, ...]:
        """Return the nodes within `radius` edges of a node, without it, the nearest first. Raises `ValueError`."""
        return self._reached(self.checked(node), int(radius))[1:]

    def checked(self, position: Position) -> Node:
        """Return a node. Raises `ValueError`."""
        if not isinstance(position, int | str) or isinstance(position, bool) or position not in self._next:
            raise ValueError(f"{position!r} is no node of {self.name}")
        return position

    def site(self, position: Position) -> Node:
        """Return the node."""
        node: Node = position
        return node

    def sites_near(self, position: Position, radius: float) -> tuple[Node, ...]:
        """Return the nodes within `radius` edges, the node itself first."""
        return self._reached(position, int(radius))

    def distance(self, one: Position, other: Position) -> float:
        """Return the number of edges of a shortest way; infinity without one."""
        front, reached, steps = {one}, {one}, 0
        while front and other not in reached:
            front = {each for node in front for each in self._next[node]} - reached
            reached |= front
            steps += 1
        return steps if other in reached else math.inf

    def drawn(self, position: Position) -> tuple[float, float]:
        """Return the place of a node: on a circle, in the order of the nodes."""
        if not self._places:
            side = self.extent[0]
            for number, node in enumerate(self._next):
                angle = 2 * math.pi * number / len(self._next)
                self._places[node] = (side / 2 + (side / 2 - 1) * math.cos(angle), side / 2 + (side / 2 - 1) * math.sin(angle))
        return self._places[position]

    @property
    def extent(self) -> tuple[float, float]:
        """The side of a square around the circle."""
        side = 2 + max(4.0, len(self._next) / math.pi)
        return side, side

    def _ground(self, scale: float) -> Iterable[str]:
        for node, near in self._next.items():
            for other in near:
                if _order(node) < _order(other) or node not in self._next[other]:
                    (x, y), (to_x, to_y) = self.drawn(node), self.drawn(other)
                    ends = f'x1="{x * scale:.6g}" y1="{y * scale:.6g}" x2="{to_x * scale:.6g}" y2="{to_y * scale:.6g}"'
                    yield f'<line {ends} stroke="#c9c9c0" stroke-width="1"/>'

    def _reached(self, node: Node, radius: int) -> tuple[Node, ...]:
        if radius == 1:
            return (node, *self._next[node])
        reached = {node: None}
        front = [node]
        for _ in range(radius):
            following = []
            for at in front:
                for each in self._next[at]:
                    if each not in reached:
                        reached[each] = None
                        following.append(each)
            front = following
        return tuple(reached)


def _node(node: Any) -> Node:
    if isinstance(node, bool) or not isinstance(node, int | str) or node == "":
        raise InvalidSetting(
            "Network.graph", node, "nodes that are text or whole numbers; networkx.convert_node_labels_to_integers"
        )
    return node


def _order(node: Node) -> tuple[bool, int, str]:
    return (isinstance(node, str), node if isinstance(node, int) else 0, str(node))
