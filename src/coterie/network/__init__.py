"""A plain network: runtimes of two or ten processes or machines reach each other, without an engine.

`Topology` lists the nodes with their addresses and public keys, from a TOML file or from environment variables.
`NetworkTransport` is the transport of one runtime. It connects to all peers over ZeroMQ, reconnects with backoff, holds
senders back when a peer is slow, and encrypts and authenticates unless all addresses are loopback addresses. Frames come from
members of the topology only, and nothing in them is unpickled. Needs the extra `network`.

Delivery is at most once and in order, as over every transport; `coterie.messaging` counts the losses.
"""

try:
    import zmq
except ImportError as error:
    from coterie.errors import ExtraMissing

    raise ExtraMissing("the network", "network") from error

from coterie.network.diagnosis import Reach, diagnose
from coterie.network.keys import KeyPair
from coterie.network.peer import PeerStatus
from coterie.network.topology import NodeEntry, Topology
from coterie.network.transport import NetworkTransport

__all__ = ["KeyPair", "NetworkTransport", "NodeEntry", "PeerStatus", "Reach", "Topology", "diagnose"]

del zmq
