"""Runtime agents that take part in a simulation."""

from __future__ import annotations

from typing import Any

from coterie.errors import CheckpointRefused
from coterie.kernel import Checkpointable
from coterie.messaging import Request
from coterie.rounds.turns.turn import Turn
from coterie.runtime import Agent, on


class TakeTurn(Request[Any]):
    """Asks a runtime agent to do the stage of a turn; what it answers is what the stage returns."""

    turn: Turn


class Keep(Request[Any]):
    """Asks a runtime agent for its state, in plain data."""


class TakeUp(Request[None]):
    """Asks a runtime agent to take up a state that it has answered `Keep` with."""

    state: Any


class Member(Agent):
    """A runtime agent that takes part in simulations: a stage that is given by name is its method of that name.

    ::

        class Fisher(Member):
            def fish(self, turn):
                turn.intend("take", amount=10)

        with Runtime(dispatcher=Dedicated()) as runtime:
            Simulation(world, {"ada": runtime.spawn(Fisher)}, Graph.chain("fish")).run(rounds=12)

    The methods run on the agent's own thread and may be ``async``. With `snapshot` and `restore` it can be kept in
    checkpoints; without
    checkpoints it is not rebuilt after a forfeit, but by its own supervision.
    """

    @on
    async def take_turn(self, message: TakeTurn) -> Any:
        """Do the stage."""
        answer = getattr(self, message.turn.stage)(message.turn)
        return await answer if hasattr(answer, "__await__") else answer

    @on(raises=CheckpointRefused)
    def keep(self, message: Keep) -> Any:  # noqa: ARG002 - it says all by its type
        """Return the state."""
        if not isinstance(self, Checkpointable):
            raise CheckpointRefused(self.context.self_ref.name, "it has no snapshot")
        return self.snapshot()

    @on
    def take_up(self, message: TakeUp) -> None:
        """Take up a state."""
        if isinstance(self, Checkpointable):
            self.restore(message.state)
