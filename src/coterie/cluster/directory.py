"""The directory of a cluster: its members, the names of agents, and the classes of durable agents. No Ray, no thread."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterable

import msgspec

from coterie.cluster.wire import PROTOCOL, VERSION, ClusterMember, ClusterSettings, ClusterView, MemberReport
from coterie.concurrency import Rank, new_lock

_log = logging.getLogger(__name__)

_LOST_KEPT = 1_000


class Holding(msgspec.Struct, frozen=True):
    """The holder of a name: the node, its runtime, and the address of the agent, which is empty until it has started."""

    node: str
    runtime: str
    address: str = ""


class Directory:
    """Who is alive, and which names are taken. Safe from any thread: `_lock` guards its tables.

    It holds nothing that its members do not know: each tells a new directory its names, the other members, those that have left,
    and the classes. So no member is missed because it reports later than others. Until all nodes, and those of which it knows that they
    exist (`expected`, by the names of their Ray actors), have reported, it gives out no name.
    """

    def __init__(self, settings: ClusterSettings, now: Callable[[], float], expected: Iterable[str] = ()) -> None:
        self.settings = settings
        self._now = now
        self._lock = new_lock(Rank.RECORDS)
        self._members: dict[str, ClusterMember] = {}
        self._heard: dict[str, float] = {}
        self._named: set[str] = set()
        """The members whose names are known."""
        self._lost: dict[str, str] = {}
        self._names: dict[str, Holding] = {}
        self._classes: dict[str, None] = {}
        self._expected = set(expected)
        self._patience = now() + settings.lost_after
        self._looked_at = now()
        self._id = secrets.token_hex(8)
        self._views = 0

    def report(self, report: MemberReport) -> ClusterView:
        """Take a sign of life, and return the state of the cluster."""
        member, runtime = report.member, report.member.runtime
        with self._lock:
            refusal = self._refusal(member)
            if refusal is not None:
                return refusal
            if report.leaving:
                self._remove(runtime, "it has stopped")
                return self._view(runtime)
            for each in report.gone:
                self._remove(each, "it had left the cluster before this directory began")
            earlier = [
                each.runtime
                for each in self._members.values()
                if each.is_node and each.name == member.name and each.runtime != runtime
            ]
            for each in earlier:
                self._remove(each, f"it was replaced by {runtime}")
            self._members[runtime] = member
            self._heard[runtime] = self._now()
            for other in report.members:
                self._adopt(other)
            self._classes.update(dict.fromkeys(report.classes))
            self._expected.discard(member.actor)
            for name, address in report.ended:
                # By its address: another agent of the node may have taken the name since.
                if self._names.get(name) == Holding(member.name, runtime, address):
                    del self._names[name]
            if report.names is not None:
                self._named.add(runtime)
                for name, address in report.names.items():
                    self._names.setdefault(name, Holding(member.name, runtime, address))
            return self._view(runtime)

    def expire(self, machines: Iterable[str] | None = None) -> None:
        """Give up the members that are silent, and the nodes whose machine is not among the living `machines`."""
        now, living = self._now(), None if machines is None else set(machines)
        with self._lock:
            if now - self._looked_at > self.settings.lost_after / 2:
                # This process itself has stood still, so it cannot tell who was silent.
                self._heard = dict.fromkeys(self._members, now)
            self._looked_at = now
            for runtime, member in list(self._members.items()):
                silence = now - self._heard[runtime]
                if silence > self.settings.lost_after:
                    self._remove(runtime, f"it has been silent for {silence:.1f} s")
                elif living is not None and member.is_node and member.machine not in living:
                    self._remove(runtime, "its machine is dead")
            if now > self._patience:
                self._expected.clear()

    @property
    def expected(self) -> frozenset[str]:
        """The Ray actors of nodes that exist and have not reported yet."""
        with self._lock:
            return frozenset(self._expected)

    def view(self) -> ClusterView:
        """Return the state of the cluster."""
        with self._lock:
            return self._view("")

    def take_name(self, name: str, member: ClusterMember) -> tuple[bool, Holding | None]:
        """Give a name to an agent that is about to start. Return whether it was given, and its holder if it is taken.

        It is given to none, and has no holder, while the names of other nodes are unknown.
        """
        with self._lock:
            known = all(each.runtime in self._named for each in self._members.values() if each.is_node)
            if self._expected or not known:
                return False, None
            holder = self._names.get(name)
            if holder is not None:
                return False, holder
            self._names[name] = Holding(member.name, member.runtime)
            return True, None

    def set_address(self, name: str, runtime: str, address: str) -> None:
        """Record the address of the agent that has taken a name; without an address, free the name."""
        with self._lock:
            holder = self._names.get(name)
            if holder is not None and holder.runtime == runtime:
                if address:
                    self._names[name] = Holding(holder.node, runtime, address)
                else:
                    del self._names[name]

    def holder(self, name: str) -> Holding | None:
        """Return the holder of a name."""
        with self._lock:
            return self._names.get(name)

    def add_classes(self, classes: Iterable[str]) -> None:
        """Add classes of durable agents, which all nodes have to know."""
        with self._lock:
            self._classes.update(dict.fromkeys(classes))

    def _refusal(self, member: ClusterMember) -> ClusterView | None:
        if member.protocol != PROTOCOL:
            return ClusterView(
                [],
                verdict=f"{member.name} speaks version {member.protocol} of the wire (coterie {member.version}), the cluster "
                f"speaks version {PROTOCOL} (coterie {VERSION}); install the same version of coterie on all machines",
            )
        reason = self._lost.get(member.runtime)
        if reason is not None:
            return ClusterView([], verdict=f"{member.name} was given up: {reason}", lost=True)
        return None

    def _adopt(self, member: ClusterMember) -> None:
        """Take a member of an earlier directory, which has not reported to this one yet; it is lost if it stays silent."""
        replaced = any(each.is_node and each.name == member.name for each in self._members.values()) and member.is_node
        if member.runtime in self._members or member.runtime in self._lost or replaced:
            return
        self._members[member.runtime] = member
        self._heard[member.runtime] = self._now()

    def _remove(self, runtime: str, why: str) -> None:
        member = self._members.pop(runtime, None)
        self._heard.pop(runtime, None)
        self._named.discard(runtime)
        self._lost[runtime] = why
        if len(self._lost) > _LOST_KEPT:
            del self._lost[next(iter(self._lost))]
        for name in [name for name, holder in self._names.items() if holder.runtime == runtime]:
            del self._names[name]
        if member is not None:
            _log.warning("%s (%s) has left the cluster: %s", member.name, runtime, why)

    def _view(self, runtime: str) -> ClusterView:
        member = self._members.get(runtime)
        wants = member is not None and member.is_node and runtime not in self._named
        self._views += 1
        return ClusterView(
            list(self._members.values()),
            list(self._classes),
            wants_names=wants,
            directory=self._id,
            number=self._views,
            settled=not self._expected,
        )
