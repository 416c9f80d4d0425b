"""The entries of a conversation's log, and the events of each entry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec

from coterie.conversation.events import (
    AnyConversationEvent,
    ConversationEvent,
    Delivered,
    HandedOver,
    Lane,
    OperationChanged,
    ToolCalled,
    ToolReturned,
    TurnBegan,
    TurnEnded,
    TurnOutcome,
)
from coterie.conversation.operations.operation import Operation
from coterie.models import Attachment, ToolCall, ToolDefinition


class UserMessageEntry(msgspec.Struct, frozen=True, kw_only=True, tag="said"):
    """A message of the user."""

    turn: int
    text: str
    id: str = ""
    """The front end's own id of the message."""
    schema: Mapping[str, Any] | None = None
    """The JSON schema of the answer; None for text."""
    attachments: tuple[Attachment, ...] = ()
    tools: tuple[ToolDefinition, ...] = ()
    """The front end's own tools, which the model may call in the answer."""


class ToolCallsEntry(msgspec.Struct, frozen=True, kw_only=True, tag="called"):
    """The tool calls of one model reply."""

    turn: int
    text: str
    """The text before the calls."""
    calls: tuple[ToolCall, ...]
    """Calls with ids that are unique in the conversation."""


class ToolResultEntry(msgspec.Struct, frozen=True, kw_only=True, tag="returned"):
    """The reply to one tool call."""

    turn: int
    call: str
    tool: str
    content: str
    failed: bool = False
    operation: int | None = None
    """The operation that continues in the background."""


class ConsentRequestedEntry(msgspec.Struct, frozen=True, kw_only=True, tag="confirming"):
    """A call that waits for the user's consent."""

    turn: int
    tool: str
    arguments: Mapping[str, Any]
    operation: Operation | None = None
    """The operation that awaits approval. Entries of earlier versions have none."""
    spoken: bool = True
    """True if the model asked for it in the chat, so that the user can consent there."""


class TurnEndedEntry(msgspec.Struct, frozen=True, kw_only=True, tag="answered"):
    """A turn ended."""

    turn: int
    lane: Lane
    outcome: TurnOutcome
    text: str
    """The text after the last call."""
    whole: str
    """The whole answer."""
    problem: str = ""
    speaker: str = ""
    """The name of the assistant that spoke last, in a team."""


class HandoffEntry(msgspec.Struct, frozen=True, kw_only=True, tag="handed over"):
    """Another assistant of the team speaks from here on."""

    turn: int
    source: str
    target: str
    reason: str = ""


class OperationEndedEntry(msgspec.Struct, frozen=True, kw_only=True, tag="ended"):
    """An operation ended, or its outcome is unknown."""

    operation: Operation


class DeliveredEntry(msgspec.Struct, frozen=True, kw_only=True, tag="told"):
    """A delivery of outcomes to the user between two turns."""

    operations: tuple[Operation, ...]
    text: str
    merged: bool


class SummaryEntry(msgspec.Struct, frozen=True, kw_only=True, tag="summarised"):
    """A summary that replaces a part of the log in prompts. The entries themselves stay."""

    text: str
    first: int
    """The number of the first entry that it replaces, with all summaries before it."""
    until: int
    """The number of the last entry that it replaces."""
    beyond: tuple[int, ...] = ()
    """The turns with entries up to `until` that it does not replace."""

    def replaces(self, last: int, turn: int) -> bool:
        """Return whether it replaces a part of the history: its last entry, and its turn, or 0."""
        return last <= self.until and turn not in self.beyond


ConversationEntry: TypeAlias = (
    UserMessageEntry
    | ToolCallsEntry
    | ToolResultEntry
    | ConsentRequestedEntry
    | HandoffEntry
    | TurnEndedEntry
    | OperationEndedEntry
    | DeliveredEntry
    | SummaryEntry
)

PARTS = 20
"""Bits of an event id that count the events between two log entries."""
FIRST_PART = 1 << 10
"""The first part number of later events; smaller numbers are the events of the entry itself."""


class TextCompleted(ConversationEvent, frozen=True, kw_only=True):
    """The whole of a text that was written in pieces. Internal: readers get its missing rest as `TextWritten`."""

    turn: int
    text: str
    delivery: bool = False


def identify(sequence: int, part: int = 0) -> int:
    """Return the id of an event: of a log entry, or of a later event."""
    return sequence << PARTS | min(part, (1 << PARTS) - 1)


def events_of(sequence: int, at: float, entry: ConversationEntry) -> list[AnyConversationEvent | TextCompleted]:
    """Return the events of a log entry, in the order of their ids."""
    where: dict[str, Any] = {"id": identify(sequence), "at": at}
    found: list[AnyConversationEvent | TextCompleted] = _texts_of(sequence, at, entry)
    match entry:
        case UserMessageEntry():
            found.append(
                TurnBegan(**where, turn=entry.turn, text=entry.text, message=entry.id, attached=len(entry.attachments))
            )
        case ToolCallsEntry():
            found.extend(
                ToolCalled(
                    id=identify(sequence, part), at=at, turn=entry.turn, call=call.id, tool=call.name, arguments=call.arguments
                )
                for part, call in enumerate(entry.calls)
            )
        case ToolResultEntry():
            facts = {name: getattr(entry, name) for name in entry.__struct_fields__}
            found.append(ToolReturned(**where, **facts))
        case TurnEndedEntry():
            facts = {name: getattr(entry, name) for name in ("turn", "lane", "outcome", "problem", "speaker")}
            found.append(TurnEnded(**where, **facts, text=entry.whole))
        case HandoffEntry():
            found.append(HandedOver(**where, **{name: getattr(entry, name) for name in entry.__struct_fields__}))
        case OperationEndedEntry() | ConsentRequestedEntry() if entry.operation is not None:
            found.append(OperationChanged(**where, operation=entry.operation))
        case DeliveredEntry():
            found.append(Delivered(**where, operations=entry.operations, text=entry.text, merged=entry.merged))
    return found


def _texts_of(sequence: int, at: float, entry: ConversationEntry) -> list[AnyConversationEvent | TextCompleted]:
    """Return the event that completes the text of a log entry, if it has one."""
    if isinstance(entry, ToolCallsEntry | TurnEndedEntry):
        return [TextCompleted(id=identify(sequence) - 1, at=at, turn=entry.turn, text=entry.text)]
    if isinstance(entry, DeliveredEntry) and entry.merged:
        turn = max((each.turn for each in entry.operations), default=0)
        return [TextCompleted(id=identify(sequence) - 1, at=at, turn=turn, text=entry.text, delivery=True)]
    return []
