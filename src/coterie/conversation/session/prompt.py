"""The prompt, read off the log: a pure function, so that what a model is shown can be wrong in one place only.

In every prompt each call of a tool is followed by its result, by construction: calls are shown batch by batch, and
behind each batch one result for every call in it, which is the one that the log has, or a word that there is none.
"""

from __future__ import annotations

from collections.abc import Iterable

from coterie.conversation.entries import (
    ConsentRequestedEntry,
    ConversationEntry,
    DeliveredEntry,
    OperationEndedEntry,
    ToolCallsEntry,
    ToolResultEntry,
    TurnEndedEntry,
    UserMessageEntry,
)
from coterie.conversation.operations.descriptions import outcome_line
from coterie.models import PromptMessage, TextMessage, ToolCall, ToolResult

STATUS = "check_status"
"""The tool under whose name outcomes are shown that came by themselves."""
INTERRUPTED = "It was interrupted, and no result of it is known."


def project(entries: Iterable[ConversationEntry], *, turn: int | None = None, limit: int = 40) -> tuple[PromptMessage, ...]:
    """Return what a model is shown of a log: of its latest `limit` turns and deliveries, oldest first.

    `turn` is the one that is being answered; its question comes last among the questions, and later ones are not shown
    yet. A question stands where its answering began, so an answer always follows its question.
    """
    log = list(entries)
    results = {entry.call: entry for entry in log if isinstance(entry, ToolResultEntry)}
    questions = {entry.turn: entry for entry in log if isinstance(entry, UserMessageEntry)}
    units: dict[tuple[str, int], list[PromptMessage]] = {}
    for place, entry in enumerate(log):
        if isinstance(entry, ToolCallsEntry | TurnEndedEntry):
            unit = units.get(("turn", entry.turn))
            if unit is None:
                unit = units["turn", entry.turn] = _question(questions.get(entry.turn))
            if entry.text:
                unit.append(TextMessage("assistant", entry.text))
            if isinstance(entry, ToolCallsEntry):
                unit.extend(entry.calls)
                unit.extend(_result(call, results.get(call.id)) for call in entry.calls)
        elif isinstance(entry, OperationEndedEntry) and entry.operation.background:
            units["ended", place] = _outcome(entry, place)
        elif isinstance(entry, DeliveredEntry) and entry.text:
            units["told", place] = [TextMessage("assistant", entry.text)]
        else:
            assert isinstance(
                entry, UserMessageEntry | ToolResultEntry | ConsentRequestedEntry | OperationEndedEntry | DeliveredEntry
            )
    if turn is not None and turn in questions:
        # What came in the middle of it stands before it, so that the last word is what is to be answered.
        begun = units.pop(("turn", turn), [])
        units["turn", turn] = begun or _question(questions[turn])
    latest = list(units.values())[-limit:]
    return tuple(exchange for unit in latest for exchange in unit)


def _question(said: UserMessageEntry | None) -> list[PromptMessage]:
    return [TextMessage("user", said.text)] if said is not None else []


def _result(call: ToolCall, returned: ToolResultEntry | None) -> ToolResult:
    if returned is None:
        return ToolResult(call.id, call.name, INTERRUPTED, failed=True)
    return ToolResult(call.id, call.name, returned.content, failed=returned.failed)


def _outcome(entry: OperationEndedEntry, place: int) -> list[PromptMessage]:
    operation = entry.operation
    call = f"status-{operation.number}-{operation.epoch}-{place}"
    return [
        ToolCall(call, STATUS, {"operation": operation.id}),
        ToolResult(call, STATUS, outcome_line(operation)),
    ]
