"""The agent of a simulation as it does its turns: the object itself, and a state that it has not been given back yet."""

from __future__ import annotations

from typing import Any

from coterie.errors import RestoreFailed, describe
from coterie.rounds.groups import AgentGroup, take_turns
from coterie.rounds.participant import Participant, state_as_bytes, state_from_bytes
from coterie.rounds.turn import Turn

_NOT_MADE: Any = object()


class Performer:
    """Does the turns of one participant, one at a time, on the thread of whichever executor has the turn.

    The object is made, and its state restored, by the first turn: this may run code of the user.
    """

    __slots__ = ("_agent", "_state", "participant")

    def __init__(self, participant: Participant, state: bytes | None) -> None:
        self.participant = participant
        self._agent: Any = _NOT_MADE
        self._state = state

    def __deepcopy__(self, memo: object) -> Performer:
        return self

    @property
    def agent(self) -> Any:
        """The object, or the reference of a runtime agent."""
        if self._agent is _NOT_MADE:
            self._agent = self.participant.make()
        return self._agent

    def begin(self, turn: Turn) -> Any:
        """Do a turn, and return its result, which may have to be awaited. Not for runtime agents."""
        agent = self._agent
        if agent is _NOT_MADE:
            agent = self.agent
        if self._state is not None:
            self.restore()
            agent = self._agent
        turn.agent = agent
        if agent.__class__ is AgentGroup:
            return take_turns(agent, turn)
        work = turn.work
        if work is not None:
            return work(turn)
        method = getattr(agent, turn.stage, None)
        if method is None and not callable(agent):
            raise AttributeError(f"a {type(agent).__qualname__} has no method {turn.stage!r} and is not a function")
        return method(turn) if method is not None else agent(turn)

    def keep(self) -> bytes | None:
        """Return the state; None if the participant keeps none. Raises `CheckpointRefused`, and the errors of `snapshot`."""
        return state_as_bytes(self.participant.name, self.agent.snapshot()) if self.participant.keeps_state else None

    def restore(self) -> None:
        """Restore the state, if there is one to restore. Raises `RestoreFailed`."""
        if self._state is None:
            return
        try:
            self.agent.restore(state_from_bytes(self._state))
        except Exception as error:
            # Some of it may have been restored.
            self._agent = self.participant.make()
            raise RestoreFailed(self.participant.name, describe(error)) from error
        self._state = None

    @property
    def has_state(self) -> bool:
        """Whether there is a state to restore."""
        return self._state is not None

    def state(self) -> Any:
        """Return the state to restore, in plain data."""
        return None if self._state is None else state_from_bytes(self._state)

    def forget_state(self) -> None:
        """Note that the state was restored."""
        self._state = None
