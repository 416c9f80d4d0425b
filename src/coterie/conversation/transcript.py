"""The transcript of a conversation in pages, for a front end that is loaded anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from coterie.conversation.entries import (
    PARTS,
    DeliveredEntry,
    ToolCallsEntry,
    ToolResultEntry,
    TurnEndedEntry,
    UserMessageEntry,
    identify,
)
from coterie.conversation.event_stream import EventStream
from coterie.conversation.journal import Journal, LogRecord
from coterie.conversation.operations.operation import Operation
from coterie.models import Attachment

_READ = 200
"""Log entries that are read at once."""


class TranscriptCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call of a tool in a turn, with its result."""

    call: str
    tool: str
    arguments: Mapping[str, Any]
    content: str = ""
    """The result, or an empty text if there is none yet."""
    failed: bool = False
    operation: int | None = None
    """The operation that continues, or awaits approval."""


class AttachedFile(msgspec.Struct, frozen=True, kw_only=True):
    """An image or another file in a message, without its bytes."""

    media_type: str
    name: str = ""
    url: str = ""
    """The address that the provider of the model reads; empty for a file whose bytes are in the log."""
    size: int = 0
    """Bytes in the log."""


class TranscriptMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message of the user, an answer, or a delivery."""

    id: int
    """The id of its event."""
    at: float
    """Wall time in seconds."""
    role: str
    """``user`` or ``assistant``."""
    text: str
    turn: int = 0
    """The turn; 0 for a delivery."""
    began: int = 0
    """The id of the event of the question that it answers; its own for a message of the user."""
    message: str = ""
    """The front end's own id of a message of the user."""
    delivery: bool = False
    outcome: str = ""
    """The outcome of an answered turn."""
    calls: tuple[TranscriptCall, ...] = ()
    """The calls of an answer."""
    texts: int = 0
    """Number of texts before calls, in the answer that is being written."""
    files: tuple[AttachedFile, ...] = ()
    """The images and files in a message of the user; `Conversation.attachment` returns one."""


