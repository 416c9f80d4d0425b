"""Errors of the cluster. See `coterie.errors` for the tree."""

from __future__ import annotations

from collections.abc import Iterable

from coterie.errors.general import CoterieError, NameTaken

_SHOWN = 8


class ClusterError(CoterieError):
    """An operation on a cluster failed."""


class ClusterUnavailable(ClusterError):
    """No cluster can be reached at an address, or it does not answer."""

    def __init__(self, address: str, problem: object) -> None:
        self.address = address
        self.problem = str(problem)
        super().__init__(f"the cluster at {address}: {problem}")


class UnknownNode(ClusterError, LookupError):
    """No living node of the cluster has that name."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__(f"the cluster has no living node {name!r}; it has {_list(known)}")


class NoNodeFits(ClusterError, LookupError):
    """No living node of the cluster has the labels or resources that an agent needs."""

    def __init__(self, wanted: str, nodes: Iterable[str]) -> None:
        if not wanted:
            super().__init__(
                f"no node takes agents: all are draining or starting, of {_list(nodes)}; wait, or let a machine join by `coterie "
                "cluster join ADDRESS`"
            )
            return
        super().__init__(
            f"no node has {wanted}; there are {_list(nodes)}: start one with that, such as `coterie cluster join --label "
            "KEY=VALUE --resource NAME=NUMBER`, or ask for less"
        )


class NoNodeBeside(ClusterError, LookupError):
    """The agent beside which another is to be is on no living node of the cluster."""

    def __init__(self, agent: str, nodes: Iterable[str]) -> None:
        super().__init__(
            f"{agent} is on no living node: its node was lost, or it is an agent of a program, or a durable one, which moves; "
            f"choose another agent, or one of the nodes {_list(nodes)}"
        )


class RefusedByNode(ClusterError):
    """A node could not do what it was asked, such as spawn an agent."""

    def __init__(self, node: str, problem: str) -> None:
        self.node = node
        super().__init__(f"node {node}: {problem}")


class NameTakenInCluster(NameTaken):
    """A living agent on another node has that name."""

    def __init__(self, name: str, node: str) -> None:
        super().__init__(name)
        self.node = node
        self.args = (f"an agent named {name!r} is alive on node {node}: choose another name, or stop that agent first",)


class LeaseLost(ClusterError):
    """A node could not renew its lease in the database, so it does not handle messages of durable agents."""

    def __init__(self, node: str, problem: str) -> None:
        super().__init__(f"node {node} does not hold its lease: {problem}; another node may have its durable agents")


def _list(names: Iterable[str]) -> str:
    known = sorted(names)
    more = f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
    return ", ".join(known[:_SHOWN]) + more if known else "none"
