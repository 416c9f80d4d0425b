"""The minutes of a meeting that is over, or goes on elsewhere, read from their file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec

from coterie.meetings.minutes import entry_line, read_minutes
from coterie.meetings.state import events
from coterie.meetings.state.events import LogEntry

_MARKDOWN = re.compile(r"\\(.)|\*\*|`")


class StoredMinutes(msgspec.Struct, frozen=True, kw_only=True):
    """The minutes in a file, with what they say of the meeting as a whole."""

    topic: str = ""
    """Empty if nothing is written yet."""
    caller: str = ""
    members: tuple[str, ...] = ()
    """All members, also former ones, in the order of joining."""
    opened_at: float = 0.0
    """In seconds since 1970."""
    ended_at: float | None = None
    """None if the file does not have its end: it goes on, or its program was killed."""
    outcome: Any = None
    reason: str = ""
    """The rule that closed it; empty if a member did."""
    entries: tuple[LogEntry, ...] = ()


def stored_minutes(path: Path | str) -> StoredMinutes:
    """Return the minutes in a file, which may be written meanwhile. Raises `DecodeFailed` and `OSError`."""
    entries = tuple(read_minutes(path))
    first = entries[0].event if entries else None
    if not isinstance(first, events.MeetingOpened):
        return StoredMinutes(entries=entries)
    joined = (each.event.member.name for each in entries if isinstance(each.event, events.Joined))
    end = next((each for each in reversed(entries) if isinstance(each.event, events.Closed)), None)
    closed = end.event if end is not None and isinstance(end.event, events.Closed) else events.Closed()
    return StoredMinutes(
        topic=first.topic,
        caller=first.caller,
        members=tuple(dict.fromkeys([*(each.name for each in first.members), *joined])),
        opened_at=entries[0].at,
        ended_at=end.at if end is not None else None,
        outcome=closed.outcome,
        reason=closed.reason,
        entries=entries,
    )


def minutes_line(entry: LogEntry) -> str:
    """Return an entry of minutes as a line of plain text; an empty text for events that only the machinery needs."""
    if isinstance(entry.event, events.Spoke):
        content = entry.event.content
        said = content if isinstance(content, str) else msgspec.json.encode(content).decode()
        return f"{entry.by}{' to ' + ', '.join(entry.event.to) if entry.event.to else ''}: {said}"
    return _MARKDOWN.sub(lambda found: found[1] or "", entry_line(entry))
