"""Agents that do their stages on another node, and the parts of a turn that leave the process for them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

import immutables
import msgspec

from coterie.rounds.carrying import SAME, CarriedError, ModuleNames, carried, carry
from coterie.rounds.graph import Stage
from coterie.rounds.selection import Roster
from coterie.rounds.turn import Turn
from coterie.world import View
from coterie.world.state.values import freeze, thaw


class RemoteScene(msgspec.Struct, frozen=True, array_like=True):
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

    def roster(self) -> Roster:
        """Return the agents of the round again."""
        return Roster(self.names, {}, {}, self.types)


class RemoteTurn(msgspec.Struct, frozen=True, array_like=True):
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

    def open(self, view: View, roster: Roster, stage: Stage, names: ModuleNames = SAME) -> Turn:
        """Return a turn with the same view, inputs and random stream; its intents and proposals are to be carried back."""
        inputs = {name: carried(form, names) for name, form in self.inputs.items()}
        turn = Turn(self.name, self.round, stage, self.place, view, inputs, self.seed, self.visit, self.first)
        turn.roster = roster
        return turn


class RemoteTurnEnd(msgspec.Struct, frozen=True, array_like=True):
    """The end of a remote turn: the value of the stage or its error, the intents and proposals, and the agent's state."""

    value: Any = None
    intents: list[tuple[str, int, dict[str, Any]]] = []
    proposals: list[tuple[str, dict[str, Any]]] = []
    state: bytes = b""
    """As of `state_as_bytes`; empty for an agent that has none, and for one whose state has not changed since its last turn."""
    error: CarriedError | None = None
    late: bool = False
    """Whether it took longer than its limit of time, so that it was given up."""

    @classmethod
    def of(cls, turn: Turn, value: Any, state: bytes = b"", names: ModuleNames = SAME) -> RemoteTurnEnd:
        """Return the end of a turn. Raises `InvalidValue` for a value that cannot be carried."""
        intents, proposals = turn.wanted()
        return cls(
            carry(value, turn.stage, names),
            [(each.action, each.priority, thaw(each.arguments)) for each in intents],
            [(each.kind, thaw(each.parameters)) for each in proposals],
            state,
        )

    @classmethod
    def failed(cls, turn: Turn, error: BaseException, names: ModuleNames = SAME) -> RemoteTurnEnd:
        """Return the end of a turn that has raised an error."""
        end = cls.of(turn, None)
        return msgspec.structs.replace(end, error=CarriedError.of(error, names))

    def apply(self, turn: Turn) -> Any:
        """Submit the intents and proposals in the turn itself, and return the value of the stage, or raise its error."""
        for action, priority, arguments in self.intents:
            turn.intend(action, priority=priority, **arguments)
        for kind, parameters in self.proposals:
            turn.propose(kind, **parameters)
        if self.error is not None:
            raise self.error.revived()
        return carried(self.value)


Ended: TypeAlias = Callable[[RemoteTurnEnd | Exception, bytes | None], object]
"""Takes the end of a remote turn, or the error because of which no node could do it, and the state of the agent. From any thread."""


class TurnSender(Protocol):
    """Sends the turns of many remote agents to their nodes."""

    def flush(self) -> None:
        """Send the turns that were begun and are not on their way."""
        ...


class RemoteAgent(ABC):
    """The base of an object that has the stages of an agent done elsewhere, one at a time.

    `stateless` says that the state of the agent cannot change, and `does_functions` that it does stages that are functions too.
    """

    __slots__ = ()
    stateless = False
    does_functions = False

    @property
    @abstractmethod
    def sender(self) -> TurnSender:
        """The sender of its turns."""

    @abstractmethod
    def begin(self, turn: Turn, timeout: float | None, ended: Ended) -> None:
        """Have the stage of a turn done, and call `ended` once. The turn may wait for `flush` of the sender.

        The limit of time counts as in one process: from when a thread there begins it, waits for a thread aside. Never raises.
        """

    @abstractmethod
    def end(self) -> None:
        """Give up the turn that is under way, if there is one: its end does not count any more."""
