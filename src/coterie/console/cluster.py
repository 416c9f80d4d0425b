"""The page of a cluster: its nodes, what runs on them, leases; and the action that drains a node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from coterie.console.page import ConsoleAction, Visit
from coterie.console.problems import ConsoleProblem
from coterie.console.rendering import shown
from coterie.console.sources import ShownCluster, Sources

_OWN = ("runtime", "address", "agents", "busiest", "pid", "draining", "ready", "labels", "python", "version", "problem")
"""The entries of a node's status that have columns; the page lists the others by name."""
_MACHINERY = ("ray.io/", "coterie.io/")
"""The beginnings of labels that are not the user's."""


class ClusterPage:
    """Reads the page. Safe from any thread."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def read(self, _: Visit) -> Mapping[str, Any]:
        """Read the page: each cluster that is shown, with its nodes."""
        clusters = []
        for name, cluster in self._sources.of(ShownCluster).items():
            status = cluster.status()
            leases = {each.name: each.lease for each in cluster.nodes()}
            nodes = [
                {
                    "name": node,
                    "lease": leases.get(node, 0.0),
                    "more": shown({key: value for key, value in entry.items() if key not in _OWN}),
                    "labels": shown(
                        {key: each for key, each in entry.get("labels", {}).items() if not key.startswith(_MACHINERY)}
                    ),
                    "problem": entry.get("problem", ""),
                    "busiest": entry.get("busiest", ()),
                    **{key: entry.get(key, "") for key in ("address", "agents", "pid", "python", "version")},
                    "state": "draining" if entry.get("draining") else ("ready" if entry.get("ready", True) else "joining"),
                }
                for node, entry in status["nodes"].items()
            ]
            clusters.append(
                {
                    "name": name,
                    "nodes": nodes,
                    "programs": status.get("programs", ()),
                    "problems": shown(status.get("problems")),
                }
            )
        return {"clusters": clusters}

    def actions(self) -> list[ConsoleAction]:
        """Return the action that drains a node."""
        return [ConsoleAction("/cluster/{cluster}/drain", "drain node", self._drain)]

    def _drain(self, visit: Visit) -> str:
        cluster = self._sources.of(ShownCluster).get(visit.path["cluster"])
        if cluster is None:
            raise ConsoleProblem(404, f"There is no cluster {visit.path['cluster']} any more.")
        node = visit.text("node")
        cluster.drain(node)
        return f"The node {node} is drained and has stopped."
