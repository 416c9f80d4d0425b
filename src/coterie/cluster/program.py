"""The connection of a program to a cluster: its runtime, and its membership."""

from __future__ import annotations

import json
import logging
import os
import platform
import re
import threading
from collections.abc import Callable
from typing import Any

import msgspec

from coterie.cluster import rays
from coterie.cluster.actors import DirectoryActor
from coterie.cluster.limits import LinkLimits
from coterie.cluster.membership import Membership
from coterie.cluster.ports import own_ports, parse_ports
from coterie.cluster.transport import RayTransport
from coterie.cluster.wire import CallResult, ClusterMember, ClusterSettings, ClusterView, MemberReport, decode, encode
from coterie.errors import InvalidSetting, describe
from coterie.errors.cluster import ClusterError, ClusterUnavailable
from coterie.kernel import Countdown, check_number
from coterie.runtime import Runtime

_log = logging.getLogger(__name__)

_FUNCTION = re.compile(r"\w+(\.\w+)*:\w+(\.\w+)*")


def open_program(
    address: str,
    name: str,
    nodes: int,
    timeout: float,
    runtime_env: dict[str, Any] | None,
    given: dict[str, Any],
    options: dict[str, Any],
) -> Program:
    """Connect to Ray, and to the directory, which is started if there is none; see `Cluster.connect`."""
    check_number("connect.timeout", timeout, above=0)
    check_number("connect.nodes", nodes, whole=True)
    wanted = _settings(given, runtime_env)
    connected = rays.connect(address, runtime_env)
    try:
        # If Ray was connected before, the environment is none of the whole program, so the directory gets it, and its nodes.
        environment = None if connected else runtime_env
        return Program(address, name, _agreed(address, wanted, given, environment, timeout), options)
    except BaseException:
        rays.disconnect()
        raise


def _agreed(
    address: str, wanted: ClusterSettings, given: dict[str, Any], runtime_env: dict[str, Any] | None, timeout: float
) -> ClusterSettings:
    """Return the settings of the cluster. Raises `ClusterError` if they are not as given."""
    options = {"runtime_env": runtime_env} if runtime_env else {}
    try:
        directory = DirectoryActor.options(
            name=rays.DIRECTORY,
            namespace=rays.NAMESPACE,
            lifetime="detached",
            get_if_exists=True,
            resources=rays.ON_HEAD,
            **options,
        ).remote(encode(wanted))
        outcome = decode(rays.call(directory, "call", "settings_of", encode(None), timeout=timeout), CallResult)
    except Exception as error:
        raise ClusterUnavailable(address, f"its directory does not start: {describe(error)}") from error
    settings = decode(outcome.value, ClusterSettings)
    differing = sorted(key for key in given if getattr(settings, key) != getattr(wanted, key))
    if differing:
        shown = ", ".join(differing)
        raise ClusterError(f"the cluster at {address} runs with other settings: {shown}; stop it, or connect without them")
    return settings


def _settings(given: dict[str, Any], runtime_env: dict[str, Any] | None) -> ClusterSettings:
    try:
        settings = msgspec.convert({**given, "runtime_env": json.dumps(runtime_env or {}, sort_keys=True)}, ClusterSettings)
    except (msgspec.ValidationError, TypeError) as error:
        raise InvalidSetting("connect.settings", given, f"settings of a cluster: {error}") from error
    unknown = given.keys() - set(ClusterSettings.__struct_fields__)
    if unknown:
        raise InvalidSetting("connect.settings", sorted(unknown), f"some of {', '.join(ClusterSettings.__struct_fields__)}")
    parse_ports(settings.ports, "connect.settings.ports")
    for key in ("beat", "lost_after", "lease", "idle", "max_message"):
        check_number(f"connect.settings.{key}", getattr(settings, key), above=0)
    check_number("connect.settings.stop_timeout", settings.stop_timeout)
    if settings.lost_after < 2 * settings.beat:
        need = f"at least twice the beat of {settings.beat:g} s: each member would count as lost between two signs of life"
        raise InvalidSetting("connect.settings.lost_after", settings.lost_after, need)
    if settings.setup and not _FUNCTION.fullmatch(settings.setup):
        raise InvalidSetting(
            "connect.settings.setup", settings.setup, "a function as module:function, such as bank.nodes:set_up"
        )
    if settings.store and not settings.store.startswith(("postgres://", "postgresql://")):
        need = "an address of PostgreSQL, postgresql://USER:PASSWORD@HOST:PORT/NAME: a file serves the processes of one machine"
        raise InvalidSetting("connect.settings.store", settings.store, need)
    return settings


class Program:
    """The runtime of a program, and its membership."""

    def __init__(self, address: str, name: str, settings: ClusterSettings, options: dict[str, Any]) -> None:
        self._connected = True
        self._closed = threading.Event()
        self._machine = rays.own_machine()
        self.membership = Membership(address, settings, self._report)
        self.transport = RayTransport(
            self.membership,
            LinkLimits(max_message=settings.max_message),
            rays.own_address(),
            ports=own_ports(settings.ports),
        )
        self.runtime = Runtime(name, transport=self.transport, **{"node_timeout": settings.lost_after, **options})

    def start(self, follow: Callable[[ClusterView], None]) -> None:
        """Become a member of the cluster. Raises `ClusterUnavailable`."""
        self.membership.start([follow], self._given_up)

    def wait_for(self, nodes: int, timeout: float) -> None:
        """Wait until so many nodes are ready. Raises `ClusterUnavailable`."""
        membership, countdown = self.membership, Countdown(timeout)
        while sum(each.ready for each in membership.nodes()) < nodes:
            if countdown.over:
                problems = membership.ask_directory("problems_of")
                machines: dict[str, list[str]] = {}
                for machine, text in problems.items():
                    machines.setdefault(text, []).append(machine[:6])
                found = [f"on the machine {', '.join(each)}: {text}" for text, each in machines.items()]
                count = sum(1 for each in rays.machines().values() if each["Resources"].get("CPU"))
                why = "; ".join(found) or f"{count} machines with a CPU have joined"
                count = sum(each.ready for each in membership.nodes())
                raise ClusterUnavailable(membership.address, f"{count} of {nodes} nodes are ready after {timeout:g} s: {why}")
            self._closed.wait(0.05)
            membership.refresh()

    def close(self, *, drain: bool) -> None:
        """Stop the runtime, and disconnect."""
        self.runtime.stop(drain=drain)
        self.membership.leave()
        self._closed.set()
        self.membership.end("it has closed its connection")
        if self._connected:
            self._connected = False
            rays.disconnect()

    def _report(self) -> MemberReport:
        return MemberReport(
            ClusterMember(
                name=self.runtime.node,
                runtime=self.runtime.node,
                machine=self._machine,
                load=len(self.runtime.agents()),
                pid=os.getpid(),
                place=self.transport.place,
                python=platform.python_version(),
            )
        )

    def _given_up(self, why: str) -> None:
        if not self._closed.is_set():
            _log.error("this program is no longer part of the cluster: %s; connect again", why)
            self._closed.set()
