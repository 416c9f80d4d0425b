"""Decide on the tool calls of a model: refuse one, answer it at once, or make it an operation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from coterie.conversation.entries import ConsentRequestedEntry
from coterie.conversation.events import Lane
from coterie.conversation.operations.descriptions import outcome_line
from coterie.conversation.operations.machine import active_writer, overlap
from coterie.conversation.operations.operation import Effect, Operation, OperationState
from coterie.conversation.session.deadlines import call_within
from coterie.conversation.session.scheduler import OperationScheduler
from coterie.conversation.session.session_log import SessionLog
from coterie.conversation.tools.attempt import AttemptPurpose, ToolAttempt
from coterie.conversation.tools.context import ToolContext
from coterie.conversation.tools.function import ToolFunction
from coterie.conversation.tools.redaction import without_secrets
from coterie.conversation.tools.schema import texts_of
from coterie.conversation.tools.tool import Tool
from coterie.errors import describe
from coterie.models import ToolCall
from coterie.runtime import Context


def lane_of(operations: Iterable[Operation]) -> Lane:
    """Return the lane of a turn that starts now: the second while an operation is queued or running."""
    busy = any(not each.ended and each.state is not OperationState.UNKNOWN for each in operations)
    return Lane.SECOND if busy else Lane.MAIN


def tools_for_lane(tools: Mapping[str, Tool], lane: Lane) -> list[Tool]:
    """Return the tools that a lane offers to the model."""
    return [each for each in tools.values() if each.offered and (lane is Lane.MAIN or each.effect is Effect.READ)]


def refusal(
    tool: Tool,
    resources: tuple[str, ...],
    lane: Lane,
    operations: Iterable[Operation],
    blocking: Iterable[Operation],
    *,
    requested: bool,
) -> str:
    """Return the reason to refuse a call, for the model; an empty string if it is allowed.

    `blocking` are abandoned attempts that still run, and writes of unknown outcome. `requested` is a call that asks for
    the queue, which every lane allows.
    """
    for each in blocking:
        harmless = tool.effect is Effect.READ and each.state is OperationState.UNKNOWN
        if overlap(each.resources, resources) and not harmless and (tool.effect is Effect.WRITE or each.effect is Effect.WRITE):
            if each.state is OperationState.UNKNOWN:
                return (
                    f"{each.id} {each.tool} touches the same, and it is unknown whether it took effect: "
                    "ask the user, and tell what they say by resolve"
                )
            return (
                f"{each.id} {each.tool} was given up but still runs, and touches the same: this is not possible before it ends"
            )
    if lane is Lane.MAIN or requested:
        return ""
    if tool.effect is Effect.WRITE:
        return f"{tool.name} changes something, and something else is running: queue it with request, or wait"
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


class PlannedOperation(msgspec.Struct, frozen=True):
    """A call that becomes an operation."""

    operation: Operation
    patience: float
    """Seconds that the turn waits for the operation."""


class ToolCallPolicy:
    """Decides on calls by schema, lane, guard, consent of the user and idempotency key.

    Only the conversation's thread uses it.
    """

    def __init__(self, session_log: SessionLog, scheduler: OperationScheduler, context: Context) -> None:
        self._session_log = session_log
        self._host = session_log.host
        self._scheduler = scheduler
        self._context = context

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
        why = why or await self._ask_guard(tool, operation, arguments)
        if why:
            return self._refused(name, why)
        if tool.confirm and not self._session_log.take_consent(name, operation.arguments, turn):
            return await self._request_consent(tool, operation, arguments, turn)
        number = self._session_log.new_operation()
        # A read in the second lane goes to the front of the queue: no running operation writes its resources.
        place = 0 if lane is Lane.SECOND and tool.effect is Effect.READ else number
        operation = msgspec.structs.replace(operation, number=number, place=place)
        if tool.arguments.hidden(operation.arguments):
            assert isinstance(given, Mapping)
            self._scheduler.attempts.hold_secrets(number, given)
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
        tool = self._host.tools.get(name)
        if tool is None or not tool.offered:
            known = ", ".join(each.name for each in self._host.tools.values() if each.offered) or "none"
            return self._refused(name, f"there is no tool {name!r}; there are: {known}", mistaken=True)
        try:
            arguments, plain = tool.arguments.check(given)
        except ValueError as error:
            return self._refused(name, f"the arguments do not fit: {error}. Mend them and call again.", mistaken=True)
        try:
            return tool, self._draft(tool, arguments, plain, given, turn, call), arguments
        except Exception as error:  # noqa: BLE001 - the tool's own functions may raise anything; the model gets the error
            return self._refused(name, f"the call cannot be checked: {describe(error)}")

    def _reason_to_refuse(
        self, tool: Tool, operation: Operation, lane: Lane, drafts: Sequence[PlannedOperation], *, requested: bool
    ) -> str:
        """Return the reason to refuse a call now, or an empty string."""
        unfinished = [*self._scheduler.unfinished, *(draft.operation for draft in drafts)]
        why = refusal(tool, operation.resources, lane, unfinished, self._scheduler.blocking, requested=requested)
        if not why and len(unfinished) >= self._host.settings.queue:
            why = f"{len(unfinished)} operations are under way already: wait until one has ended, or cancel one"
        return why

    async def _request_consent(
        self, tool: Tool, operation: Operation, arguments: Mapping[str, Any], turn: int
    ) -> ImmediateResult:
        question = tool.confirm if isinstance(tool.confirm, str) else f"really {tool.name.replace('_', ' ')}?"
        if tool.asks is not None:
            try:
                question = str(await self._call_beside(tool.asks, operation, arguments))
            except Exception as error:  # noqa: BLE001 - without a question there is no consent, so the call is refused
                return self._refused(tool.name, describe(error))
        await self._session_log.record(ConsentRequestedEntry(turn=turn, tool=tool.name, arguments=operation.arguments))
        return ImmediateResult(
            f"Not done yet: the user must agree first. Ask: {question} When the user has agreed in a later message, "
            "make the same call again, with the same arguments."
        )

    def _draft(
        self, tool: Tool, arguments: Mapping[str, Any], plain: Mapping[str, Any], given: Any, turn: int, call: str
    ) -> Operation:
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
        if before.ended or before.state is OperationState.UNKNOWN:
            return ImmediateResult(f"This was called before. {outcome_line(before)}")
        return ImmediateResult(f"This was called before, and goes on as {before.id}; the user will be told its result.")

    async def _ask_guard(self, tool: Tool, operation: Operation, arguments: Mapping[str, Any]) -> str:
        if tool.guard is None:
            return ""
        try:
            why = await self._call_beside(tool.guard, operation, arguments)
        except Exception as error:  # noqa: BLE001 - a guard that raises refuses the call
            return f"the guard could not decide whether this is allowed: {describe(error)}"
        return str(why) if why else ""

    async def _call_beside(self, callee: ToolFunction, operation: Operation, arguments: Mapping[str, Any]) -> Any:
        """Call a tool's `guard` or `confirm` function before the call becomes an operation."""
        attempt = ToolAttempt(
            operation, AttemptPurpose.CHECK, callee, arguments, self._session_log.state,
            key=operation.key, checkpoint=None, on_begin=_ignore, on_progress=_ignore, on_end=_ignore,
        )  # fmt: skip
        return await call_within(
            self._host.settings.model_timeout,
            self._context.measure_waits(),
            lambda begun: callee.call(ToolContext(attempt), arguments, self._context.run_blocking, begun),
        )

    def _refused(self, name: str, why: str, *, mistaken: bool = False) -> ImmediateResult:
        if name in self._host.tools:
            self._host.telemetry.count_tool(name, "refused")
        return ImmediateResult(why, failed=True, mistaken=mistaken)


def _ignore(_attempt: ToolAttempt) -> None:
    """Ignore progress and end, which a guard does not report."""
