"""The topology of a network: its nodes with their addresses and public keys, and the limits that all of them share."""

from __future__ import annotations

import dataclasses
import difflib
import ipaddress
import math
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from coterie.errors import TopologyError
from coterie.network.keys import is_key

FILE, NODE = "COTERIE_NETWORK", "COTERIE_NODE"
_NODES, _KEYS, _SECRET = "COTERIE_NETWORK_NODES", "COTERIE_NETWORK_KEYS", "COTERIE_SECRET_KEY"
_ADDRESS = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.%\w]+)\]|(?P<host>[^\s:/\[\]]+)):(?P<port>[0-9]{1,5})")
_NAME = re.compile(r"[^\s/#=,]+")
_PORTS = 65_535
_LEAST_MESSAGE = 10_000


@dataclass(frozen=True, slots=True)
class NodeEntry:
    """One node of a topology."""

    address: str
    """The host and the port at which the other nodes reach it, such as ``10.0.0.7:7700``."""
    listen: str = ""
    """The address on which it listens, if that differs, such as ``0.0.0.0:7700``."""
    public_key: str = ""
    """Its public key. Required unless all addresses are loopback addresses."""
    secret_key: Path | None = None
    """The file of its keys. Only the node itself reads it, so the others need not have it."""
    setup: str = ""
    """For `coterie node`: a function as ``module:function``, which is called with the runtime and its transport."""
    agents: Mapping[str, Any] = field(default_factory=dict)
    """For `coterie node`: agents by name, as ``module:Class`` or as a table of `agent` and `arguments`."""


