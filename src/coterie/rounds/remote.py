"""The parts of a turn that leave the process, for an agent that does its stages on another node."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import immutables
import msgspec

from coterie.rounds.carrying import SAME, CarriedError, ModuleNames, carried, carry
from coterie.rounds.graph import Graph, Stage
from coterie.rounds.groups import AgentGroup
from coterie.rounds.participant import Participant, RemoteAgent
from coterie.rounds.plan import Plan
from coterie.rounds.selection import Roster
from coterie.rounds.turn import Turn
from coterie.runtime import AgentRef
from coterie.world import View
from coterie.world.state.values import freeze, thaw


def elsewhere(plan: Plan, stand_in: Callable[[str, Any], RemoteAgent]) -> Plan:
    """Return a plan whose agents do their stages elsewhere: `stand_in` returns the remote agent for a name and its agent.

    Groups, and runtime agents, stay as they are, and so do stages for all agents together.
    """
    agents = {name: stand_in(name, agent) if can_move(agent) else agent for name, agent in plan.agents.items()}
    stages = [stage if _stays(stage) else msgspec.structs.replace(stage, work=_sent(stage.work)) for stage in plan.graph.stages]
    born, methods = plan.born, any(stage.work is None and not stage.commits for stage in plan.graph.stages)

    def born_elsewhere(name: str) -> Any:
        agent = born(name) if born is not None else None
        return stand_in(name, agent) if can_move(agent) else agent

    return msgspec.structs.replace(
        plan,
        agents=agents,
        graph=Graph(stages, plan.graph.edges, start=plan.graph.start),
        # Without it a simulation whose stages are methods refuses a birth, as it must.
        born=None if born is None and methods else born_elsewhere,
    )


def can_move(agent: Any) -> bool:
    """Return whether an agent of a simulation can do its stages elsewhere: not a group, and not a runtime agent."""
    return not isinstance(agent, AgentGroup | AgentRef)


def own_copy(plan: Plan, name: str) -> Any:
    """Return a new copy of an agent of a plan, also of one that was born."""
    agent = plan.agents.get(name) if name in plan.agents or plan.born is None else plan.born(name)
    return Participant(name, agent).make()


def _stays(stage: Stage) -> bool:
    return stage.work is None or stage.together or stage.commits or stage.for_all


def _sent(work: Any) -> Callable[[Any], Any]:
    def send(turn: Turn) -> Any:
        agent: Any = turn.agent
        return agent(turn) if isinstance(agent, RemoteAgent) else work(turn)

    return send


class RemoteScene(msgspec.Struct, frozen=True):
    """The view of a world, and the agents of the round: what the turns of many agents share."""

    keys: dict[str, Any]
    deadlines: dict[str, float]
    sequence: int
    time: float
    names: tuple[str, ...]
    types: dict[str, str]

    @classmethod
    def of(cls, view: View, roster: Roster) -> RemoteScene:
        """Return the scene of a turn."""
        deadlines = {key: due for key in view if (due := view.expiry(key)) is not None}
        keys = {key: thaw(value) for key, value in view.items()}
        return cls(keys, deadlines, view.sequence, view.time, tuple(roster.names), dict(roster.types))

    def view(self) -> View:
        """Return the view again."""
        keys = immutables.Map({key: freeze(value, key) for key, value in self.keys.items()})
        return View(keys, immutables.Map(self.deadlines), self.sequence, self.time)


class RemoteTurn(msgspec.Struct, frozen=True):
    """One turn, without its scene."""

    name: str
    round: int
    stage: str
    place: int
    inputs: dict[str, Any]
    seed: int | str
    visit: int
    first: int

    @classmethod
    def of(cls, turn: Turn) -> RemoteTurn:
        """Return the parts of a turn. Raises `InvalidValue` for inputs that cannot be carried."""
        inputs = {name: carry(value, name) for name, value in turn.inputs.items()}
        seed, first = turn.origin
        return cls(turn.name, turn.round, turn.stage, turn.place, inputs, seed, turn.visit, first)

    def open(self, scene: RemoteScene, view: View, stage: Stage | None = None, names: ModuleNames = SAME) -> Turn:
        """Return a turn with the same view, inputs and random stream; its intents and proposals are to be carried back.

        Without a `stage` it is a method of the agent.
        """
        inputs = {name: carried(form, names) for name, form in self.inputs.items()}
        made = stage if stage is not None else Stage(self.stage, None, together=False)
        turn = Turn(self.name, self.round, made, self.place, view, inputs, self.seed, self.visit, self.first)
        turn.roster = Roster(scene.names, {}, {}, scene.types)
        return turn


class RemoteTurnEnd(msgspec.Struct, frozen=True):
    """The end of a remote turn: the value of the stage or its error, the intents and proposals, and the agent's state."""

    value: Any = None
    intents: list[tuple[str, int, dict[str, Any]]] = []
    proposals: list[tuple[str, dict[str, Any]]] = []
    state: bytes = b""
    """As of `state_as_bytes`; empty for an agent that has none."""
    missing: bool = False
    """Whether the scene was not there, so that nothing was done."""
    error: CarriedError | None = None

    @classmethod
    def of(
        cls, turn: Turn, value: Any, state: bytes = b"", error: Exception | None = None, names: ModuleNames = SAME
    ) -> RemoteTurnEnd:
        """Return the end of a turn. Raises `InvalidValue` for a value that cannot be carried."""
        intents, proposals = turn.wanted()
        return cls(
            carry(value, turn.stage, names),
            [(each.action, each.priority, thaw(each.arguments)) for each in intents],
            [(each.kind, thaw(each.parameters)) for each in proposals],
            state,
            error=CarriedError.of(error, names) if error is not None else None,
        )

    def apply(self, turn: Turn) -> Any:
        """Submit the intents and proposals in the turn itself, and return the value of the stage, or raise its error."""
        for action, priority, arguments in self.intents:
            turn.intend(action, priority=priority, **arguments)
        for kind, parameters in self.proposals:
            turn.propose(kind, **parameters)
        if self.error is not None:
            raise self.error.revived()
        return carried(self.value)
