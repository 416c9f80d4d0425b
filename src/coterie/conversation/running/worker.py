"""The agent that runs one attempt: a thread and an event loop of its own, so that what blocks in it blocks nobody else."""

from __future__ import annotations

import asyncio

from coterie.conversation.tools.attempt import AttemptOutcome, Ending, ToolAttempt
from coterie.conversation.tools.context import ToolContext
from coterie.errors import OperationStopped
from coterie.messaging import Message
from coterie.runtime import Agent, on


class Halt(Message):
    """Stop what can be stopped: an asynchronous function, at its next await. A synchronous one sees it by itself."""


class AttemptWorker(Agent):
    """Runs one attempt, tells its outcome, and ends."""

    def __init__(self, attempt: ToolAttempt) -> None:
        self._attempt = attempt
        self._call: asyncio.Task[AttemptOutcome] | None = None

    def on_start(self) -> None:
        """Begin."""
        self.context.create_task(self._work())

    @on
    def halt(self, _message: Halt) -> None:
        """Have the function cancelled, if that is possible."""
        if self._call is not None and self._attempt.callee.is_async:
            self._call.cancel()

    async def _work(self) -> None:
        # A task of its own, which the tool may cancel as it likes: it is told apart from the end of this agent.
        self._call = self.context.create_task(self._outcome())
        if self._attempt.cancelled and self._attempt.callee.is_async:
            self._call.cancel()
        outcome = await self._call
        me = asyncio.current_task()
        if me is not None and me.cancelling():
            # This agent is stopped, with the whole conversation: nothing is known of the attempt.
            raise asyncio.CancelledError
        self._attempt.end(outcome)
        self.context.self_ref.stop(drain=False)

    async def _outcome(self) -> AttemptOutcome:
        attempt = self._attempt
        try:
            value = await attempt.callee.call(ToolContext(attempt), attempt.arguments, self.context.run_blocking)
        except OperationStopped as error:
            return AttemptOutcome(Ending.STOPPED, error=error)
        except asyncio.CancelledError as error:
            # Of its own accord a tool that raises this has failed; asked to, it has stopped.
            return AttemptOutcome(Ending.STOPPED if attempt.cancelled else Ending.RAISED, error=error)
        except BaseException as error:  # noqa: BLE001 - whatever a tool raises is its outcome, SystemExit included
            return AttemptOutcome(Ending.RAISED, error=error)
        return attempt.returned(value)
