"""Runtime agents as participants of a simulation."""

from __future__ import annotations

from typing import Any

from coterie.errors import CheckpointRefused
from coterie.kernel import Checkpointable
from coterie.messaging import Request
from coterie.rounds.turn import Turn
from coterie.runtime import Agent, on


class TakeTurn(Request[Any]):
    """Ask a runtime agent to do the stage of a turn. The answer is the return value of the stage."""

    turn: Turn


class GetSnapshot(Request[Any]):
    """Ask a runtime agent for its state in plain data."""


class RestoreSnapshot(Request[None]):
    """Ask a runtime agent to restore a state from an answer to `GetSnapshot`."""

    state: Any


class Member(Agent):
    """A runtime agent that takes part in simulations. A stage given by name is the agent's method of that name.

    ::

        class Fisher(Member):
            def fish(self, turn):
                turn.intend("take", amount=10)

        with Runtime(dispatcher=Dedicated()) as runtime:
            Simulation(world, {"ada": runtime.spawn(Fisher)}, Graph.chain("fish")).run(rounds=12)

    The methods run on the agent's own thread and may be ``async``. Checkpoints need `snapshot` and `restore`. Without
    checkpoints a forfeit does not rebuild it; its own supervision does.
    """

    @on
    async def take_turn(self, message: TakeTurn) -> Any:
        """Do the stage, and return its value."""
        answer = getattr(self, message.turn.stage)(message.turn)
        return await answer if hasattr(answer, "__await__") else answer

    @on(raises=CheckpointRefused)
    def get_snapshot(self, message: GetSnapshot) -> Any:  # noqa: ARG002 - its type says everything
        """Return the state. Raises `CheckpointRefused` if the agent has no snapshot."""
        if not isinstance(self, Checkpointable):
            raise CheckpointRefused(self.context.self_ref.name, "it has no snapshot")
        return self.snapshot()

    @on
    def restore_snapshot(self, message: RestoreSnapshot) -> None:
        """Restore a state."""
        if isinstance(self, Checkpointable):
            self.restore(message.state)
