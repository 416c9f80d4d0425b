"""The built-in tools of every conversation: inspect, cancel, queue and resolve operations."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

import msgspec

from coterie.conversation.entries import HandoffEntry
from coterie.conversation.events import Lane
from coterie.conversation.operations import machine
from coterie.conversation.operations.descriptions import outcome_line, status_line
from coterie.conversation.operations.operation import CancelAnswer, Operation, OperationState
from coterie.conversation.session.scheduler import OperationScheduler
from coterie.conversation.session.session_log import SessionLog
from coterie.conversation.session.tool_calls import ImmediateResult, PlannedOperation, ToolCallPolicy
from coterie.conversation.tools.schema import ToolArguments, description_of
from coterie.models import ToolCall, ToolDefinition


def _check_status(operation: str = "") -> None:
    """Return the status of an operation: its current step, progress and expected time; or its outcome.

    Args:
        operation: its id, such as op-3; without it, all operations that have not ended
    """


def _cancel(operation: str) -> None:
    """Ask an operation to stop. The answer is "stopped before effect", "too late" or "compensating".

    Args:
        operation: its id, such as op-3
    """


def _list() -> None:
    """List the operations that run, those that wait in the order of the queue, and the latest that ended."""


def _request(tool: str, arguments: dict[str, Any]) -> None:
    """Queue a call of another tool while something is running. It begins when nothing is in its way.

    Args:
        tool: the name of the tool
        arguments: its arguments
    """


def _resolve(operation: str, outcome: Literal["succeeded", "failed", "retry"]) -> None:
    """Settle an operation whose outcome is unknown, by the user's statement. Never guess.

    Args:
        operation: its id, such as op-3
        outcome: succeeded if it took effect, failed if it did not, retry if it is to be tried again
    """


def _read_result(result: str, start: int = 0, length: int = 4_000) -> None:
    """Read a part of a result that is shortened in the conversation.

    Args:
        result: its id, as the note in the shortened result has it
        start: the first character to read, from 0
        length: how many characters to read
    """


class BuiltinTool:
    """A built-in tool: its definition, and the check of its arguments."""

    def __init__(self, name: str, function: Any) -> None:
        self.name = name
        self.arguments = ToolArguments(function, {}, name)
        self.definition = ToolDefinition(name, description_of(function), self.arguments.schema)


BUILTIN_TOOLS: Mapping[str, BuiltinTool] = MappingProxyType(
    {
        name: BuiltinTool(name, function)
        for name, function in {
            "check_status": _check_status,
            "cancel": _cancel,
            "list": _list,
            "request": _request,
            "resolve": _resolve,
            "read_result": _read_result,
        }.items()
    }
)


def definitions(lane: Lane, tools: list[str], *, unknown: bool) -> list[ToolDefinition]:
    """Return the built-in tools of a lane; `tools` are the names that `request` accepts."""
    names = ["check_status", "cancel", "list"]
    if lane is Lane.SECOND and tools:
        names.append("request")
    if unknown:
        names.append("resolve")
    return [BUILTIN_TOOLS[name].definition for name in names]


_PART = 8_000
"""Characters that one call reads of a result at most."""
_SHOWN = 5
"""Ended operations in a list."""
_OUTCOMES = {
    "succeeded": OperationState.SUCCEEDED,
    "failed": OperationState.FAILED,
    "retry": OperationState.QUEUED,
}


class BuiltinCommands:
    """Executes the calls of built-in tools. Only the conversation's thread uses it."""

    def __init__(self, session_log: SessionLog, scheduler: OperationScheduler, calls: ToolCallPolicy) -> None:
        self._session_log = session_log
        self._scheduler = scheduler
        self._calls = calls

    async def execute(self, call: ToolCall, *, turn: int, lane: Lane) -> ImmediateResult:
        """Execute a call, and return the reply for the model."""
        target = self._session_log.handoffs.get(call.name)
        if call.name not in BUILTIN_TOOLS:
            reason = call.arguments.get("reason", "")
            return await self._hand_over(target, reason if isinstance(reason, str) else "", turn)
        try:
            given, _ = BUILTIN_TOOLS[call.name].arguments.check(call.arguments)
        except ValueError as error:
            return ImmediateResult(f"the arguments do not fit: {error}. Mend them and call again.", failed=True, mistaken=True)
        if call.name in ("read_result", "request"):
            return self._read(given) if call.name == "read_result" else await self._request(given, call, turn, lane)
        if not given.get("operation"):
            return ImmediateResult(self._list())
        number = number_of(given["operation"])
        operation = self.find(number) if number is not None else None
        if operation is None:
            known = ", ".join(each.id for each in self._session_log.operations.values() if not each.ended) or "none"
            return ImmediateResult(
                f"there is no operation {given['operation']!r}; under way: {known}", failed=True, mistaken=True
            )
        return await self._about(call.name, operation, given.get("outcome", ""))

    async def _about(self, name: str, operation: Operation, outcome: str) -> ImmediateResult:
        match name:
            case "resolve":
                return await self._resolve(operation, outcome)
            case "cancel":
                return await self._cancel(operation)
        return ImmediateResult(status_line(operation, self._scheduler.queue, self._session_log.now))

    def find(self, number: int) -> Operation | None:
        """Return any operation of this conversation, or None."""
        return self._session_log.operation(number)

    async def _hand_over(self, target: str | None, reason: str, turn: int) -> ImmediateResult:
        """Let another assistant speak. In one turn none speaks twice, so that assistants do not pass a question on forever."""
        team, source = self._session_log.state.team, self._session_log.speaker
        if team is None or target is None:
            return ImmediateResult(f"not done: {source} speaks now already", failed=True)
        spoken = {each.source for each in self._session_log.entries() if isinstance(each, HandoffEntry) and each.turn == turn}
        if target in spoken:
            return ImmediateResult(
                f"{target} has handed this question over already: answer the user yourself, or say that you cannot", failed=True
            )
        await self._session_log.record(HandoffEntry(turn=turn, source=source, target=target, reason=reason))
        return ImmediateResult(f"{target} speaks from now on. The user was told.{f' The reason: {reason}' if reason else ''}")

    async def _cancel(self, operation: Operation) -> ImmediateResult:
        if operation.number not in self._session_log.operations:
            return ImmediateResult(f"{CancelAnswer.TOO_LATE}: {outcome_line(operation)}")
        answer = await self._scheduler.cancel(operation.number)
        now = self.find(operation.number)
        if answer is CancelAnswer.STOPPED and now is not None and not now.delivered and now.ended:
            # The reply to this call delivers the outcome.
            await self._session_log.record(operations=[machine.change(now, delivered=True)], tell=False)
        more = f" {outcome_line(now)}" if now is not None and now.ended else ""
        return ImmediateResult(f"{operation.id}: {answer}.{more}")

    async def _resolve(self, operation: Operation, outcome: str) -> ImmediateResult:
        if operation.state is not OperationState.UNKNOWN:
            return ImmediateResult(f"its outcome is known: {outcome_line(operation)}", failed=True)
        after = await self._scheduler.resolve(operation.number, _OUTCOMES[outcome], "")
        return ImmediateResult(outcome_line(after) if after.ended else f"{after.id} {after.tool} is tried again")

    def _read(self, given: dict[str, Any]) -> ImmediateResult:
        name, start = str(given["result"]), max(0, int(given["start"]))
        text = self._session_log.result(name)
        if text is None:
            return ImmediateResult(f"there is no result {name!r}: use the id in the note", failed=True, mistaken=True)
        length = min(max(1, int(given["length"])), _PART)
        end = min(len(text), start + length)
        more = f"; read on from {end}" if end < len(text) else ""
        return ImmediateResult(f"{text[start:end]}\n[characters {start} to {end} of {len(text)}{more}]")

    async def _request(self, given: dict[str, Any], call: ToolCall, turn: int, lane: Lane) -> ImmediateResult:
        found = await self._calls.decide(given["tool"], given["arguments"], turn=turn, call=call.id, lane=lane, requested=True)
        if not isinstance(found, PlannedOperation):
            return found
        if found.submitted:
            await self._scheduler.to_background([found.operation.number])
            taken = [self._session_log.operations[found.operation.number]]
        else:
            taken = await self._scheduler.submit(None, [msgspec.structs.replace(found.operation, background=True)])
        return ImmediateResult(
            f"Taken: {status_line(taken[0], self._scheduler.queue, self._session_log.now)}. The user will be told the result by itself."
        )

    def _list(self) -> str:
        running = [each for each in self._scheduler.unfinished if each.state is not OperationState.QUEUED]
        ended = [
            each for each in self._session_log.host.journal.ledger.latest(self._session_log.state.key, _SHOWN) if each.ended
        ]
        unknown = [each for each in self._session_log.operations.values() if each.state.needs_person]
        queue = self._scheduler.queue
        lines = [f"- {status_line(each, queue, self._session_log.now)}" for each in [*running, *queue, *unknown, *ended]]
        return "\n".join(lines) or "There are no operations."


def number_of(operation: Operation | str | int) -> int | None:
    """Return the number of an operation given as value, number, or id; None if the id is invalid."""
    if isinstance(operation, Operation):
        return operation.number
    if isinstance(operation, int):
        return operation
    digits = str(operation).strip().removeprefix("op-").removeprefix("#")
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 19 else None  # noqa: PLR2004 - 64 bits
