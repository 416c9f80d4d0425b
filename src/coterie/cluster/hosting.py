"""Simulations whose agents are hosted on the nodes of a cluster. The world, its log and the engine stay with the program."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import msgspec

from coterie.cluster import arguments
from coterie.cluster.cluster import Cluster
from coterie.cluster.hosted import KEEPER, DoTurn, GetHostedState, Hosted, HostedMember, OpenRun, SetScene
from coterie.cluster.placement import Placement
from coterie.concurrency import Rank, new_lock
from coterie.errors import DefinitionError, DeliveryError, HandlerFailed, describe
from coterie.errors.cluster import ClusterError, ClusterUnavailable, RefusedByNode
from coterie.kernel import Address
from coterie.rounds import Simulation, Turn
from coterie.rounds.participant import Participant, RemoteAgent, state_as_bytes, state_from_bytes
from coterie.rounds.remote import RemoteScene, RemoteTurn, RemoteTurnEnd, can_move, elsewhere
from coterie.rounds.selection import type_of
from coterie.runtime import AgentRef

_ATTEMPTS = 20
_OPENING = 60.0
"""Seconds that a node may take to build a simulation."""

_encode = msgspec.msgpack.encode
_decode_end = msgspec.msgpack.Decoder(RemoteTurnEnd).decode


class Hosting:
    """The agents that are hosted on the nodes for one simulation, and the scenes that these have. A context manager.

    Safe from any thread; `_lock` guards the scenes.
    """

    hosted: type[Hosted]

    def __init__(self, cluster: Cluster, placement: Placement | None) -> None:
        self.cluster = cluster
        self.id = secrets.token_hex(8)
        self._placement = placement
        self._lock = new_lock(Rank.RECORDS)
        self._numbers = itertools.count(1)
        self._scene: tuple[Any, Any, int, bytes] = (None, None, 0, b"")
        self._sent: dict[str, int] = {}
        self._spawned: list[AgentRef] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Stop the agents."""
        for reference in self._spawned:
            if reference.is_alive:
                reference.stop(drain=False)

    def spawn_all(self, given: Sequence[tuple[Any, ...]]) -> list[AgentRef]:
        """Host agents, each by the arguments of `hosted`. Raises the errors of `Cluster.spawn_many`."""
        references = self.cluster.spawn_many(self.hosted, given, placement=self._placement)
        self._spawned += references
        return references

    def spawn(self, given: tuple[Any, ...]) -> AgentRef:
        """Host an agent anew. Raises the errors of `Cluster.spawn`."""
        reference = self.cluster.spawn(self.hosted, *given, placement=self._placement)
        self._spawned.append(reference)
        return reference

    def show(self, turn: Turn, node: str) -> int:
        """Send the scene of a turn to a node, unless that has it; return its number."""
        with self._lock:
            view, roster, number, scene = self._scene
            if view is not turn.view or roster is not turn.roster:
                number, scene = next(self._numbers), _encode(RemoteScene.of(turn.view, turn.roster))
                self._scene = turn.view, turn.roster, number, scene
            sent = self._sent.get(node) == number
            self._sent[node] = number
        if not sent:
            # Before the turn on the same link, and to another agent: a turn waits for its scene.
            self.cluster.runtime.reference(Address(node, KEEPER)).post(SetScene(self.id, number, scene))
        return number

    def forget(self, node: str) -> None:
        """Send the scene to a node again."""
        with self._lock:
            self._sent.pop(node, None)


class HostedAgents(Hosting):
    """The agents of a simulation, each on a node of a cluster, as a context manager. Their classes are found as those of `spawn`.

    ::

        with HostedAgents(cluster, {"ada": (Fisher, 0.1), "ben": (Fisher, 0.2)}) as hosted:
            Simulation(world, hosted.agents, Graph.chain("look", "fish"), seed=7).run(rounds=12)

    A stage that is a method of the agents runs on their nodes, on a view of the world that is sent there once a commit; what it
    intends, proposes and returns comes back. So the outcome is that of one process. A stage that is a function runs in the
    program. If a node is lost, its agents are made again on others, with their states as of their last turns (by `snapshot` and
    `restore`; without them as they were first), and do the turns again that had not ended. Arguments are plain data.

    Raises the errors of `Cluster.spawn`.
    """

    hosted = Hosted

    def __init__(self, cluster: Cluster, agents: Mapping[str, tuple[Any, ...]], placement: Placement | None = None) -> None:
        super().__init__(cluster, placement)
        packed = {name: _packed(given) for name, given in agents.items()}
        references = self.spawn_all(list(packed.values()))
        self.agents: dict[str, Any] = {
            name: _proxy(agents[name][0])(self, packed[name], reference)
            for name, reference in zip(agents, references, strict=True)
        }
        """The agents for `Simulation`, by name."""


