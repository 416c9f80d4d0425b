"""Agents that join and leave a simulation: by membership, by requests from outside, by birth and by death."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from coterie.errors import InvalidSetting, describe
from coterie.rounds.engine.failures import StageFailures
from coterie.rounds.engine.tokens import OpenRound, Status, Token, TokenTable
from coterie.rounds.graph import Stage
from coterie.rounds.groups import AgentGroup
from coterie.rounds.participant import Participant
from coterie.rounds.plan import Plan
from coterie.rounds.recorded import FORFEITED, JOINED
from coterie.rounds.selection import NOBODY, Roster, type_of
from coterie.rounds.turn import Turn
from coterie.world import Event, ExternalEvent
from coterie.world.state.event import EventKind

_BORN, _DIE = ("born", ".born"), ("die", ".die")
"""The actions of births and deaths, and the ends of those of spaces."""


def note_lives(opened: OpenRound, events: Iterable[Event]) -> None:
    """Add the births and deaths that a commit granted to its round."""
    for event in events:
        action = event.action
        if action.endswith(("born", "die")) and event.kind == EventKind.GRANTED:
            name = event.details.get("name")
            if isinstance(name, str) and (action == "born" or action.endswith(_BORN[1])):
                opened.born.append(name)
            elif isinstance(name, str) and (action == "die" or action.endswith(_DIE[1])):
                opened.dead.add(name)


def join(table: TokenTable, names: Iterable[str], number: int, now: float) -> list[ExternalEvent]:
    """Let agents take part from a round on, and return an event for each that did not take part before."""
    notes = []
    for name in sorted(set(names)):
        token = table.tokens.get(name)
        if token is None or token.status is Status.GONE:
            hosts = token.hosts + 1 if token is not None else 0
            table.add(Token(name, number - 1, since=now, hosts=hosts))
            notes.append(ExternalEvent(JOINED, name, round=number))
        elif token.last >= 0:
            # It has not yet left its last round.
            token.back = number
            notes.append(ExternalEvent(JOINED, name, round=number))
    return notes


def note_failures(opened: OpenRound, turn: Turn, failures: StageFailures) -> None:
    """Record the forfeits of single agents of a group, whose turns raised."""
    for name, error in turn.failures.items():
        failures.failed(turn.stage, name, turn.round, error)
        details = {"stage": turn.stage, "visit": turn.visit, "error": type(error).__name__}
        why = f"it raised {describe(error)}"
        opened.notes.append(ExternalEvent(FORFEITED, name, why, details=details, round=turn.round, stage=turn.place))


class Lives:
    """The participants of a simulation, those that are born included. Only the engine's thread uses it."""

    def __init__(self, plan: Plan, participants: dict[str, Participant], known: dict[int, bool]) -> None:
        self._plan = plan
        self._participants = participants
        self._known = known
        self._agents: dict[str, Any] = dict(plan.agents)
        self._methods = any(stage.work is None and not stage.commits for stage in plan.graph.stages)
        self._roster = NOBODY
        self.births: list[str] = []
        """The agents that join before the next round because they were born."""
        self.deaths: list[str] = []
        """The agents that leave before the next round because they died."""

    def end_round(self, opened: OpenRound) -> None:
        """Let the agents that were born in a round join before the next one, and those that died leave."""
        for name in opened.born:
            self.add(name)
            self.births.append(name)
        self.deaths.extend(sorted(opened.dead))

    def add(self, name: str) -> None:
        """Add the participant of an agent that is born. Raises `InvalidSetting` if it must be an object and `born` is not given."""
        if name in self._participants:
            return
        born = self._plan.born
        if born is None and self._methods:
            need = f"a function that returns the agent {name}, because stages are methods: born=lambda name: Sheep()"
            raise InvalidSetting("Simulation.born", None, need)
        agent = born(name) if born is not None else None
        participant = Participant(name, agent, self._known)
        if self._plan.checkpoints:
            participant.check()
        self._participants[name] = participant
        self._agents[name] = agent

    def added(self, table: TokenTable) -> list[str]:
        """Return the names of the agents that were born and take part, or will in the next round."""
        living = {name for name, token in table.tokens.items() if token.status is not Status.GONE}
        return sorted(({*living, *self.births}) - self._plan.agents.keys())

    def does(self, name: str, stage: Stage) -> bool:
        """Return whether an agent or a group does a stage, and does not pass it over."""
        agent = self._agents.get(name)
        if stage.for_all and not isinstance(agent, AgentGroup):
            return False
        kind = name if isinstance(agent, AgentGroup) else type_of(name, agent)
        return not stage.of or kind == stage.of

    def take(self) -> tuple[list[str], list[str]]:
        """Return the agents that join and leave because of births and deaths, since the last call."""
        taken = self.births, self.deaths
        self.births, self.deaths = [], []
        return taken

    def forget(self, table: TokenTable, names: Iterable[str]) -> None:
        """Forget agents that were born and have left, so that their number stays bounded."""
        given: Mapping[str, Any] = self._plan.agents
        for name in names:
            token = table.tokens.get(name)
            if token is not None and token.status is Status.GONE and name not in given:
                table.forget(token)
                del self._participants[name], self._agents[name]

    def roster(self, table: TokenTable, *, changed: bool) -> Roster:
        """Return the agents that take part; the same object as before if none joined or left."""
        if changed or not self._roster.names:
            living = [token.name for token in table.live]
            members = {name: group.names for name in living if isinstance(group := self._agents.get(name), AgentGroup)}
            alone = tuple(name for name in living if name not in members)
            self._roster = Roster(alone, dict(self._agents), members)
        return self._roster
