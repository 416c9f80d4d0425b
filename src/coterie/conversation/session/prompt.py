"""The prompt as a pure function of the log.

In every prompt each tool call is followed by its result, by construction: calls are shown batch by batch, and each batch
is followed by one result for every call in it: the result in the log, or a note that the call was interrupted.
"""

from __future__ import annotations

from collections.abc import Iterable

from coterie.conversation.entries import (
    ConsentRequestedEntry,
    ConversationEntry,
    DeliveredEntry,
    HandoffEntry,
    OperationEndedEntry,
    ToolCallsEntry,
    ToolResultEntry,
    TurnEndedEntry,
    UserMessageEntry,
)
from coterie.conversation.operations.descriptions import outcome_line
from coterie.models import PromptMessage, TextMessage, ToolCall, ToolResult

STATUS = "check_status"
"""The tool under whose name outcomes of background operations are shown."""
INTERRUPTED = "It was interrupted, and no result of it is known."


def project(
    entries: Iterable[ConversationEntry], *, turn: int | None = None, limit: int = 40, budget: int | None = None
) -> tuple[PromptMessage, ...]:
    """Return the prompt of a log: its latest `limit` turns and deliveries, oldest first, in at most `budget` characters.

    `turn` is the current turn; its question is the last one, and later questions are not shown yet. A question stands
    where its turn started, so an answer always follows its question.
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
                entry,
                UserMessageEntry
                | ToolResultEntry
                | ConsentRequestedEntry
                | HandoffEntry
                | OperationEndedEntry
                | DeliveredEntry,
            )
    if turn is not None and turn in questions:
        # Entries from the middle of the turn stand before it, so that the prompt ends with the question to answer.
        begun = units.pop(("turn", turn), [])
        units["turn", turn] = begun or _question(questions[turn])
    latest = list(units.values())[-limit:]
    if budget is not None:
        latest = _cut(latest, budget)
    return tuple(exchange for unit in latest for exchange in unit)


def size(messages: Iterable[PromptMessage]) -> int:
    """Return the length of messages in characters, roughly."""
    total = 0
    for each in messages:
        if isinstance(each, ToolResult):
            total += len(each.content)
        else:
            total += len(each.text) if isinstance(each, TextMessage) else len(str(each.arguments))
    return total


def _cut(units: list[list[PromptMessage]], budget: int) -> list[list[PromptMessage]]:
    """Return the latest units that have at most `budget` characters together.

    The last is always kept. If it is too long by itself, its results are cut to equal shares of the budget.
    """
    kept: list[list[PromptMessage]] = []
    left = budget
    for unit in reversed(units):
        left -= size(unit)
        if kept and left < 0:
            break
        kept.insert(0, unit)
    results = sum(isinstance(each, ToolResult) for each in kept[-1]) if kept else 0
    if len(kept) == 1 and size(kept[0]) > budget and results:
        share = budget // (results + 1)
        kept[0] = [_shortened(each, share) if isinstance(each, ToolResult) else each for each in kept[0]]
    return kept


def _shortened(result: ToolResult, share: int) -> ToolResult:
    if len(result.content) <= share:
        return result
    content = f"{result.content[:share]}\n[cut: the result has {len(result.content)} characters]"
    return ToolResult(result.id, result.name, content, failed=result.failed)


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
