"""The public class: a cluster, as a program or an agent of it sees it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, Self

from coterie.cluster import arguments, rays
from coterie.cluster.membership import Membership
from coterie.cluster.placement import Placement, Placer
from coterie.cluster.program import open_program
from coterie.cluster.transport import RayTransport
from coterie.cluster.wire import CallResult, ClusterMember, ClusterSettings, ClusterView, SpawnOrder, decode, encode
from coterie.concurrency import ends_in_order
from coterie.durable import Identity
from coterie.errors import DefinitionError, InvalidSetting, TransportError, describe
from coterie.errors.cluster import ClusterError, ClusterUnavailable, NameTakenInCluster, RefusedByNode
from coterie.kernel import Address, Codec, Countdown
from coterie.kernel.codec import Extension
from coterie.messaging import MailboxPolicy
from coterie.runtime import Agent, AgentRef, Dispatcher, DurablePolicy, Runtime, Supervision
from coterie.runtime.definition.arguments import arguments_of_each
from coterie.runtime.entities.entity_kind import EntityKind, check_key
from coterie.runtime.entities.names import stored_address

_log = logging.getLogger(__name__)

_SPAWN_TIMEOUT = 30.0
_QUESTION, _LEAST = 5.0, 0.05
"""Seconds that all nodes together have to answer a question, and that each has at least."""
_CHUNK = 2_000
"""Agents that one call starts."""


class Cluster:
    """A cluster of nodes, each with a runtime, to which a program connects, and which agents of the nodes use.

    ::

        with Cluster.connect("10.0.0.1:6379") as cluster:
            counter = cluster.spawn(Counter, 10, name="counter")
            counter.ask(Add(amount=2)).result()

    In an agent, ``self.context.use(Cluster)`` is the cluster. References work everywhere: on all nodes, and in all programs that
    are connected. `spawn` and `find` block for a call to a node; all methods may be called from any thread.
    """

    def __init__(
        self,
        runtime: Runtime,
        membership: Membership,
        transport: RayTransport,
        close: Callable[..., None] = lambda *, drain: None,  # noqa: ARG005 - the name says what it gets
    ) -> None:
        self.runtime = runtime
        """The runtime of this program, or of this node."""
        self._membership = membership
        self._transport = transport
        self._close = close
        self._placer = Placer()
        self._kinds: dict[type[Agent], EntityKind] = {}
        self._known: frozenset[str] = frozenset()
        self.codec = Codec([Extension(AgentRef, 1, lambda ref: str(ref.address), runtime.reference)])
        """The codec of the arguments of spawned agents."""

    def __repr__(self) -> str:
        return f"<Cluster at {self._membership.address} of {', '.join(each.name for each in self.nodes())}>"

    def __deepcopy__(self, memo: object) -> Cluster:
        return self

    @classmethod
    def connect(
        cls,
        address: str = "auto",
        *,
        name: str = "program",
        nodes: int = 1,
        timeout: float = 30.0,
        runtime_env: dict[str, Any] | None = None,
        settings: dict[str, Any] | None = None,
        **options: Any,
    ) -> Self:
        """Connect this program to the cluster at an address of Ray, such as ``10.0.0.1:6379``. Blocks.

        The first program that connects starts the nodes, one on each machine of Ray with a CPU. It gives the `settings` of the
        cluster (see `ClusterSettings`), and the `runtime_env` by which Ray brings the modules of agents to the nodes; both hold until the
        cluster stops. Without a `runtime_env` these modules must be importable there. The call waits for `nodes` nodes, `timeout`
        seconds at most. `options` are those of `Runtime`, for the runtime of this program.

        Raises `ClusterUnavailable`, `ClusterError` for other settings than those of the cluster, and `InvalidSetting`.
        """
        program = open_program(address, name, nodes, timeout, runtime_env, settings or {}, options)
        cluster = cls(program.runtime, program.membership, program.transport, program.close)
        try:
            program.runtime.provide(cluster, Cluster)
            program.start(cluster.follow)
            program.wait_for(nodes, timeout)
        except BaseException:
            program.close(drain=False)
            raise
        return cluster

    @property
    def settings(self) -> ClusterSettings:
        """The settings of the cluster."""
        return self._membership.settings

    # Agents.

    def spawn(
        self,
        agent: type[Agent],
        *args: Any,
        name: str | None = None,
        node: str | None = None,
        placement: Placement | None = None,
        supervision: Supervision | None = None,
        mailbox: MailboxPolicy | None = None,
        dispatcher: Dispatcher | None = None,
        **kwargs: Any,
    ) -> AgentRef:
        """Start an agent on a node, and return its reference: on `node`, or by a `Placement`, or else where the fewest agents are.

        `args` and the other `kwargs` go to the constructor; they are encoded as messages are. The class must be importable on
        that node. A `name` is unique over the cluster. `supervision` and `mailbox` are those of `Runtime.spawn`, and so is `dispatcher`,
        which is `Leased` or `Dedicated`. The agent ends with its node; watch it to know.

        Raises `NameTaken`, `UnknownNode`, `NoNodeFits`, `NoNodeBeside`, `EncodeFailed`, `DefinitionError` for a class that the node
        cannot load and for a wrong name, `ClusterUnavailable` if the node does not answer, and `RefusedByNode`.
        """
        if name is not None and not Address.is_name(name):
            raise DefinitionError(f"name={name!r}", "it cannot name an agent", "use text without '#' and control characters")
        wanted = arguments.class_name(agent)
        packed = arguments.pack(self.codec, agent, args, kwargs)
        options = arguments.pack_options(supervision, mailbox, dispatcher)
        return self._spawn(wanted, [packed], name or "", _placement(node, placement), options)[0]

    def spawn_many(
        self,
        agent: type[Agent],
        each: Iterable[Sequence[Any]] | int,
        *,
        node: str | None = None,
        placement: Placement | None = None,
        supervision: Supervision | None = None,
        mailbox: MailboxPolicy | None = None,
        dispatcher: Dispatcher | None = None,
    ) -> list[AgentRef]:
        """Start many agents of one class, and return their references in order: one for each sequence of arguments in `each`.

        A number starts so many without arguments. The nodes start them at the same time. Raises the errors of `spawn`; agents of
        other nodes may have started by then.
        """
        wanted = arguments.class_name(agent)
        packed = [arguments.pack(self.codec, agent, args, {}) for args in arguments_of_each("spawn_many.each", each)]
        return self._spawn(
            wanted, packed, "", _placement(node, placement), arguments.pack_options(supervision, mailbox, dispatcher)
        )

    def place(self, placement: Placement, count: int = 1) -> list[ClusterMember]:
        """Return a node for each of `count` agents that are spawned by a placement. Raises `UnknownNode`, `NoNodeFits`."""
        nodes = self.nodes()
        if placement.node is not None and all(each.name != placement.node for each in nodes):
            nodes = [self._membership.node(placement.node)]
        return self._placer.choose(nodes, placement, count)

    def find(self, name: str) -> AgentRef | None:
        """Return the living agent of a name, wherever it is, or None.

        Names that were given to `spawn` of a cluster come first; else each node is asked for an agent that it has named itself.
        """
        local = self.runtime.find(name)
        if local is not None:
            return local
        holder = self._membership.ask_directory("holder", name)
        # Its node is asked too: the directory hears only with the next report that an agent has ended.
        if holder is not None and holder[2] and self.holds(holder[1], name, holder[2]):
            return self.runtime.reference(holder[2])
        asked = [(member, self._begin(member, "find", name)) for member in self.nodes() if member.runtime != self.runtime.node]
        countdown = Countdown(_QUESTION)
        for member, pending in asked:
            try:
                address = self._end(member, pending, max(_LEAST, countdown.left() or 0.0))
            except ClusterError:
                continue
            if address is not None:
                return self.runtime.reference(address)
        return None

    def entity(self, agent: type[Agent], key: str) -> AgentRef:
        """Return a reference to a durable agent, which is addressed by its class and its key; see `Runtime.entity`.

        The agent is on one node at a time, and the reference finds it. The first call for a class tells it to all nodes. Raises
        `ClusterError` for a cluster without a store, `InvalidKey`, `DefinitionError` for a class that keeps no state or that a
        node cannot load, and `ClusterUnavailable` if the directory does not answer.
        """
        kind = self._kinds.get(agent)
        if kind is None:
            kind = self._learn(agent)
        return self.runtime.reference(stored_address(Identity(kind.name, check_key(kind.name, key))))

    def _learn(self, agent: type[Agent]) -> EntityKind:
        if not self._membership.settings.store:
            raise ClusterError(
                "the cluster has no store for durable agents: connect first with settings={'store': 'postgresql://...'}"
            )
        kind, name = EntityKind(agent, self.codec, DurablePolicy().largest_state), arguments.class_name(agent)
        self._membership.ask_directory("add_classes", [name])
        for member, pending in [(member, self._begin(member, "learn", [name])) for member in self.nodes() if member.ready]:
            try:
                self._end(member, pending, _SPAWN_TIMEOUT)
            except ClusterUnavailable as error:
                # It learns the class by its next view, unless it is lost.
                _log.info("%s", error)
        self._kinds[agent] = kind
        return kind

    # Nodes.

    def nodes(self) -> list[ClusterMember]:
        """Return the living nodes in the order of their names."""
        return self._membership.nodes()

    def node(self, name: str) -> ClusterMember:
        """Return a living node. Raises `UnknownNode`."""
        return self._membership.node(name)

    def drain(self, name: str, timeout: float = 30.0) -> None:
        """Move the durable agents of a node away, let its other agents finish their messages, and stop it.

        Blocks until it has stopped, `timeout` seconds and a bit more at most. Its machine gets no new node before it joins again.
        Raises `UnknownNode`, `ClusterUnavailable`.
        """
        member = self._membership.node(name)
        self._membership.ask_directory("stop_machine", member.machine)
        self._end(member, self._begin(member, "stop", timeout), timeout + 30.0)

    def status(self) -> dict[str, Any]:
        """Return the state of each node and of the directory, for people and for monitoring."""
        nodes = {}
        asked = [(member, self._begin(member, "status", None)) for member in self.nodes()]
        countdown = Countdown(_QUESTION)
        for member, pending in asked:
            entry: dict[str, Any] = {
                "runtime": member.runtime, "address": member.address, "agents": member.load, "pid": member.pid,
                "draining": member.draining, "ready": member.ready, "labels": member.labels, "python": member.python,
                "version": member.version,
            }  # fmt: skip
            try:
                entry |= self._end(member, pending, max(_LEAST, countdown.left() or 0.0))
            except ClusterError as error:
                entry["problem"] = str(error)
            nodes[member.name] = entry
        programs = [each.name for each in self._membership.view.members if not each.is_node]
        return {"nodes": nodes, "programs": programs, "problems": self._membership.ask_directory("problems_of")}

    # For the host of a node, and for `connect`.

    def follow(self, view: ClusterView) -> None:
        """Take a new view: end the ways to the runtimes that are gone."""
        self._placer.new_view()
        known = frozenset(each.runtime for each in view.members)
        for runtime in self._known - known:
            self._transport.end(runtime, f"{runtime} has left the cluster")
        self._known = known

    def holds(self, runtime: str, name: str, address: str) -> bool:
        """Return whether the agent at an address lives and has a name, as far as its node can be asked."""
        if runtime == self.runtime.node:
            found = self.runtime.find(name)
            return found is not None and str(found.address) == address
        member = self._membership.member(runtime)
        try:
            return member is not None and self._end(member, self._begin(member, "find", name), _QUESTION) == address
        except ClusterError:
            return True

    # Calls.

    def _spawn(
        self, wanted: str, packed: list[bytes], name: str, placement: Placement, options: dict[str, Any]
    ) -> list[AgentRef]:
        chosen = self.place(placement, len(packed))
        places: dict[str, list[int]] = {}
        for place, member in enumerate(chosen):
            places.setdefault(member.name, []).append(place)
        by_name = {each.name: each for each in chosen}
        calls = []
        for node, numbers in places.items():
            for start in range(0, len(numbers), _CHUNK):
                part = numbers[start : start + _CHUNK]
                order = SpawnOrder(wanted, [packed[number] for number in part], name, options)
                calls.append((by_name[node], part, self._begin(by_name[node], "spawn", order)))
        found: dict[int, AgentRef] = {}
        for member, part, pending in calls:
            addresses = self._end(member, pending, _SPAWN_TIMEOUT)
            found |= {number: self.runtime.reference(address) for number, address in zip(part, addresses, strict=True)}
        return [found[place] for place in range(len(packed))]

    def _begin(self, member: ClusterMember, method: str, value: Any) -> Any:
        """Begin a call to a node; if that has ended just now, it fails at `_end`."""
        try:
            return self._membership.handle(member).call.remote(method, encode(value))
        except TransportError as error:
            return error

    def _end(self, member: ClusterMember, pending: Any, timeout: float) -> Any:
        if isinstance(pending, TransportError):
            raise self._unanswered(member, pending) from pending
        try:
            data = rays.result(pending, timeout)
        except Exception as error:
            raise self._unanswered(member, error) from error
        outcome = decode(data, CallResult)
        if not outcome.error:
            return outcome.value
        raise _revived(member.name, outcome)

    def _unanswered(self, member: ClusterMember, error: Exception) -> ClusterUnavailable:
        text = describe(error).strip().splitlines()[0]
        return ClusterUnavailable(self._membership.address, f"its node {member.name} does not answer: {text}")

    # The end.

    def close(self, *, drain: bool = True) -> None:
        """Stop the runtime of this program, and disconnect. The nodes go on. Inside an agent of a node it does nothing."""
        self._close(drain=drain)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        self.close(drain=ends_in_order(kind))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        # The agents of this program may need this loop to finish.
        async with self.runtime:
            pass
        self.close(drain=ends_in_order(kind))


def _placement(node: str | None, placement: Placement | None) -> Placement:
    if node is not None:
        if placement is not None:
            raise InvalidSetting("spawn", "node and placement", "one of them: Placement(node=...) has both")
        return Placement(node=node)
    return placement if placement is not None else Placement()


def _revived(node: str, outcome: CallResult) -> Exception:
    """Return the error of a node as one of this process."""
    if outcome.taken:
        return NameTakenInCluster(*outcome.taken)
    if outcome.kind == "DefinitionError":
        error = DefinitionError.__new__(DefinitionError)
        error.args = (outcome.error,)
        return error
    return RefusedByNode(node, outcome.error)
