"""Decide on the tool calls of a model: refuse one, answer it at once, or make it an operation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from coterie.conversation.events import Lane
from coterie.conversation.operations.descriptions import outcome_line
from coterie.conversation.operations.machine import active_writer, overlap
from coterie.conversation.operations.operation import Effect, Operation, OperationState
from coterie.conversation.session.approvals import Approvals
from coterie.conversation.session.call_checks import CallChecks
from coterie.conversation.session.scheduler import OperationScheduler
from coterie.conversation.session.session_log import SessionLog
from coterie.conversation.tools.schema import texts_of
from coterie.conversation.tools.tool import Tool
from coterie.errors import TransitionRefused, describe
from coterie.models import ToolCall


def lane_of(operations: Iterable[Operation]) -> Lane:
    """Return the lane of a turn that starts now: the second while an operation is queued or running."""
    busy = any(not each.ended and not each.state.needs_person for each in operations)
    return Lane.SECOND if busy else Lane.MAIN


def tools_for_lane(tools: Mapping[str, Tool], lane: Lane) -> list[Tool]:
    """Return the tools that a lane offers to the model."""
    return [each for each in tools.values() if each.offered and (lane is Lane.MAIN or each.second_lane)]


def refusal(
    tool: Tool,
    resources: tuple[str, ...],
    lane: Lane,
    operations: Iterable[Operation],
    *,
    requested: bool,
) -> str:
    """Return the reason for which a lane refuses a call, for the model; an empty string if it is allowed.

    `requested` is a call that asks for the queue, which every lane allows.
    """
    if lane is Lane.MAIN or requested:
        return ""
    if not tool.second_lane:
        return f"{tool.name} changes something, and something else is running: queue it with request, or wait"
    if tool.effect is Effect.WRITE:
        busy = next((each for each in operations if not each.ended and overlap(each.resources, resources)), None)
        return f"{busy.id} {busy.tool} uses the same: queue it with request, or wait" if busy is not None else ""
    writer = active_writer(operations, resources)
    if writer is not None:
        return f"{writer.id} {writer.tool} is changing what {tool.name} reads: wait for its result, or queue it with request"
    return ""


class ImmediateResult(msgspec.Struct, frozen=True):
    """The reply to a call that becomes no operation."""

    content: str
    failed: bool = False
    mistaken: bool = False
    """True if the call was invalid: unknown tool or wrong arguments."""
    operation: int | None = None
    """The operation that awaits approval, if the call became one."""


class PlannedOperation(msgspec.Struct, frozen=True):
    """A call that becomes an operation."""

    operation: Operation
    patience: float
    """Seconds that the turn waits for the operation."""
    submitted: bool = False
    """True if it is in the ledger already, because a person has approved it."""


class ToolCallPolicy:
    """Decides on calls by schema, lane, guard, consent of the user and idempotency key.

    Only the conversation's thread uses it.
    """

    def __init__(
        self, session_log: SessionLog, scheduler: OperationScheduler, checks: CallChecks, approvals: Approvals
    ) -> None:
        self._session_log = session_log
        self._host = session_log.host
        self._scheduler = scheduler
        self._checks = checks
        self._approvals = approvals

    async def decide(
        self,
        name: str,
        given: object,
        *,
        turn: int,
        call: str,
        lane: Lane,
        drafts: Sequence[PlannedOperation] = (),
        requested: bool = False,
    ) -> ImmediateResult | PlannedOperation:
        """Return the decision on a call. `drafts` are the operations of the same reply that come before it."""
        called = self._host.tools.get(name)
        if called is not None and isinstance(given, Mapping):
            # Whatever the decision, the secret is not needed any more.
            await self._session_log.redact(texts_of([given.get(secret) for secret in called.arguments.secrets]))
        found = self._parse(name, given, turn, call)
        if isinstance(found, ImmediateResult):
            return found
        tool, operation, arguments = found
        before = self._earlier_call(operation.key, drafts)
        if before is not None:
            return before
        why = self._reason_to_refuse(tool, operation, lane, drafts, requested=requested)
        why = why or await self._checks.guard(tool, operation, arguments)
        if why:
            return self._refused(name, why)
        if tool.confirm:
            consented = await self._consented(tool, operation, given, lane=lane)
            return consented or await self._request_consent(tool, operation, arguments, given)
        number = self._session_log.new_operation()
        # A read in the second lane goes to the front of the queue: no running operation writes its resources.
        place = 0 if lane is Lane.SECOND and tool.effect is Effect.READ else number
        operation = msgspec.structs.replace(operation, number=number, place=place)
        self._hold_secrets(tool, operation, given)
        return PlannedOperation(operation, self._patience(tool) if not requested else 0.0)

    def masked(self, call: ToolCall) -> ToolCall:
        """Return a call with its secrets masked, for the log."""
        if call.name == "request" and isinstance(call.arguments.get("arguments"), Mapping):
            inner = self.masked(ToolCall(call.id, str(call.arguments.get("tool")), call.arguments["arguments"]))
            return msgspec.structs.replace(call, arguments={**call.arguments, "arguments": inner.arguments})
        tool = self._host.tools.get(call.name)
        if tool is None or not tool.arguments.secrets:
            return call
        return msgspec.structs.replace(call, arguments=tool.arguments.mask(call.arguments, call.arguments))

    def _parse(
        self, name: str, given: object, turn: int, call: str
    ) -> ImmediateResult | tuple[Tool, Operation, Mapping[str, Any]]:
        """Return the tool of a call, the draft of its operation, and its arguments; or an error for the model."""
        tool = self._session_log.tools.get(name)
        if tool is None or not tool.offered:
            known = ", ".join(each.name for each in self._session_log.tools.values() if each.offered) or "none"
            return self._refused(name, f"there is no tool {name!r}; there are: {known}", mistaken=True)
        try:
            arguments, plain = tool.arguments.check(given)
        except ValueError as error:
            return self._refused(name, f"the arguments do not fit: {error}. Mend them and call again.", mistaken=True)
        try:
            return tool, self._checks.draft(tool, arguments, plain, given, turn, call), arguments
        except Exception as error:  # noqa: BLE001 - the tool's own functions may raise anything; the model gets the error
            return self._refused(name, f"the call cannot be checked: {describe(error)}")

    def _reason_to_refuse(
        self, tool: Tool, operation: Operation, lane: Lane, drafts: Sequence[PlannedOperation], *, requested: bool
    ) -> str:
        """Return the reason to refuse a call now, or an empty string."""
        unfinished = [
            *self._scheduler.unfinished, *(draft.operation for draft in drafts if not draft.submitted)
        ]  # fmt: skip
        why = self._scheduler.objection(tool, operation.resources)
        why = why or refusal(tool, operation.resources, lane, unfinished, requested=requested)
        if not why and len(unfinished) >= self._host.settings.queue:
            why = f"{len(unfinished)} operations are under way already: wait until one has ended, or cancel one"
        return why

    async def _request_consent(
        self, tool: Tool, operation: Operation, arguments: Mapping[str, Any], given: object
    ) -> ImmediateResult:
        if len(self._approvals.awaiting) >= self._host.settings.queue:
            return self._refused(tool.name, "too many operations await approval already: let the user decide on those first")
        try:
            asked = await self._approvals.request(tool, operation, arguments)
        except Exception as error:  # noqa: BLE001 - without a question there is no consent, so the call is refused
            return self._refused(tool.name, describe(error))
        self._hold_secrets(tool, asked, given)
        if asked.elsewhere:
            return ImmediateResult(
                f"Not done yet: {asked.id} needs the approval of another person, who is asked: {asked.question} "
                "Tell the user so. Do not make the call again; the user will be told the result by itself.",
                operation=asked.number,
            )
        return ImmediateResult(
            f"Not done yet: the user must agree first. Ask: {asked.question} When the user has agreed in a later message, "
            f"make the same call again, with the same arguments. If the user does not want it, cancel {asked.id}.",
            operation=asked.number,
        )

    async def _consented(
        self, tool: Tool, operation: Operation, given: object, *, lane: Lane
    ) -> PlannedOperation | ImmediateResult | None:
        """Return the operation that the user has approved in the chat, or a refusal; None without consent."""
        number = self._session_log.take_consent(tool.name, operation.arguments, operation.turn)
        if number is None:
            return None
        awaited = self._session_log.operations[number]
        why = await self._checks.objection(tool, awaited, self._session_log.state.user)
        if why:
            return self._refused(tool.name, f"the user may not approve {awaited.id}: {why}")
        self._hold_secrets(tool, awaited, given)
        first = lane is Lane.SECOND and tool.effect is Effect.READ
        try:
            begun = await self._approvals.accept(number, turn=operation.turn, call=operation.call, first=first)
        except TransitionRefused as error:
            return self._refused(tool.name, str(error))
        self._host.telemetry.count_tool(tool.name, "called")
        return PlannedOperation(begun, self._patience(tool), submitted=True)

    def _hold_secrets(self, tool: Tool, operation: Operation, given: object) -> None:
        if tool.arguments.hidden(operation.arguments):
            assert isinstance(given, Mapping)
            self._scheduler.attempts.hold_secrets(operation.number, given)

    def _patience(self, tool: Tool) -> float:
        """Return the seconds that the turn waits: 0 for a tool that runs long by its own word or by its past runs."""
        patience = tool.patience if tool.patience is not None else self._host.settings.patience
        learnt = self._host.durations.estimate(tool.name)
        too_long = learnt is not None and learnt.learnt and learnt.median > patience
        return 0.0 if tool.long_running or too_long else patience

    def _earlier_call(self, key: str, drafts: Sequence[PlannedOperation]) -> ImmediateResult | None:
        """Return the reply to a call with the idempotency key of an earlier call, or None."""
        if not key:
            return None
        before = next((draft.operation for draft in drafts if draft.operation.key == key), None)
        if before is None:
            before = self._host.journal.ledger.by_key(self._session_log.state.key, key)
        if before is None or (before.ended and before.state is not OperationState.SUCCEEDED):
            return None
        if before.state is OperationState.AWAITING_APPROVAL:
            return None
        if before.ended or before.state is OperationState.UNKNOWN:
            return ImmediateResult(f"This was called before. {outcome_line(before)}")
        return ImmediateResult(f"This was called before, and goes on as {before.id}; the user will be told its result.")

    def _refused(self, name: str, why: str, *, mistaken: bool = False) -> ImmediateResult:
        if name in self._host.tools:
            self._host.telemetry.count_tool(name, "refused")
        return ImmediateResult(why, failed=True, mistaken=mistaken)
