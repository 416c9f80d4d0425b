"""Simulations whose agents are hosted on the nodes of a cluster. The world, its log and the engine stay with the program."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import copy_context
from typing import Any

from coterie.cluster import arguments
from coterie.cluster.cluster import Cluster
from coterie.cluster.hosted import GetFirstState
from coterie.cluster.member_session import MemberSession, TurnJob
from coterie.cluster.placement import Placement
from coterie.cluster.turn_dispatcher import TurnDispatcher
from coterie.errors import DefinitionError, describe
from coterie.errors.cluster import ClusterError
from coterie.rounds import Simulation, Turn
from coterie.rounds.participant import Participant, state_as_bytes, state_from_bytes
from coterie.rounds.remote import Ended, RemoteAgent, TurnSender
from coterie.rounds.remote_plan import can_move, elsewhere
from coterie.rounds.selection import type_of
from coterie.runtime import AgentRef
from coterie.telemetry.spans import is_tracing
from coterie.telemetry.trace_context import trace_headers


class HostedAgents(TurnDispatcher):
    """The agents of a simulation, each on a node of a cluster, as a context manager. Their classes are found as those of `spawn`.

    ::

        with HostedAgents(cluster, {"ada": (Fisher, 0.1), "ben": (Fisher, 0.2)}) as hosted:
            Simulation(world, hosted.agents, Graph.chain("look", "fish"), seed=7).run(rounds=12)

    A stage that is a method of the agents runs on their nodes, on a view of the world that is sent there once a commit; what it
    intends, proposes and returns comes back. So the outcome is that of one process. A stage that is a function runs in the
    program. If a node is lost, its agents are made again on others, with their states as of their last turns (by `snapshot` and
    `restore`; without them as they were first), and do the turns again that had not ended. Arguments are plain data.

    Raises `UnknownNode`, `NoNodeFits`, `EncodeFailed`, `ClusterUnavailable`, `RefusedByNode` for a class that a node cannot load, and
    `DefinitionError`.
    """

    def __init__(self, cluster: Cluster, agents: Mapping[str, tuple[Any, ...]], placement: Placement | None = None) -> None:
        packed = {name: _packed(given) for name, given in agents.items()}
        super().__init__(cluster, placement, classes=sorted({kind for kind, _ in packed.values()}))
        homes = self.open(len(packed))
        self.agents: dict[str, Any] = {
            name: _proxy(agents[name][0])(self, name, packed[name], home) for name, home in zip(agents, homes, strict=True)
        }
        """The agents for `Simulation`, by name."""


class HostedSimulation(TurnDispatcher):
    """The agents of a simulation, each on a node of a cluster; the nodes build the simulation for themselves to have them.

    ::

        with HostedSimulation(cluster, simulation, "models.herd:opened", home):
            simulation.run(rounds=12)

    On each node `opener` is imported and called with the reference of `home`, an agent of the program, which it may ask; it
    returns a `HostedRun` with the same plan. The stages of single agents run on the nodes, whether they are methods or
    functions. Groups of agents, runtime agents, and stages for all agents together stay in the program.

    Raises `ClusterError` if no agent can be hosted, and `RefusedByNode` if a node cannot build it.
    """

    def __init__(
        self, cluster: Cluster, simulation: Simulation, opener: str, home: AgentRef, placement: Placement | None = None
    ) -> None:
        plan = simulation.plan
        names = [name for name, agent in plan.agents.items() if can_move(agent)]
        if not names and plan.born is None:
            raise ClusterError(
                "no agent of this simulation can be hosted elsewhere: groups, and runtime agents, are of one process; run it "
                "without a cluster"
            )
        super().__init__(cluster, placement, opener=opener, home=home)
        self._homes = dict(zip(names, self.open(len(names), everywhere=True), strict=True))
        simulation.plan = elsewhere(plan, self._stand_in)

    def _stand_in(self, name: str, agent: Any) -> HostedProxy:
        one = Participant(name, agent)
        made = stand_in(type_of(name, agent), keeps_state=one.keeps_state, stateless=one.is_stateless, functions=True)
        return made(self, name, None, self._homes.get(name))


class HostedProxy(RemoteAgent):
    """One hosted agent, as the engine sees it. One thread at a time uses it."""

    __slots__ = ("__weakref__", "_dispatcher", "given", "job", "life", "name", "session", "state")

    def __init__(
        self, dispatcher: TurnDispatcher, name: str, given: tuple[str, bytes] | None, session: MemberSession | None
    ) -> None:
        self._dispatcher = dispatcher
        self.job: TurnJob | None = None
        self.name = name
        self.given = given
        self.session = session
        """The way to its node; None before that is chosen."""
        self.life = 0
        self.state = b""

    def __deepcopy__(self, memo: object) -> Any:
        # Another object, which is on the same node.
        return type(self)(self._dispatcher, self.name, self.given, self.session)

    def __del__(self) -> None:
        self._forget()

    @property
    def sender(self) -> TurnSender:
        """The sender of the turns of all agents."""
        return self._dispatcher

    def begin(self, turn: Turn, timeout: float | None, ended: Ended) -> None:
        """Have a turn done on the node of the agent."""
        trace = trace_headers(copy_context()) if is_tracing() else {}
        job = self.job = TurnJob(self, turn, timeout, ended, trace)
        self._dispatcher.begin(job)

    def end(self) -> None:
        """Give up the turn that is under way."""
        if self.job is not None and self.session is not None:
            self.session.withdraw(self.job)
        self._forget()

    def _forget(self) -> None:
        """Have the object on the node dropped: another one is made for the next turn."""
        life, self.life = self.life, 0
        if life and self.session is not None:
            self.session.drop(life)


class KeepingProxy(HostedProxy):
    """A hosted agent with `snapshot` and `restore`."""

    __slots__ = ()

    def snapshot(self) -> Any:
        """Return the state of the agent after its last turn."""
        if not self.state and self.session is not None:
            self.state = self.session.host.ask(GetFirstState(self.name, self.given)).result()
        return state_from_bytes(self.state) if self.state else None

    def restore(self, state: Any) -> None:
        """Have the agent restored before its next turn."""
        self._forget()
        self.state = b"" if state is None else state_as_bytes("", state)


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


def stand_in(kind: str, *, keeps_state: bool, stateless: bool = False, functions: bool = False) -> type[HostedProxy]:
    """Return the class of hosted agents of one type: selections by the type of agents go by the name of their class."""
    base = KeepingProxy if keeps_state else HostedProxy
    return type(kind, (base,), {"__slots__": (), "stateless": stateless, "does_functions": functions})
