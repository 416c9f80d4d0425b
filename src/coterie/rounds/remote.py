"""The parts of a turn that leave the process, for an agent that does its stages on another node."""

from __future__ import annotations

from typing import Any

import immutables
import msgspec

from coterie.rounds.graph import Stage
from coterie.rounds.selection import Roster
from coterie.rounds.turn import Turn
from coterie.world import View
from coterie.world.state.values import freeze, thaw


class RemoteScene(msgspec.Struct, frozen=True):
    """The view of a world, and the agents of the round: what the turns of many agents share."""

    keys: dict[str, Any]
    deadlines: dict[str, float]
    sequence: int
    time: float
    names: list[str]
    types: dict[str, str]

    @classmethod
    def of(cls, view: View, roster: Roster) -> RemoteScene:
        """Return the scene of a turn."""
        deadlines = {key: due for key in view if (due := view.expiry(key)) is not None}
        keys = {key: thaw(value) for key, value in view.items()}
        return cls(keys, deadlines, view.sequence, view.time, list(roster.names), dict(roster.types))

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
        """Return the parts of a turn. Raises `InvalidValue` for inputs that are not plain data."""
        inputs = {name: thaw(freeze(value, name)) for name, value in turn.inputs.items()}
        seed, first = turn.origin
        return cls(turn.name, turn.round, turn.stage, turn.place, inputs, seed, turn.visit, first)

    def open(self, scene: RemoteScene, view: View) -> Turn:
        """Return a turn with the same view, inputs and random stream; its intents and proposals are to be carried back."""
        inputs = {name: freeze(value, name) for name, value in self.inputs.items()}
        stage = Stage(self.stage, None, together=False)
        turn = Turn(self.name, self.round, stage, self.place, view, inputs, self.seed, self.visit, self.first)
        turn.roster = Roster(tuple(scene.names), {}, {}, scene.types)
        return turn


class RemoteTurnEnd(msgspec.Struct, frozen=True):
    """The end of a remote turn: the value of the stage, the intents and proposals, and the agent's state."""

    value: Any = None
    intents: list[tuple[str, int, dict[str, Any]]] = []
    proposals: list[tuple[str, dict[str, Any]]] = []
    state: Any = None
    missing: bool = False
    """Whether the scene was not there, so that nothing was done."""

    @classmethod
    def of(cls, turn: Turn, value: Any, state: Any) -> RemoteTurnEnd:
        """Return the end of a turn. Raises `InvalidValue` for a value that is not plain data."""
        intents, proposals = turn.wanted()
        return cls(
            thaw(freeze(value, turn.stage)),
            [(each.action, each.priority, thaw(each.arguments)) for each in intents],
            [(each.kind, thaw(each.parameters)) for each in proposals],
            state,
        )

    def apply(self, turn: Turn) -> Any:
        """Submit the intents and proposals in the turn itself, and return the value of the stage."""
        for action, priority, arguments in self.intents:
            turn.intend(action, priority=priority, **arguments)
        for kind, parameters in self.proposals:
            turn.propose(kind, **parameters)
        return self.value
