"""Calls of tools by a program, without a turn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from coterie.conversation.events import Lane
from coterie.conversation.operations import machine
from coterie.conversation.operations.operation import Operation, OperationState
from coterie.conversation.session.scheduler import OperationScheduler
from coterie.conversation.session.session_log import SessionLog
from coterie.conversation.session.tool_calls import PlannedOperation, ToolCallPolicy
from coterie.errors.conversation import CallRefused


class DirectCalls:
    """Makes operations of calls by a program, with the checks that calls of a model have. Only the conversation's thread uses it.

    Their outcomes are for the program, and not told to the user, unless the process ends first. `spawn` runs a function as a task.
    """

    def __init__(
        self, session_log: SessionLog, scheduler: OperationScheduler, calls: ToolCallPolicy, spawn: Callable[..., object]
    ) -> None:
        self._session_log = session_log
        self._scheduler = scheduler
        self._calls = calls
        self._spawn = spawn

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> Operation:
        """Return the operation of a call, which may wait for its resources or for approval. Raises `CallRefused`."""
        found = await self._calls.decide(
            tool, arguments, turn=0, call=f"direct-{self._session_log.next_sequence}", lane=Lane.MAIN, requested=True
        )
        if not isinstance(found, PlannedOperation):
            operation = self._session_log.operation(found.operation) if found.operation is not None else None
            if operation is None:
                raise CallRefused(tool, found.content)
            return operation
        taken = found.operation
        if not found.submitted:
            (taken,) = await self._scheduler.submit(None, [taken])
        self._spawn(self._deliver_nothing, taken.number)
        return taken

    async def outcome(self, operation: Operation) -> Operation:
        """Return an operation once it has ended, or its outcome is unknown."""
        now = self._session_log.operation(operation.number) or operation
        if now.ended or now.state is OperationState.UNKNOWN:
            return now
        return await self._scheduler.ending(operation.number)

    async def _deliver_nothing(self, number: int) -> None:
        operation = self._session_log.operations.get(number)
        ended = operation if operation is None or operation.ended else await self._scheduler.ending(number)
        now = self._session_log.operations.get(number)
        if ended is not None and now is not None and now.ended and not now.background:
            await self._session_log.record(operations=[machine.change(now, delivered=True)], tell=False)
