"""The host of one node: its runtime, and what the cluster asks of it. No call of Ray, but through the membership."""

from __future__ import annotations

import heapq
import logging
import os
import platform
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from coterie.cluster import arguments, rays
from coterie.cluster.cluster import Cluster
from coterie.cluster.hosted import HostedCount
from coterie.cluster.keys import KeyPlacement
from coterie.cluster.learning import ClassLearner
from coterie.cluster.limits import LinkLimits
from coterie.cluster.loading import load
from coterie.cluster.membership import Membership
from coterie.cluster.ports import own_ports
from coterie.cluster.services import SERVICES, ServiceKeeper, ServiceTable
from coterie.cluster.transport import RayTransport
from coterie.cluster.wire import (
    CallResult,
    ClusterMember,
    ClusterSettings,
    ClusterView,
    MemberReport,
    SpawnOrder,
    decode,
    encode,
)
from coterie.concurrency import start_thread
from coterie.errors import CoterieError, NameTaken, describe
from coterie.errors.cluster import ClusterError, ClusterUnavailable, NameTakenInCluster
from coterie.kernel import Address, Countdown, SystemClock
from coterie.meetings import Meetings
from coterie.runtime import Agent, AgentRef, DurablePolicy, Runtime
from coterie.storage import Database, open_database

_log = logging.getLogger(__name__)

_clock = SystemClock()
_LISTED = 100
"""Agents that the state of a node names."""
_SETTLING = 10.0
"""Seconds that a spawn with a name waits for a new directory to learn the names of all nodes."""


