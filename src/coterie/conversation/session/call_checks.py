"""Check a call against its tool: arguments, guard, question and the person who may approve it. It decides nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from coterie.conversation.operations.operation import Operation
from coterie.conversation.session.attempts import arguments_for
from coterie.conversation.session.deadlines import call_within
from coterie.conversation.session.session_log import SessionLog
from coterie.conversation.tools.attempt import AttemptPurpose, ToolAttempt
from coterie.conversation.tools.context import ToolContext
from coterie.conversation.tools.function import ToolFunction
from coterie.conversation.tools.redaction import without_secrets
from coterie.conversation.tools.schema import texts_of
from coterie.conversation.tools.tool import Tool
from coterie.errors import describe
from coterie.runtime import Context


class CallChecks:
    """Makes the draft of an operation, and calls the functions of a tool that judge it. Only the conversation's thread uses it."""

    def __init__(self, session_log: SessionLog, context: Context) -> None:
        self._session_log = session_log
        self._host = session_log.host
        self._context = context

    def draft(
        self, tool: Tool, arguments: Mapping[str, Any], plain: Mapping[str, Any], given: Any, turn: int, call: str
    ) -> Operation:
        """Return the draft of an operation. Raises whatever the tool's own functions raise."""
        estimate = self._host.durations.estimate(tool.name, tool.expected)
        secrets = list(texts_of([given.get(secret) for secret in tool.arguments.secrets]))
        return Operation(
            number=self._session_log.last_operation + 1,
            tool=tool.name,
            arguments=plain,
            effect=tool.effect,
            resources=tuple(without_secrets(each, secrets, distinct=False) for each in tool.resources(arguments)),
            scope=tool.scope,
            key=without_secrets(tool.key(arguments), secrets, distinct=True),
            turn=turn,
            call=call,
            estimate=estimate.median if estimate is not None else None,
            created_at=self._session_log.now,
        )

    async def guard(self, tool: Tool, operation: Operation, arguments: Mapping[str, Any] | None = None) -> str:
        """Return the reason for which the tool's guard refuses a call, or an empty string.

        Without `arguments` those of the operation are used, with None in place of secrets.
        """
        if tool.guard is None:
            return ""
        try:
            if arguments is None:
                arguments = arguments_for(tool, operation.arguments, AttemptPurpose.CHECK)
            why = await self.call_beside(tool.guard, operation, arguments)
        except Exception as error:  # noqa: BLE001 - a guard that raises refuses the call
            return f"the guard could not decide whether this is allowed: {describe(error)}"
        return str(why) if why else ""

    async def question(self, tool: Tool, operation: Operation, arguments: Mapping[str, Any]) -> str:
        """Return the question for the consent of a person. Raises whatever the tool's function raises."""
        if tool.asks is not None:
            return str(await self.call_beside(tool.asks, operation, arguments))
        return tool.confirm if isinstance(tool.confirm, str) else f"really {tool.name.replace('_', ' ')}?"

    async def objection(self, tool: Tool, operation: Operation, person: str) -> str:
        """Return the reason for which a person may not decide on an operation, or an empty string."""
        if tool.approver is None:
            return ""
        try:
            allowed = await self.call_beside(tool.approver, operation, {"operation": operation, "person": person})
        except Exception as error:  # noqa: BLE001 - a function that raises permits nobody
            return f"it cannot be found out whether they may: {describe(error)}"
        if isinstance(allowed, str):
            return allowed
        return "" if allowed is True else "the tool's approver does not permit it"

    async def call_beside(self, callee: ToolFunction, operation: Operation, arguments: Mapping[str, Any]) -> Any:
        """Call a function of a tool beside the operation itself."""
        attempt = ToolAttempt(
            operation, AttemptPurpose.CHECK, callee, arguments, self._session_log.state,
            key=operation.key, checkpoint=None, on_begin=_ignore, on_progress=_ignore, on_end=_ignore,
        )  # fmt: skip
        return await call_within(
            self._host.settings.model_timeout,
            self._context.measure_waits(),
            lambda begun: callee.call(ToolContext(attempt), arguments, self._context.run_blocking, begun),
        )


def _ignore(_attempt: ToolAttempt) -> None:
    """Ignore progress and end, which a guard does not report."""