class TranscriptPage(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a transcript, and what runs now."""

    messages: tuple[TranscriptMessage, ...]
    """Oldest first."""
    before: int | None = None
    """Pass it as `before` for the page before this one; None if this is the first."""
    last_event: int = 0
    """The id of the newest event: `Conversation.events(after=last_event)` goes on without a gap."""
    running: TranscriptMessage | None = None
    """The answer that is being written: its text and its calls so far. Only in the latest page."""
    operations: tuple[Operation, ...] = ()
    """The operations that have not ended."""


def read_page(journal: Journal, key: str, until: int, limit: int, events: EventStream) -> TranscriptPage:
    """Return the latest `limit` messages before the entry `until` of the log, without the operations."""
    last, writing, text = events.writing()
    newest = (last >> PARTS) + 1
    latest = until > newest
    messages, before = _messages(journal, key, min(until, newest), limit)
    answered = max((each.turn for each in messages if each.outcome), default=0)
    turn = writing or min((each.turn for each in messages if each.role == "user" and each.turn > answered), default=0)
    return TranscriptPage(
        messages=tuple(messages),
        before=before,
        last_event=last,
        running=_running(journal, key, turn, text if writing else "") if latest and turn else None,
    )


def _messages(journal: Journal, key: str, before: int, limit: int) -> tuple[list[TranscriptMessage], int | None]:
    """Return the latest `limit` messages before an entry of the log, and the id before which the earlier ones are."""
    records: list[LogRecord] = []
    first = before
    while first > 1 and sum(map(_is_message, records)) <= limit:
        page = journal.between(key, max(0, first - 1 - _READ), first - 1, _READ)
        first = max(1, first - _READ)
        records = page + records
    places = [place for place, record in enumerate(records) if _is_message(record)][-limit:]
    if not places:
        return [], None
    start = places[0]
    more = any(map(_is_message, records[:start])) or first > 1
    known = _with_first_turn(journal, key, records, start)
    messages = [_message(records[place], known) for place in places]
    return messages, identify(records[start].sequence) if more else None


def text_place(journal: Journal, key: str, turn: int, event: int) -> tuple[int, int]:
    """Return the id of the first event of a turn, and the number of its texts before an event."""
    records = journal.of_turn(key, turn)
    texts = [each for each in records if isinstance(each.entry, ToolCallsEntry) and each.entry.text]
    began = identify(records[0].sequence) if records else event
    return began, sum(each.sequence <= event >> PARTS for each in texts)


def _running(journal: Journal, key: str, turn: int, text: str) -> TranscriptMessage | None:
    """Return the answer to a turn that is being written; `text` is the part that is not in the log yet."""
    records = journal.of_turn(key, turn)
    if not records or any(isinstance(each.entry, TurnEndedEntry) for each in records):
        return None
    texts = [each.entry.text for each in records if isinstance(each.entry, ToolCallsEntry) and each.entry.text]
    began = identify(records[0].sequence)
    return TranscriptMessage(
        id=began,
        at=records[0].at,
        role="assistant",
        turn=turn,
        began=began,
        text="\n\n".join([*texts, text] if text else texts),
        texts=len(texts),
        calls=_calls(records),
    )


def attachment_of(journal: Journal, key: str, event: int, place: int) -> Attachment | None:
    """Return the image or file at a place, from 0, in the message of the user with that id; None if there is none."""
    sequence = event >> PARTS
    for record in journal.between(key, sequence - 1, sequence, 1):
        if isinstance(record.entry, UserMessageEntry) and 0 <= place < len(record.entry.attachments):
            return record.entry.attachments[place]
    return None


def _described(attachment: Attachment) -> AttachedFile:
    return AttachedFile(media_type=attachment.media_type, name=attachment.name, url=attachment.url, size=len(attachment.data))


def _is_message(record: LogRecord) -> bool:
    entry = record.entry
    return isinstance(entry, UserMessageEntry | TurnEndedEntry) or (isinstance(entry, DeliveredEntry) and bool(entry.text))


def _with_first_turn(journal: Journal, key: str, records: Sequence[LogRecord], start: int) -> dict[int, list[LogRecord]]:
    """Return the entries of each turn; those of the turns that begin before the page are read."""
    found: dict[int, list[LogRecord]] = {}
    for record in records:
        found.setdefault(getattr(record.entry, "turn", 0), []).append(record)
    for record in records[start:]:
        turn = getattr(record.entry, "turn", 0)
        if isinstance(record.entry, TurnEndedEntry) and not any(
            isinstance(each.entry, UserMessageEntry) for each in found[turn]
        ):
            found[turn] = journal.of_turn(key, turn)
    return found


def _message(record: LogRecord, known: Mapping[int, Sequence[LogRecord]]) -> TranscriptMessage:
    entry, at, name = record.entry, record.at, identify(record.sequence)
    if isinstance(entry, UserMessageEntry):
        return TranscriptMessage(id=name, at=at, role="user", text=entry.text, turn=entry.turn, began=name, message=entry.id,
            files=tuple(_described(each) for each in entry.attachments),
        )  # fmt: skip
    if isinstance(entry, DeliveredEntry):
        return TranscriptMessage(id=name, at=at, role="assistant", text=entry.text, delivery=True)
    assert isinstance(entry, TurnEndedEntry)
    turn = known.get(entry.turn, ())
    began = next((identify(each.sequence) for each in turn if isinstance(each.entry, UserMessageEntry)), name)
    return TranscriptMessage(
        id=name,
        at=at,
        role="assistant",
        text=entry.whole,
        turn=entry.turn,
        began=began,
        outcome=str(entry.outcome),
        calls=_calls(turn),
    )


def _calls(records: Sequence[LogRecord]) -> tuple[TranscriptCall, ...]:
    results = {each.entry.call: each.entry for each in records if isinstance(each.entry, ToolResultEntry)}
    found = []
    for record in records:
        for call in record.entry.calls if isinstance(record.entry, ToolCallsEntry) else ():
            result = results.get(call.id)
            made = TranscriptCall(call=call.id, tool=call.name, arguments=call.arguments)
            if result is not None:
                made = msgspec.structs.replace(made, content=result.content, failed=result.failed, operation=result.operation)
            found.append(made)
    return tuple(found)
