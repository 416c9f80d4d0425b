"""A cluster on Ray: the same program on several machines.

`Cluster.connect` connects a program to a cluster of Ray. Each machine has one node: a runtime in a Ray actor, which hosts the agents of
that machine. `Cluster.spawn` starts agents by a `Placement`, and `Cluster.find` finds them by name. Ray places, restarts and
watches the nodes, and carries the calls of the cluster: bytes in, bytes out. It is neither mailbox nor memory: envelopes travel
over connections between the members, in batches. Needs the extra `cluster`.

Ordinary agents end with their node, and their watchers get `AgentDown`. Delivery is at most once and in order.
"""

try:
    # Ray reads the mode of authentication when it is imported.
    from coterie.cluster.security import use_token

    use_token()
    import ray
except ImportError as error:
    from coterie.errors import ExtraMissing

    raise ExtraMissing("the cluster", "cluster") from error

from coterie.cluster.budgets import ClusterLimits
from coterie.cluster.cluster import Cluster
from coterie.cluster.hosting import HostedAgents
from coterie.cluster.placement import Placement
from coterie.cluster.transport import RayTransport
from coterie.cluster.wire import ClusterMember, ClusterSettings

__all__ = ["Cluster", "ClusterLimits", "ClusterMember", "ClusterSettings", "HostedAgents", "Placement", "RayTransport"]

del ray
