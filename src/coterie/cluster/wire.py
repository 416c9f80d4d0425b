"""The values that cross Ray's calls and the links: MessagePack in, MessagePack out. Nothing of them is unpickled."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any, TypeVar

import msgspec

PROTOCOL = 3
"""The version of all that crosses Ray's calls and the links. Nodes of different versions refuse each other."""
VERSION = version("coterie")

T = TypeVar("T")


class LinkPlace(msgspec.Struct, frozen=True):
    """The place at which a runtime takes connections of other members, and by which both know each other. Its key is secret."""

    host: str = ""
    port: int = 0
    key: bytes = b""
    """The key by which the runtime proves, on connections of its own, that it is the member."""
    fingerprint: bytes = b""
    """The SHA-256 hash of its certificate; empty if it takes connections of its own machine alone, which are not encrypted."""

    def __repr__(self) -> str:
        return f"<LinkPlace {self.host}:{self.port}>"


class ClusterMember(msgspec.Struct, frozen=True):
    """A process of the cluster that has a runtime: a node, or a program that has connected."""

    name: str
    """The name of the node; of a program, the name of its runtime."""
    runtime: str
    """The name of its runtime, which is new with every start."""
    actor: str = ""
    """The name of its Ray actor; empty for a program."""
    machine: str = ""
    """Ray's number of the machine."""
    address: str = ""
    labels: dict[str, str] = {}
    resources: dict[str, float] = {}
    load: int = 0
    """The number of its living agents."""
    draining: bool = False
    """Whether its agents and keys move away, because it is about to stop."""
    ready: bool = True
    """Whether it takes agents and keys."""
    lease: float = 0.0
    """The seconds for which it may use its durable agents without a renewal; 0 without a store."""
    pid: int = 0
    place: LinkPlace = LinkPlace()
    python: str = ""
    version: str = VERSION
    protocol: int = PROTOCOL

    @property
    def is_node(self) -> bool:
        """True for a node; False for a program."""
        return bool(self.actor)


class ClusterSettings(msgspec.Struct, frozen=True):
    """The settings of a cluster. The program that connects first gives them; they hold until the cluster stops."""

    beat: float = 0.5
    """Seconds between two signs of life of each member."""
    lost_after: float = 5.0
    """Seconds of silence after which a member is lost."""
    lease: float = 5.0
    """Seconds for which a node may use its durable agents without a renewal."""
    store: str = ""
    setup: str = ""
    """A function, `module:function`, that each node calls with its runtime before it takes agents."""
    max_message: int = 16_000_000
    ports: str = ""
    """The ports at which nodes and programs listen for each other, such as ``20000-20100``; empty to let the system choose them."""
    stop_timeout: float = 10.0
    runtime_env: str = "{}"
    """Ray's runtime environment of the nodes, as JSON."""
    idle: float = 60.0
    """Seconds without messages after which a durable agent is passivated."""

    def __repr__(self) -> str:
        shown = ", ".join(
            f"{key}={getattr(self, key)!r}" for key in self.__struct_fields__ if key not in ("store", "runtime_env")
        )
        # The address has a password, and the environment may have keys.
        return f"<ClusterSettings {shown}, {'with' if self.store else 'without'} a store>"


class MemberReport(msgspec.Struct, frozen=True):
    """A sign of life of a member."""

    member: ClusterMember
    ended: list[tuple[str, str]] = []
    """The names of agents of the cluster that have ended there, with their addresses; without one for an agent that did not start."""
    names: dict[str, str] | None = None
    """All names that its agents hold, with their addresses, if it reports to this directory for the first time."""
    members: list[ClusterMember] = []
    """The members that it knows, if it reports to this directory for the first time."""
    gone: list[str] = []
    """The runtimes that have left the cluster, as far as it knows, if it reports to this directory for the first time."""
    classes: list[str] = []
    """The classes of durable agents that it knows, if it reports to this directory for the first time."""
    leaving: bool = False


class ClusterView(msgspec.Struct, frozen=True):
    """The state of the cluster, as the directory sees it."""

    members: list[ClusterMember]
    classes: list[str] = []
    """The classes of durable agents, as `module:Class`."""
    verdict: str = ""
    """Why the member that has reported is not part of the cluster: it must not go on. Empty if it is."""
    lost: bool = False
    """Whether it had been a member, and was given up."""
    wants_names: bool = False
    """Whether the directory does not know the names that the agents of the member hold."""
    directory: str = ""
    """The directory that has given the view; a restarted one is another."""
    number: int = 0
    """Views of one directory that are younger have a greater number."""
    settled: bool = False
    """Whether the directory has heard of all nodes; a restarted one does not know all classes before."""


class SpawnOrder(msgspec.Struct, frozen=True):
    """Asks a node to start agents of one class."""

    agent: str
    """The class, as `module:Class`."""
    arguments: list[bytes]
    """For each agent its arguments, encoded."""
    name: str = ""
    options: dict[str, Any] = {}
    """The policies of `Runtime.spawn`, as plain data."""


class CallResult(msgspec.Struct, frozen=True):
    """The result of a call, or the error that it raised, as text."""

    value: Any = None
    error: str = ""
    kind: str = ""
    """The class of the error."""
    taken: tuple[str, str] | None = None
    """The name that is taken, and the node that has it, if that is the error."""


encode = msgspec.msgpack.Encoder().encode


def decode(data: bytes, kind: type[T]) -> T:
    """Return the value of a type in MessagePack. Raises `msgspec.DecodeError`."""
    return msgspec.msgpack.decode(data, type=kind)
