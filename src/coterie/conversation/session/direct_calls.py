"""Calls of tools by a program, without a turn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from coterie.conversation.events import Lane
from coterie.conversation.operations.operation import Operation, OperationState
from coterie.conversation.session.scheduler import OperationScheduler
from coterie.conversation.session.session_log import SessionLog
from coterie.conversation.session.tool_calls import PlannedOperation, ToolCallPolicy
from coterie.errors.conversation import CallRefused


class DirectCalls:
    """Makes operations of calls by a program, with the checks that calls of a model have. Only the conversation's thread uses it.

    Their outcomes are for the program, and not told to the user, unless the process ends first.
    """

    def __init__(self, session_log: SessionLog, scheduler: OperationScheduler, calls: ToolCallPolicy) -> None:
        self._session_log = session_log
        self._scheduler = scheduler
        self._calls = calls

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
        self._scheduler.for_program.add(found.operation.number)
        if found.submitted:
            return found.operation
        (taken,) = await self._scheduler.submit(None, [found.operation])
        return taken

    async def outcome(self, operation: Operation) -> Operation:
        """Return an operation once it has ended, or its outcome is unknown."""
        now = self._session_log.operation(operation.number) or operation
        if now.ended or now.state is OperationState.UNKNOWN:
            # It may have been recorded a moment ago. What a program is told is in the store.
            await self._session_log.commit()
            return now
        return await self._scheduler.ending(operation.number)