class HostedSimulation(Hosting):
    """The agents of a simulation, each on a node of a cluster; the nodes build the simulation for themselves to have them.

    ::

        with HostedSimulation(cluster, simulation, "models.herd:opened", home):
            simulation.run(rounds=12)

    On each node `opener` is imported and called with the reference of `home`, an agent of the program, which it may ask; it
    returns a `HostedRun` with the same plan. The stages of single agents run on the nodes, whether they are methods or
    functions. Groups of agents, runtime agents, and stages for all agents together stay in the program. A node builds the
    simulation when its first agent comes there. When `home` ends, so do the agents.

    Raises `ClusterError` if no agent can be hosted, and `RefusedByNode` if a node cannot build it.
    """

    hosted = HostedMember

    def __init__(
        self, cluster: Cluster, simulation: Simulation, opener: str, home: AgentRef, placement: Placement | None = None
    ) -> None:
        super().__init__(cluster, placement)
        plan = simulation.plan
        self._common = (self.id, opener, home)
        names = [name for name, agent in plan.agents.items() if can_move(agent)]
        if not names and plan.born is None:
            raise ClusterError(
                "no agent of this simulation can be hosted elsewhere: groups, and runtime agents, are of one process; run it "
                "without a cluster"
            )
        self._open_on_nodes()
        try:
            self._first = dict(zip(names, self.spawn_all([(*self._common, name) for name in names]), strict=True))
        except ClusterUnavailable:
            # A node has ended just now. Each agent is spawned at its first turn.
            self._first = {}
        simulation.plan = elsewhere(plan, self._stand_in)

    def _open_on_nodes(self) -> None:
        """Have all nodes build the simulation, so that a problem is known before the first round."""
        order, runtime = OpenRun(*self._common), self.cluster.runtime
        ready = [each for each in self.cluster.nodes() if each.ready]
        asked = [(each.name, runtime.reference(Address(each.runtime, KEEPER)).ask(order, timeout=_OPENING)) for each in ready]
        for name, reply in asked:
            try:
                problem = reply.result()
            except DeliveryError:
                continue  # It has ended; another one, or its next process, builds the simulation for its first agent.
            if problem:
                raise RefusedByNode(name, problem)

    def _stand_in(self, name: str, agent: Any) -> HostedProxy:
        one = Participant(name, agent)
        made = stand_in(type_of(name, agent), keeps_state=one.keeps_state, stateless=one.is_stateless)
        return made(self, (*self._common, name), self._first.pop(name, None))


class HostedProxy(RemoteAgent):
    """One hosted agent, as the engine sees it. Only its executor's thread uses it."""

    __slots__ = ("__weakref__", "_given", "_hosting", "_reference", "_restores", "_state")

    def __init__(self, hosting: Hosting, given: tuple[Any, ...], reference: AgentRef | None = None) -> None:
        self._hosting = hosting
        self._given = given
        self._reference = reference
        self._state = b""
        self._restores = False

    def __deepcopy__(self, memo: object) -> Any:
        copy = type(self)(self._hosting, self._given, self._reference)
        # The first copy takes the agent that was spawned with it; later ones begin with agents of their own.
        self._reference = None
        return copy

    async def __call__(self, turn: Turn) -> Any:
        """Have a turn done on the node of the agent, and carry its intents out here."""
        problem: Exception | None = None
        for attempt in range(_ATTEMPTS):
            if attempt:
                await asyncio.sleep(min(0.05 * attempt, 0.5))
            try:
                end = await self._try(turn)
            except HandlerFailed:
                raise
            except (DeliveryError, ClusterError) as error:
                problem = error
                self._lose()
                continue
            if not end.missing:
                if end.error is None:
                    self._state = end.state
                self._restores = False
                return end.apply(turn)
            self._hosting.forget(self._node())
        assert problem is not None
        raise problem

    async def _try(self, turn: Turn) -> RemoteTurnEnd:
        if self._reference is None or not self._reference.is_alive:
            self._lose()
            self._reference = self._hosting.spawn(self._given)
        state = self._state if self._restores else b""
        order = DoTurn(self._hosting.id, self._hosting.show(turn, self._node()), _encode(RemoteTurn.of(turn)), state)
        end: RemoteTurnEnd = _decode_end(await self._reference.ask(order, timeout=None))
        return end

    def _node(self) -> str:
        assert self._reference is not None
        return self._reference.address.node

    def _lose(self) -> None:
        self._reference, self._restores = None, True


class KeepingProxy(HostedProxy):
    """A hosted agent with `snapshot` and `restore`."""

    __slots__ = ()

    def snapshot(self) -> Any:
        """Return the state of the agent after its last turn."""
        if not self._state and self._reference is not None:
            self._state = self._reference.ask(GetHostedState()).result()
        return state_from_bytes(self._state) if self._state else None

    def restore(self, state: Any) -> None:
        """Have the agent restored before its next turn."""
        self._state = b"" if state is None else state_as_bytes("", state)
        self._restores = state is not None


def _packed(given: Any) -> tuple[str, bytes]:
    kind, *args = given if isinstance(given, tuple) else (given,)
    if not isinstance(kind, type):
        raise DefinitionError(
            describe(TypeError(repr(kind))), "it is not a class", "give (Class, argument, ...) for each agent"
        )
    name = f"{kind.__module__}:{kind.__qualname__}"
    if kind.__module__ == "__main__" or "<" in kind.__qualname__:
        raise DefinitionError(name, "other nodes cannot import it", "define it at the top of a module of its own")
    return name, arguments.pack(arguments.PLAIN, kind, tuple(args), {})


def _proxy(kind: type) -> type[HostedProxy]:
    return stand_in(kind.__name__, keeps_state=hasattr(kind, "snapshot") and hasattr(kind, "restore"))


def stand_in(kind: str, *, keeps_state: bool, stateless: bool = False) -> type[HostedProxy]:
    """Return the class of hosted agents of one type: selections by the type of agents go by the name of their class."""
    base = KeepingProxy if keeps_state else HostedProxy
    return type(kind, (base,), {"__slots__": (), "stateless": stateless})
