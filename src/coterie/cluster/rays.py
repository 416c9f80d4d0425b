"""The few calls of Ray that the cluster needs, and the translation of their errors."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from coterie.cluster.introduction import is_loopback
from coterie.cluster.probing import ADMISSION, check_admission, probe
from coterie.concurrency import Rank, new_lock
from coterie.concurrency.lookup import look_up
from coterie.errors import TransportError, describe
from coterie.errors.cluster import ClusterUnavailable

NAMESPACE = "coterie"
DIRECTORY = "coterie-directory"
NODE_LABEL = "coterie.io/node"
"""The label of a Ray node that names the node of the cluster."""
_list_nodes: Any = ray.nodes
_find_address: Any = ray.util.get_node_ip_address
_LOOK_UP = 5.0
"""Seconds for the address of a host's name."""
ON_HEAD = {"node:__internal_head__": 0.001}
"""The resources of an actor that Ray puts on its head: only that has the resource, of which nearly all is left."""
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}


class _Uses:
    """The programs of this process that use its connection to Ray, of which a process has one. `lock` guards the number."""

    def __init__(self) -> None:
        self.lock = new_lock(Rank.RECORDS)
        self.count = 0
        """0 also if something else has connected this process, and so will disconnect it."""


_uses = _Uses()


def connect(address: str, runtime_env: dict[str, Any] | None) -> bool:
    """Connect this process to Ray, unless it is; return whether this call has. `disconnect` ends each use.

    Raises `ClusterUnavailable`, also if the process is connected to Ray elsewhere.
    """
    noted = _noted() if address == "auto" else address
    if noted and not (address == "auto" and ray.is_initialized()):
        probe(noted)
        if not ray.is_initialized():
            check_admission(noted)
    if ray.is_initialized():
        _check_address(address)
        with _uses.lock:
            _uses.count += _uses.count > 0
        return False
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    try:
        ray.init(
            address=address,
            namespace=NAMESPACE,
            log_to_driver=False,
            logging_level=logging.ERROR,
            runtime_env=runtime_env or None,
        )
    except Exception as error:
        text = describe(error)
        raise ClusterUnavailable(address, f"Ray does not let this program in: {text}; {_remedy(text)}") from error
    with _uses.lock:
        _uses.count = 1
    return True


def _check_address(address: str) -> None:
    """Raise `ClusterUnavailable` if this process is connected to Ray at another address."""
    if address == "auto":
        return
    present = str(ray.get_runtime_context().gcs_address)
    (host, port), (other, other_port) = _resolved(address), _resolved(present)
    alike = host == other or is_loopback(host) or is_loopback(other)
    if not alike or port != other_port:
        problem = f"this process is connected to Ray at {present} already; use that address, or a process of its own"
        raise ClusterUnavailable(address, problem)


def _resolved(address: str) -> tuple[str, str]:
    host, _, port = address.rpartition(":")
    try:
        return str(look_up(host.strip("[]"), int(port), _LOOK_UP)[0][4][0]), port
    except (OSError, ValueError):
        return host, port


def _noted() -> str:
    """Return the address that Ray has noted for "auto", or "": the file stays when the head has ended."""
    file = Path(os.environ.get("RAY_TMPDIR", "/tmp"), "ray", "ray_current_cluster")  # noqa: S108 - Ray's own folder
    try:
        return os.environ.get("RAY_ADDRESS", "") or file.read_text().strip()
    except OSError:
        return ""


def _remedy(text: str) -> str:
    if "ersion" in text:
        return "install the same versions of Python and of Ray on all machines"
    return (
        f"if it has a token, {ADMISSION}; if it has none, set RAY_AUTH_MODE=disabled; "
        "else look at the log of Ray, in /tmp/ray/session_latest/logs"
    )


def disconnect() -> None:
    """End a use of the connection to Ray. The last one disconnects this process, if `connect` has connected it."""
    with _uses.lock:
        last = _uses.count == 1
        _uses.count = max(0, _uses.count - 1)
    if last:
        ray.shutdown()


def actor(name: str) -> Any:
    """Return the handle of an actor of the cluster. Raises `TransportError` if there is none."""
    try:
        return ray.get_actor(name, namespace=NAMESPACE)
    except Exception as error:
        raise TransportError(f"Ray has no actor {name}: {describe(error).splitlines()[0]}") from error


def has_directory() -> bool:
    """Return whether a program has connected to the cluster since it was started."""
    named: list[dict[str, str]] = ray.util.list_named_actors(all_namespaces=True)
    return {"namespace": NAMESPACE, "name": DIRECTORY} in named


def end_actor(name: str) -> None:
    """End an actor for good: Ray does not start it again."""
    ray.kill(actor(name), no_restart=True)


def call(handle: Any, method: str, *arguments: Any, timeout: float) -> bytes:
    """Call a method of an actor and return its result. Raises the errors of Ray."""
    result: bytes = ray.get(getattr(handle, method).remote(*arguments), timeout=timeout)
    return result


def own_address() -> str:
    """Return the address at which other machines reach this one."""
    # Where several machines of Ray share a table of processes, it may take itself to be at the address of another.
    known = machines().get(own_machine(), {}) if ray.is_initialized() else {}
    address: str = known.get("NodeManagerAddress") or _find_address()
    return address


def own_machine() -> str:
    """Return Ray's number of this machine."""
    number: str = ray.get_runtime_context().get_node_id()
    return number


def machines() -> dict[str, dict[str, Any]]:
    """Return Ray's entries of the living machines, by number."""
    return {each["NodeID"]: each for each in _list_nodes() if each["Alive"]}


def name_of(machine: dict[str, Any]) -> str:
    """Return the name of the node on a machine: by its label, or else by its host."""
    label = (machine.get("Labels") or {}).get(NODE_LABEL)
    return label or f"{machine['NodeManagerHostname']}-{machine['NodeID'][:6]}"


def on_machine(machine: str) -> Any:
    """Return the strategy that starts an actor on a machine and nowhere else."""
    return NodeAffinitySchedulingStrategy(machine, soft=False)


def result(pending: Any, timeout: float) -> bytes:
    """Wait for the result of a call. Raises the errors of Ray."""
    data: bytes = ray.get(pending, timeout=timeout)
    return data