@dataclass(frozen=True, slots=True)
class Topology:
    """The nodes of a network by name, and its limits. Frozen. Raises `TopologyError` with a line for each fault.

    The defaults are for traffic of up to some hundred thousand small messages a second.
    """

    nodes: Mapping[str, NodeEntry]
    max_message: int = 16_000_000
    """The largest message in bytes. A larger one raises at its sender."""
    queue_messages: int = 10_000
    """The messages that wait for one peer before senders wait too; twice as many before messages are refused."""
    queue_bytes: int = 64_000_000
    """The bytes that wait for one peer before senders wait too; twice as many before messages are refused."""
    send_timeout: float = 10.0
    """Seconds that a sender waits, at most."""
    keep_alive: float = 2.0
    """Seconds between signs of life on a connection. It is made anew after three times as many without one."""
    reconnect: float = 0.1
    """Seconds before the first attempt to connect again; each further one waits up to twice as long."""
    reconnect_most: float = 5.0
    """Seconds between attempts to connect again, at most."""
    clock_tolerance: float = 5.0
    """Seconds by which clocks may differ without a warning."""
    encrypt: bool = True
    """False sends in the clear and lets any process on the network in. True requires keys unless all is on loopback addresses."""
    where: str = field(default="topology", compare=False)
    """The origin, for error messages."""

    def __post_init__(self) -> None:
        problems = [problem for name, node in self.nodes.items() for problem in _node_problems(name, node)]
        if not self.nodes:
            problems.append("nodes: there is none; add a table such as [nodes.one] with an address")
        problems += _limit_problems(self)
        if not problems:
            problems = [*self._missing_keys(), *_twice("address", {n: e.address for n, e in self.nodes.items()})]
            problems += _twice("public_key", {name: node.public_key for name, node in self.nodes.items() if node.public_key})
        if problems:
            raise TopologyError(self.where, problems)

    @property
    def secure(self) -> bool:
        """True if connections are encrypted and peers are authenticated by their keys."""
        return self.encrypt and (not self.is_local or all(node.public_key for node in self.nodes.values()))

    @property
    def is_local(self) -> bool:
        """True if all nodes listen on loopback addresses, which no other machine reaches."""
        return all(_is_loopback(each) for node in self.nodes.values() for each in (node.address, node.listen or node.address))

    def node(self, name: str) -> NodeEntry:
        """Return a node. Raises `TopologyError` for a name that it does not have."""
        if name not in self.nodes:
            close = difflib.get_close_matches(name, self.nodes, n=1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            known = ", ".join(self.nodes)
            raise TopologyError(self.where, [f"there is no node {name!r}; {hint}it has {known}; choose one, or add a table"])
        return self.nodes[name]

    @classmethod
    def load(cls, path: Path | str) -> Topology:
        """Return the topology in a TOML file. Paths in it are relative to its folder. Raises `TopologyError`."""
        try:
            data = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise TopologyError(path, [f"it cannot be read: {error.strerror}; give the path of a TOML file"]) from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise TopologyError(path, [f"it is not TOML: {error}"]) from error
        return _of_tables(data, Path(path))

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Topology:
        """Return the topology that environment variables describe. Raises `TopologyError`.

        COTERIE_NETWORK is the path of a file. Without it, COTERIE_NETWORK_NODES lists the addresses and COTERIE_NETWORK_KEYS
        the public keys, such as ``one=10.0.0.1:7700,two=10.0.0.2:7700``. COTERIE_SECRET_KEY is the file of keys of the node
        that COTERIE_NODE names.
        """
        if FILE in environment:
            topology = cls.load(environment[FILE])
        else:
            if _NODES not in environment:
                problem = f"neither {FILE} nor {_NODES} is set; set one to a file, or to addresses such as one=10.0.0.1:7700"
                raise TopologyError("environment", [problem])
            addresses = _pairs(_NODES, environment[_NODES])
            keys = _pairs(_KEYS, environment.get(_KEYS, ""))
            if unknown := keys.keys() - addresses.keys():
                raise TopologyError(_KEYS, [f"{min(unknown)} has a key and no address; add it to {_NODES}"])
            nodes = {name: NodeEntry(address, public_key=keys.get(name, "")) for name, address in addresses.items()}
            topology = cls(nodes, where=_NODES)
        if _SECRET not in environment:
            return topology
        if NODE not in environment:
            raise TopologyError("environment", [f"{_SECRET} is set and {NODE} is not; set it to the name of this node"])
        name = environment[NODE]
        own = dataclasses.replace(topology.node(name), secret_key=Path(environment[_SECRET]))
        return dataclasses.replace(topology, nodes={**topology.nodes, name: own})

    def _missing_keys(self) -> list[str]:
        if not self.encrypt or (self.is_local and not any(node.public_key for node in self.nodes.values())):
            return []
        reason = "it has none, and others do" if self.is_local else "not all addresses are loopback addresses"
        return [
            f"nodes.{name}.public_key: {reason}; make keys with: coterie keys {name}.key"
            for name, node in self.nodes.items()
            if not node.public_key
        ]


def split_address(address: str) -> tuple[str, int]:
    """Return the host and the port of a checked address."""
    match = _ADDRESS.fullmatch(address)
    assert match is not None
    return match["v6"] or match["host"], int(match["port"])


def _is_loopback(address: str) -> bool:
    host, _ = split_address(address)
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_address(text: object) -> bool:
    match = _ADDRESS.fullmatch(text) if isinstance(text, str) else None
    return match is not None and 0 < int(match["port"]) <= _PORTS


def _node_problems(name: str, node: NodeEntry) -> list[str]:
    problems = []
    where = f"nodes.{name}"
    if _NAME.fullmatch(name) is None:
        problems.append(f"{where}: {name!r} is no name of a node; use a word without spaces and /#=,")
    for key, value in ("address", node.address), ("listen", node.listen):
        if not _is_address(value) and (value or key == "address"):
            problems.append(f"{where}.{key}: {value!r} is not possible; write a host and a port, such as 10.0.0.1:7700")
    if node.public_key and not is_key(node.public_key):
        problems.append(f"{where}.public_key: it is not a key of 40 characters; copy the line that `coterie keys` printed")
    for agent, kind in node.agents.items():
        table = kind if isinstance(kind, dict) else {"agent": kind}
        arguments = table.get("arguments", [])
        if not (isinstance(table.get("agent"), str) and isinstance(arguments, list) and table.keys() <= {"agent", "arguments"}):
            example = '"module:Class", or { agent = "module:Class", arguments = [1] }'
            problems.append(f"{where}.agents.{agent}: {kind!r} is not possible; write {example}")
    return problems


def _limit_problems(topology: Topology) -> Iterable[str]:
    value: Any
    for key in ("max_message", "queue_messages", "queue_bytes"):
        value, least = getattr(topology, key), _LEAST_MESSAGE if key == "max_message" else 1
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            yield f"limits.{key}: {value!r} is not possible; it must be a whole number of at least {least:,}"
    for key in ("send_timeout", "keep_alive", "reconnect", "reconnect_most", "clock_tolerance"):
        value = getattr(topology, key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
            yield f"limits.{key}: {value!r} is not possible; it must be a number of seconds above 0"
    value = topology.encrypt
    if not isinstance(value, bool):
        yield f"limits.encrypt: {value!r} is not possible; it must be true or false"


def _twice(key: str, values: Mapping[str, str]) -> list[str]:
    seen: dict[str, str] = {}
    problems = []
    for name, value in values.items():
        if value in seen:
            problems.append(f"nodes.{name}.{key}: nodes.{seen[value]} has the same; give each node its own")
        seen[value] = name
    return problems


def _pairs(variable: str, text: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for part in filter(None, (each.strip() for each in text.split(","))):
        name, sign, value = part.partition("=")
        if not sign or name in pairs:
            problem = f"{part!r} is named twice" if sign else f"{part!r} has no '='"
            raise TopologyError(variable, [f"{problem}; write name=value, separated by commas, each name once"])
        pairs[name] = value
    return pairs


def _of_tables(data: dict[str, Any], path: Path) -> Topology:
    limits, nodes = data.get("limits", {}), data.get("nodes", {})
    known = {each.name for each in dataclasses.fields(Topology)} - {"nodes", "where"}
    problems = [f"{key}: no such key; it has [limits] and [nodes.NAME]" for key in data.keys() - {"limits", "nodes"}]
    tables = isinstance(limits, dict) and isinstance(nodes, dict) and all(isinstance(each, dict) for each in nodes.values())
    if not tables:
        raise TopologyError(path, [*problems, "limits, nodes: they are no tables; write [limits] and [nodes.NAME]"])
    problems += [f"limits.{key}: no such key; {_closest(key, known)}" for key in limits.keys() - known]
    entries = {}
    fields = {each.name for each in dataclasses.fields(NodeEntry)}
    for name, table in nodes.items():
        problems += [f"nodes.{name}.{key}: no such key; {_closest(key, fields)}" for key in table.keys() - fields]
        for key, value in table.items():
            kind = dict if key == "agents" else str
            if key in fields and not isinstance(value, kind):
                problems.append(f"nodes.{name}.{key}: {value!r} is not possible; write {'a table' if kind is dict else 'text'}")
        if "address" not in table:
            problems.append(f"nodes.{name}.address: missing; write a host and a port, such as 10.0.0.1:7700")
        if not problems:
            secret = table.get("secret_key")
            entries[name] = NodeEntry(**{**table, "secret_key": None if secret is None else path.parent / secret})
    if problems:
        raise TopologyError(path, sorted(problems))
    return Topology(entries, **limits, where=str(path))


def _closest(key: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(key, list(known), n=1)
    return f"did you mean {close[0]}?" if close else f"there are {', '.join(sorted(known))}"
