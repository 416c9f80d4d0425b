"""A running attempt: its agent, which has a thread and an event loop of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from coterie.conversation.operations.operation import Operation
from coterie.conversation.session.deadlines import AttemptDeadline
from coterie.conversation.tools.attempt import AttemptEnding, AttemptOutcome, AttemptPurpose, ToolAttempt
from coterie.conversation.tools.context import ToolContext
from coterie.conversation.tools.tool import Tool
from coterie.errors import OperationStopped
from coterie.messaging import Message
from coterie.runtime import Agent, AgentRef, on
from coterie.telemetry.spans import NO_SPAN


def arguments_for(tool: Tool, given: Mapping[str, Any], purpose: AttemptPurpose) -> Mapping[str, Any]:
    """Return the arguments of an attempt. Raises `ValueError`, with the reason why the operation fails."""
    lost = tool.arguments.hidden(given)
    if lost and purpose is AttemptPurpose.RUN:
        raise ValueError(f"{', '.join(lost)} is secret and was not kept when the process ended: it has to be asked for again")
    try:
        return tool.arguments.kept(given) if lost else tool.arguments.check(given)[0]
    except ValueError as error:
        raise ValueError(f"its arguments do not fit any more: {error}") from error


class StopAttempt(Message):
    """Cancel an asynchronous function at its next await. A synchronous function must check `context.cancelled`."""


class AttemptWorker(Agent):
    """Runs one attempt, reports its outcome, and stops."""

    records_spans = False

    def __init__(self, attempt: Callable[[], ToolAttempt]) -> None:
        # A function is passed as it is, while the runtime would look through all parts of an object to copy it.
        self._attempt = attempt()
        self._call: asyncio.Task[AttemptOutcome] | None = None

    def on_start(self) -> None:
        """Start the attempt."""
        self._attempt.waits = self.context.measure_waits()
        self.context.create_task(self._work())

    @on
    def halt(self, _message: StopAttempt) -> None:
        """Cancel the function if it is asynchronous."""
        if self._call is not None and self._attempt.callee.is_async:
            self._call.cancel()

    async def _work(self) -> None:
        # A separate task, so that a cancellation by the tool differs from the end of this agent.
        self._call = self.context.create_task(self._outcome())
        if self._attempt.cancelled and self._attempt.callee.is_async:
            self._call.cancel()
        outcome = await self._call
        me = asyncio.current_task()
        if me is not None and me.cancelling():
            # The whole conversation is stopping: the outcome of the attempt is unknown.
            raise asyncio.CancelledError
        self._attempt.end(outcome)
        self.context.self_ref.stop(drain=False)

    async def _outcome(self) -> AttemptOutcome:
        attempt = self._attempt
        try:
            value = await attempt.callee.call(ToolContext(attempt), attempt.arguments, self.context.run_blocking, attempt.begin)
        except OperationStopped as error:
            return AttemptOutcome(AttemptEnding.STOPPED, error=error)
        except asyncio.CancelledError as error:
            # After a cancel request the tool has stopped; without one it has failed.
            return AttemptOutcome(AttemptEnding.STOPPED if attempt.cancelled else AttemptEnding.RAISED, error=error)
        except BaseException as error:  # noqa: BLE001 - any exception of a tool is its outcome, SystemExit included
            return AttemptOutcome(AttemptEnding.RAISED, error=error)
        return attempt.returned(value)


class RunningAttempt:
    """A running attempt, as the scheduler sees it."""

    __slots__ = ("attempt", "began", "halted", "ref", "serial", "span", "watch", "written")

    def __init__(self, serial: int, attempt: ToolAttempt, began: float) -> None:
        self.serial = serial
        self.attempt = attempt
        self.began = began
        self.ref: AgentRef | None = None
        self.span = NO_SPAN
        self.watch: AttemptDeadline | None = None
        self.written = 0.0
        """Time of the last write of its progress, in seconds of the loop."""
        self.halted = False
        """Whether an orderly end of the process has stopped it."""

    @property
    def operation(self) -> Operation:
        """The operation as it was when the attempt began."""
        return self.attempt.operation

    def stop(self, *, anyway: bool = False) -> bool:
        """Ask the tool to stop; return whether it must."""
        asked = self.attempt.ask_to_stop(anyway=anyway)
        if asked and self.ref is not None:
            self.ref.tell(StopAttempt())
        return asked