class NodeHost:
    """The runtime of one node. `call` may be called by several threads; the tables of names change by single operations."""

    def __init__(self, name: str, actor: str, settings: ClusterSettings) -> None:
        _write_log()
        self._name = name
        self._actor = actor
        self._settings = settings
        self._machine = rays.own_machine()
        entry = rays.machines().get(self._machine, {})
        self._labels = {key: str(value) for key, value in (entry.get("Labels") or {}).items()}
        self._resources = {key: float(value) for key, value in entry.get("Resources", {}).items() if ":" not in key}
        self._address = str(entry.get("NodeManagerAddress", ""))
        self._names: dict[str, Address] = {}
        self._starting: set[str] = set()
        """The names that are being given to agents."""
        self._doubtful: dict[str, str] = {}
        """Names that the directory may think to be held here, since its answer did not come in time; with the addresses, if any."""
        self._databases: list[Database] = []
        self._ready = self._draining = False
        membership = self._membership = Membership("this node", settings, self._report)
        self.transport = RayTransport(
            membership,
            LinkLimits(max_message=settings.max_message),
            self._address or rays.own_address(),
            ports=own_ports(settings.ports),
        )
        self._keys, policy, database = self._open_store()
        self._homes = membership.homes
        self.runtime = Runtime(
            name,
            transport=self.transport,
            node_timeout=settings.lost_after,
            stop_timeout=settings.stop_timeout,
            store=database,
            durable=policy,
        )
        self._cluster = Cluster(self.runtime, membership, self.transport)
        self.runtime.provide(self._cluster)
        self.runtime.provide(Meetings())
        self._hosted = self.runtime.provide(HostedCount())
        self._services = self.runtime.provide(ServiceTable(name))
        self.runtime.spawn(ServiceKeeper, name=SERVICES)
        self._classes = ClassLearner(name, self._register, lambda: membership.refresh(report=True))
        membership.start([self._cluster.follow, self._follow], self._given_up)
        if self._keys is not None:
            self._classes.start()
            self._keys.start(self.runtime)
        self._set_up()
        if self._keys is not None:
            self._classes.wait()
        self._ready = True
        membership.refresh(report=True)
        _log.info("node %s (%s) is ready", name, self.runtime.node)

    def call(self, method: str, payload: bytes) -> bytes:
        """Do what the cluster asks; the result, or the error, is an `CallResult`."""
        try:
            return encode(CallResult(getattr(self, f"_do_{method}")(payload)))
        except Exception as error:  # noqa: BLE001 - the caller gets it
            if not isinstance(error, CoterieError):
                _log.exception("%s failed", method)
            text = str(error) if isinstance(error, CoterieError) else describe(error)
            taken = (error.name, getattr(error, "node", self._name)) if isinstance(error, NameTaken) else None
            return encode(CallResult(error=text, kind=type(error).__name__, taken=taken))

    # What the cluster asks.

    def _do_ready(self, _: bytes) -> str:
        return self.runtime.node

    def _do_spawn(self, payload: bytes) -> list[str]:
        """Start agents, and return their addresses."""
        order = decode(payload, SpawnOrder)
        kind = arguments.find_class(order.agent, self._name)
        codec, options = self._cluster.codec, arguments.unpack_options(order.options)

        if len(order.arguments) != 1:
            each = [arguments.unpack(codec, kind, data)[0] for data in order.arguments]
            return [str(agent.address) for agent in self.runtime.spawn_many(kind, each, **options)]
        args, kwargs = arguments.unpack(codec, kind, order.arguments[0])

        def spawn() -> AgentRef:
            return self.runtime.spawn(kind, *args, name=order.name or None, **options, **kwargs)

        return [str(self._spawn_named(order.name, spawn) if order.name else spawn().address)]

    def _spawn_named(self, name: str, spawn: Callable[[], AgentRef]) -> Address:
        """Take a name, start its agent, and tell the directory its address. If the directory cannot be told, no agent stays."""
        agent: AgentRef | None = None
        self._starting.add(name)
        try:
            self._take_name(name)
            self._doubtful.pop(name, None)
            try:
                agent = spawn()
                self._names[name] = agent.address
            finally:
                address = "" if agent is None else str(agent.address)
                self._membership.ask_directory("set_address", [name, self.runtime.node, address])
        except ClusterUnavailable:
            self._names.pop(name, None)
            self._doubtful[name] = "" if agent is None else str(agent.address)
            if agent is not None:
                agent.stop(drain=False)
            raise
        finally:
            self._starting.discard(name)
        return agent.address

    def _do_find(self, payload: bytes) -> str | None:
        """Return the address of the living agent of a name."""
        found = self.runtime.find(decode(payload, str))
        return None if found is None else str(found.address)

    def _do_status(self, _: bytes) -> dict[str, Any]:
        metrics, health = self.runtime.metrics(), self.runtime.health()
        busiest = heapq.nsmallest(_LISTED, health.values(), key=lambda each: (-each.queued, each.name))
        return {
            "agents": len(metrics.agents),
            "busiest": [{"name": each.name, "state": str(each.state), "queued": each.queued} for each in busiest],
            "handled": metrics.totals.handled,
            "link": metrics.link,
            "peers": self.transport.status(),
        }

    def _do_stop(self, payload: bytes) -> None:
        """Stop the runtime, drained, and end the process soon."""
        timeout = decode(payload, float)
        self._ready, self._draining = False, True
        self._membership.refresh(report=True)
        self._services.close_all()
        if self._keys is not None:
            self._empty(Countdown(timeout))
        self.runtime.stop(timeout=timeout)
        if self._keys is not None:
            self._keys.close()
            for database in self._databases:
                database.close()
        self._membership.leave()
        start_thread(self._end_soon, "cluster-end")

    def _end_soon(self) -> None:
        # The call that asked for the end is still to be answered.
        threading.Event().wait(0.2)
        try:
            self._membership.ask_directory("end_node", self._actor)
        finally:
            os._exit(0)

    def _do_learn(self, payload: bytes) -> None:
        """Make classes of durable agents known."""
        for name in decode(payload, list[str]):
            self._classes.learn(name)

    def _take_name(self, name: str) -> None:
        """Have the directory give a name to an agent of this node. Raises `NameTakenInCluster`."""
        until = _clock.monotonic() + _SETTLING
        pause = threading.Event()
        while True:
            given, holder = self._membership.ask_directory("take_name", [name, self._member()])
            if given:
                return
            if holder is not None:
                node, runtime, address = holder
                if not address or self._cluster.holds(runtime, name, address):
                    raise NameTakenInCluster(name, node)
                # It has ended, and the next report would say so.
                self._membership.ask_directory("set_address", [name, runtime, ""])
            elif _clock.monotonic() > until:
                raise ClusterError(
                    f"the names of some nodes are unknown after {_SETTLING:g} s; look at `coterie cluster status`"
                )
            else:
                pause.wait(0.05)

    # Durable agents.

    def _open_store(self) -> tuple[KeyPlacement | None, DurablePolicy | None, Database | None]:
        settings = self._settings
        if not settings.store:
            return None, None, None
        # A node that freezes in the middle of a transaction must not keep its rows locked.
        milliseconds = round(1000 * settings.lease)
        option = quote(f"-c idle_in_transaction_session_timeout={milliseconds}", safe="")
        address = f"{settings.store}{'&' if '?' in settings.store else '?'}options={option}"
        data = open_database(address)
        # A change that waits for the disk must not hold up the lease.
        leases = open_database(address, readers=1, patience=settings.lease)
        self._databases = [data, leases]
        keys = KeyPlacement(self._name, data, leases, settings.lease, self._membership.home)
        return keys, DurablePolicy(idle=settings.idle, placement=keys), data

    def _follow(self, view: ClusterView) -> None:
        """Learn the classes of durable agents, and look whether the nodes have changed. Never blocks."""
        if self._keys is None:
            return
        self._classes.follow(view)
        if self._membership.homes is not self._homes:
            self._homes = self._membership.homes
            self._keys.nodes_changed()

    def _register(self, kind: type[Agent]) -> None:
        self.runtime.durable.register(kind)

    def _empty(self, countdown: Countdown) -> None:
        """Wait until all durable agents have moved to other nodes."""
        pause = threading.Event()
        while self.runtime.durable.active and len(self._membership.homes.nodes) > 1 and not countdown.over:
            pause.wait(0.05)
            self._membership.refresh()

    # Reports.

    def _member(self) -> ClusterMember:
        return ClusterMember(
            name=self._name,
            runtime=self.runtime.node,
            actor=self._actor,
            machine=self._machine,
            address=self._address,
            labels=self._labels,
            resources=self._resources,
            load=len(self.runtime.agents()) + self._hosted.agents,
            draining=self._draining,
            ready=self._ready,
            lease=self._keys.seconds_left if self._keys is not None and self._classes.is_complete else 0.0,
            pid=os.getpid(),
            place=self.transport.place,
            python=platform.python_version(),
        )

    def _report(self) -> MemberReport:
        ended = [(name, str(address)) for name, address in list(self._names.items()) if not self._lives(name, address)]
        for name, _ in ended:
            self._names.pop(name, None)
        for name, address in list(self._doubtful.items()):
            if name not in self._starting:
                ended += {(name, ""), (name, address)}
        return MemberReport(self._member(), ended, {name: str(address) for name, address in list(self._names.items())})

    def _lives(self, name: str, address: Address) -> bool:
        found = self.runtime.find(name)
        return found is not None and found.address == address

    def _given_up(self, why: str) -> None:
        """End this process at once: others have taken over from it. Ray starts it again, with a new runtime."""
        _log.error("node %s ends: %s", self._name, why)
        os._exit(1)

    def _set_up(self) -> None:
        setup = self._settings.setup
        if not setup:
            return
        try:
            load(setup)(self.runtime)
        except Exception as error:
            raise ClusterError(
                f"the setup {setup!r} of the nodes raised {describe(error)}; mend it, and start the cluster again"
            ) from error


def _write_log() -> None:
    """Write the log to standard error, which Ray keeps in the files of this actor."""
    logger = logging.getLogger("coterie")
    if not logger.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
