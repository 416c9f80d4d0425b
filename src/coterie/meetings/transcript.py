"""The minutes of a meeting as text: JSON lines for programs, Markdown for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from coterie.errors import DecodeFailed
from coterie.meetings.minutes import events
from coterie.meetings.minutes.events import Entry
from coterie.meetings.minutes.records import Utterance

# Built while the module is imported, by one thread: see the codec.
_DECODER = msgspec.json.Decoder(Entry)


class Transcript:
    """All that happened in a meeting, in order. Immutable; iterate it for its utterances."""

    __slots__ = ("entries", "meeting", "topic", "utterances")

    def __init__(self, meeting: str, topic: str, entries: tuple[Entry, ...], utterances: tuple[Utterance, ...]) -> None:
        self.meeting = meeting
        self.topic = topic
        self.entries = entries
        """The minutes, whole."""
        self.utterances = utterances
        """What was said."""

    def __len__(self) -> int:
        return len(self.utterances)

    def __iter__(self) -> Iterator[Utterance]:
        return iter(self.utterances)

    def __getitem__(self, place: int) -> Utterance:
        return self.utterances[place]

    def to_json_lines(self) -> str:
        """Return the minutes, a line of JSON for each entry."""
        return "".join(json_line(entry) for entry in self.entries)

    def to_markdown(self) -> str:
        """Return the minutes for people to read."""
        return markdown(self.meeting, self.topic, self.entries)


def json_line(entry: Entry) -> str:
    """Return an entry as a line of JSON."""
    return msgspec.json.encode(entry).decode() + "\n"


def read_json_lines(text: str | bytes) -> list[Entry]:
    """Return the entries that `to_json_lines` wrote. A last line that was cut off is left out. Raises `DecodeFailed`."""
    # Not `splitlines`: what was said may have separators of its own, which JSON leaves as they are.
    *lines, _ = (text.encode() if isinstance(text, str) else text).split(b"\n")
    try:
        return [_DECODER.decode(line) for line in lines]
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DecodeFailed("the minutes of a meeting", error) from error


def read_minutes(path: Path | str) -> list[Entry]:
    """Return the entries in a file of minutes. A last line that was cut off is left out. Raises `DecodeFailed`, `OSError`."""
    return read_json_lines(Path(path).read_bytes())


def markdown(meeting: str, topic: str, entries: Iterable[Entry]) -> str:
    """Return minutes as Markdown."""
    lines = [f"# {_line(topic)}", "", f"Meeting {meeting}", ""]
    for entry in entries:
        line = told(entry)
        if line:
            when = datetime.fromtimestamp(entry.at, UTC).strftime("%H:%M:%S")
            lines.append(f"- {entry.sequence}. {when} {line}")
    return "\n".join(lines) + "\n"


def told(entry: Entry) -> str:
    """Return an entry as a line of Markdown; an empty text for what is not worth one."""
    event: Any = entry.event
    by = f"**{_line(entry.by)}**"
    if isinstance(event, events.Spoke):
        whom = f" (to {', '.join(map(_line, event.to))})" if event.to else ""
        return f"{by}{whom}: {_line(event.content)}"
    tell = _TELL.get(type(event))
    return tell(by, event) if tell is not None else ""


def _line(value: Any) -> str:
    """Return something as one line that Markdown takes as it is."""
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    escaped = (
        "".join(f"\\{each}" if each in "\\`*_[]<>#|" else each for each in text) if isinstance(value, str) else f"`{text}`"
    )
    return " ".join(escaped.split())


def _tell_opened(by: str, event: events.Opened) -> str:
    told = f"{by} opened the meeting with {', '.join(_line(place.name) for place in event.members)}"
    if event.declined:
        told += "; not coming: " + ", ".join(f"{_line(name)} ({_line(why)})" for name, why in event.declined.items())
    return told + (f"; within meeting {event.parent}" if event.parent else "")


def _tell_end(event: events.Closed) -> str:
    if event.reason:
        return f": {_line(event.reason)}"
    return "" if event.outcome is None else f": {_line(event.outcome)}"


_TELL: dict[type, Any] = {
    events.Opened: _tell_opened,
    events.OrdererChanged: lambda by, _: f"{by} takes over the minutes",
    events.Invited: lambda by, event: f"{by} invited {_line(event.guest)}",
    events.Declined: lambda _, event: f"{_line(event.guest)} is not coming: {_line(event.reason)}",
    events.Joined: lambda _, event: f"**{_line(event.member.name)}** joined",
    events.Left: lambda _, event: f"**{_line(event.member)}** left" + (f": {_line(event.reason)}" if event.reason else ""),
    events.Crashed: lambda _, event: f"**{_line(event.member)}** crashed and is back: {_line(event.reason)}",
    events.Reacted: lambda by, event: f"{by} reacted to {event.to}: {_line(event.sign)}",
    events.HandRaised: lambda by, _: f"{by} raised a hand",
    events.HandLowered: lambda by, _: f"{by} lowered its hand",
    events.TurnGiven: lambda by, event: f"{by} gave the floor to {_line(event.member) or 'everybody'}",
    events.TurnPassed: lambda by, _: f"{by} passed",
    events.TurnMissed: lambda _, event: f"**{_line(event.member)}** missed turn {event.turn}: {_line(event.reason)}",
    events.FloorFailed: lambda _, event: f"the policy of the floor failed: {_line(event.reason)}",
    events.MotionPut: lambda by, event: f"{by} put to the vote: {_line(event.motion)} ({', '.join(map(_line, event.choices))})",
    events.Voted: lambda by, event: f"{by} voted {_line(event.choice)} on {_line(event.motion)}",
    events.Announced: lambda by, event: f"{by} announced {_line(event.task)}",
    events.Bid: lambda by, event: f"{by} bid {_line(event.offer)}",
    events.Awarded: lambda by, event: f"{by} awarded it to {_line(event.to) or 'nobody'}",
    events.Reported: lambda by, event: f"{by} reported {_line(event.result)}",
    events.Nested: lambda by, event: f"{by} called meeting {event.meeting} within this one: {_line(event.topic)}",
    events.Closed: lambda by, event: f"{by} closed the meeting" + _tell_end(event),
}
