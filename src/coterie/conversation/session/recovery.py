"""Recovery of a conversation after a crash. No operation that may have taken effect runs again."""

from __future__ import annotations

import msgspec

from coterie.conversation.entries import ConversationEntry, OperationEndedEntry, ToolCallsEntry, ToolResultEntry
from coterie.conversation.operations import machine
from coterie.conversation.operations.descriptions import outcome_line
from coterie.conversation.operations.operation import Effect, Operation, OperationState
from coterie.conversation.session.frontend import unanswered_calls
from coterie.conversation.session.prompt import INTERRUPTED
from coterie.conversation.session.scheduler import OperationScheduler
from coterie.conversation.session.session_log import SessionLog
from coterie.conversation.tools.attempt import AttemptPurpose
from coterie.conversation.tools.outcomes import HALTED

_S = OperationState
_INTERRUPTIONS = 3
"""Maximum crashes of the process during attempts of an operation that may repeat: it may be the cause. After them a read has
failed, and the outcome of a write is unknown. An end of the process after SIGTERM does not count."""


async def recover(session_log: SessionLog, scheduler: OperationScheduler) -> None:
    """Restore the operations of a conversation that was just opened.

    A write that was running gets an unknown outcome until the tool's `check` tells; without a `check` the user is asked. A
    read that was running runs again. Queued operations stay queued. A call without a result in the log gets one.
    """
    entries: list[ConversationEntry] = []
    changed: dict[int, Operation] = {}
    _settle_interrupted(session_log, entries, changed)
    for returned, heard in _missing_results(session_log, changed):
        entries.append(returned)
        if heard is not None:
            changed[heard.number] = heard
    for operation in session_log.operations.values():
        now = changed.get(operation.number, operation)
        if now.ended and not now.delivered and not now.background:
            # Its turn is over, so the outcome is delivered.
            changed[now.number] = machine.change(now, background=True)
    if entries or changed:
        # An operation may have changed twice; both changes are one write.
        await session_log.record(
            *entries, operations=[_one_step(each, session_log.operations[each.number]) for each in changed.values()]
        )
    _reconcile(session_log, scheduler)
    scheduler.schedule()


def _settle_interrupted(session_log: SessionLog, entries: list[ConversationEntry], changed: dict[int, Operation]) -> None:
    """Add the next states of operations that had not ended."""
    for operation in session_log.operations.values():
        if operation.effect is Effect.READ and operation.state in (_S.RUNNING, _S.CANCELLING):
            changed[operation.number] = read = _interrupted_read(operation, session_log.now)
            if read.ended:
                entries.append(OperationEndedEntry(operation=read))
        elif operation.state is _S.RUNNING and operation.halted and not _has_check(session_log, operation):
            changed[operation.number] = halted = machine.end(operation, _S.CANCELLED, session_log.now, detail=HALTED)
            entries.append(OperationEndedEntry(operation=halted))
        elif (
            operation.state is _S.RUNNING and _interruptions(operation) < _INTERRUPTIONS and _may_repeat(session_log, operation)
        ):
            changed[operation.number] = _run_again(operation)
        elif operation.state in (_S.RUNNING, _S.CANCELLING):
            changed[operation.number] = lost = machine.mark_unknown(operation)
            entries.append(OperationEndedEntry(operation=lost))
            session_log.host.telemetry.count_tool(operation.tool, "unknown")
        elif operation.state is _S.QUEUED and not operation.background:
            changed[operation.number] = machine.change(operation, background=True)


def _has_check(session_log: SessionLog, operation: Operation) -> bool:
    tool = session_log.host.tools.get(operation.tool)
    return tool is not None and tool.check is not None


def _may_repeat(session_log: SessionLog, operation: Operation) -> bool:
    """Return whether a write may run twice, whether or not it took effect; a `check` decides better."""
    tool = session_log.host.tools.get(operation.tool)
    return tool is not None and tool.repeatable and tool.check is None


def _interruptions(operation: Operation) -> int:
    """Return the number of crashes during attempts of a running operation, the latest included."""
    return operation.interrupted + (not operation.draining)


def _run_again(operation: Operation) -> Operation:
    again = machine.requeue(operation, "it runs again after a restart")
    return msgspec.structs.replace(again, background=True, interrupted=_interruptions(operation))


def _interrupted_read(operation: Operation, now: float) -> Operation:
    """Return the next state of an interrupted read. It changes nothing, so it runs again without a question to the user."""
    if operation.state is _S.CANCELLING:
        return machine.end(operation, _S.CANCELLED, now)
    if _interruptions(operation) >= _INTERRUPTIONS:
        return machine.end(operation, _S.FAILED, now, f"the process ended {_INTERRUPTIONS} times while it ran")
    return _run_again(operation)


def _reconcile(session_log: SessionLog, scheduler: OperationScheduler) -> None:
    """Start the `check` functions of operations of unknown outcome."""
    for operation in list(session_log.operations.values()):
        tool = session_log.host.tools.get(operation.tool)
        if operation.state is _S.UNKNOWN and tool is not None and tool.check is not None:
            scheduler.checking.add(operation.number)
            scheduler.attempts.launch(operation, AttemptPurpose.CHECK)


def _missing_results(session_log: SessionLog, changed: dict[int, Operation]) -> list[tuple[ToolResultEntry, Operation | None]]:
    """Return results for the calls without one in the log, each with its operation as it is after the write."""
    log = session_log.entries()
    heard = {each.call for each in log if isinstance(each, ToolResultEntry)}
    found: list[tuple[ToolResultEntry, Operation | None]] = []
    # Results of the front end's own tools may still come.
    awaited = {call.id for said in session_log.questions() for call in unanswered_calls(session_log, said)}
    by_call = {each.call: changed.get(each.number, each) for each in session_log.operations.values()}
    for entry in log:
        if not isinstance(entry, ToolCallsEntry):
            continue
        for call in entry.calls:
            if call.id in heard or call.id in awaited:
                continue
            operation = by_call.get(call.id)
            returned = ToolResultEntry(turn=entry.turn, call=call.id, tool=call.name, content=INTERRUPTED, failed=True)
            if operation is not None and not operation.background and operation.ended:
                failed = operation.state is not _S.SUCCEEDED
                content = outcome_line(operation) if failed else operation.content or "Done."
                returned = _with_content(returned, content, failed=failed)
                operation = machine.change(operation, delivered=True)
            elif operation is not None:
                returned = _with_content(returned, outcome_line(operation), failed=False, operation=operation.number)
            found.append((returned, operation))
    return found


def _with_content(returned: ToolResultEntry, content: str, *, failed: bool, operation: int | None = None) -> ToolResultEntry:
    return ToolResultEntry(
        turn=returned.turn, call=returned.call, tool=returned.tool, content=content, failed=failed, operation=operation
    )


def _one_step(after: Operation, before: Operation) -> Operation:
    """Return the operation with all changes as one transition."""
    return machine.change(before, **{name: getattr(after, name) for name in before.__struct_fields__ if name != "epoch"})
