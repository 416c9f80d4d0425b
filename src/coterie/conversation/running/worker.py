"""The agent that runs one attempt: a thread and an event loop of its own, so that what blocks in it blocks nobody else."""

from __future__ import annotations

import asyncio

from coterie.conversation.tools.attempt import Attempt, Ending, Outcome
from coterie.conversation.tools.context import ToolContext
from coterie.errors import OperationStopped
from coterie.messaging import Message
from coterie.runtime import Agent, on


class Halt(Message):
    """Stop what can be stopped: an asynchronous function, at its next await. A synchronous one sees it by itself."""


class Worker(Agent):
    """Runs one attempt, tells its outcome, and ends."""

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt
        self._task: asyncio.Task[None] | None = None

    def on_start(self) -> None:
        """Begin."""
        self._task = self.context.create_task(self._work())

    @on
    def halt(self, _message: Halt) -> None:
        """Have the function cancelled, if that is possible."""
        if self._task is not None and self._attempt.callee.is_async:
            self._task.cancel()

    async def _work(self) -> None:
        attempt = self._attempt
        try:
            value = await attempt.callee.call(ToolContext(attempt), attempt.arguments, self.context.run_blocking)
            outcome = Outcome(Ending.RETURNED, value)
        except OperationStopped as error:
            outcome = Outcome(Ending.STOPPED, error=error)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling() and not attempt.cancelled:
                # It is this agent that is stopped, with the whole conversation: nothing is known of the attempt.
                raise
            # Of its own accord a tool that raises this has failed; asked to, it has stopped.
            outcome = Outcome(Ending.STOPPED if attempt.cancelled else Ending.RAISED, error=error)
        except BaseException as error:  # noqa: BLE001 - whatever a tool raises is its outcome, SystemExit included
            outcome = Outcome(Ending.RAISED, error=error)
        attempt.end(outcome)
        self.context.self_ref.stop(drain=False)
