"""What is done about a conversation that ended in the middle: nothing runs again that may have run."""

from __future__ import annotations

from coterie.conversation.entries import ConversationEntry, OperationEndedEntry, ToolCallsEntry, ToolResultEntry
from coterie.conversation.operations import machine
from coterie.conversation.operations.descriptions import outcome_line
from coterie.conversation.operations.operation import Operation, OperationState
from coterie.conversation.session.prompt import INTERRUPTED
from coterie.conversation.session.scheduler import OperationScheduler
from coterie.conversation.session.session_log import SessionLog
from coterie.conversation.tools.attempt import AttemptPurpose

_S = OperationState


async def recover(session_log: SessionLog, scheduler: OperationScheduler) -> None:
    """Bring a conversation that was just opened to where it can go on.

    What had run and not ended is of unknown outcome, until the tool's own check tells; without one the user is asked.
    What had only been queued is still to be done. A call whose turn never heard of its outcome hears of it now.
    """
    entries: list[ConversationEntry] = []
    changed: dict[int, Operation] = {}
    for operation in session_log.operations.values():
        if operation.state in (_S.RUNNING, _S.CANCELLING):
            changed[operation.number] = lost = machine.mark_unknown(operation)
            entries.append(OperationEndedEntry(operation=lost))
            session_log.host.telemetry.count_tool(operation.tool, "unknown")
        elif operation.state is _S.QUEUED and not operation.background:
            changed[operation.number] = machine.change(operation, background=True)
    for returned, heard in _missing_results(session_log, changed):
        entries.append(returned)
        if heard is not None:
            changed[heard.number] = heard
    for operation in session_log.operations.values():
        now = changed.get(operation.number, operation)
        if now.ended and not now.delivered and not now.background:
            # It ended for a turn that cannot hear of it any more.
            changed[now.number] = machine.change(now, background=True)
    if entries or changed:
        # An operation may have been changed twice; it is written as one change.
        await session_log.record(
            *entries, operations=[_one_step(each, session_log.operations[each.number]) for each in changed.values()]
        )
    _reconcile(session_log, scheduler)
    scheduler.schedule()


def _reconcile(session_log: SessionLog, scheduler: OperationScheduler) -> None:
    """Have the tools' own checks find out what became of operations of unknown outcome."""
    for operation in list(session_log.operations.values()):
        tool = session_log.host.tools.get(operation.tool)
        if operation.state is _S.UNKNOWN and tool is not None and tool.check is not None:
            scheduler.checking.add(operation.number)
            scheduler.launch(operation, AttemptPurpose.CHECK)


def _missing_results(session_log: SessionLog, changed: dict[int, Operation]) -> list[tuple[ToolResultEntry, Operation | None]]:
    """Return the results of calls that the log has none of, with their operations as they are when that is told."""
    log = session_log.entries()
    heard = {each.call for each in log if isinstance(each, ToolResultEntry)}
    found: list[tuple[ToolResultEntry, Operation | None]] = []
    by_call = {each.call: changed.get(each.number, each) for each in session_log.operations.values()}
    for entry in log:
        if not isinstance(entry, ToolCallsEntry):
            continue
        for call in entry.calls:
            if call.id in heard:
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
    """Return the operation as one change away from what is written."""
    return machine.change(before, **{name: getattr(after, name) for name in before.__struct_fields__ if name != "epoch"})
