"""The minutes of a meeting: as values, as text, and as files."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import Any

import msgspec

from coterie.errors.definition import DecodeFailed
from coterie.meetings.state import events
from coterie.meetings.state.events import LogEntry
from coterie.meetings.state.records import Utterance

# Built at import, by one thread: msgspec must not build decoders of one class in two threads (see kernel.codec).
_DECODER = msgspec.json.Decoder(LogEntry)

_DEPTH = 100
"""Levels of nesting that entries and messages may add to plain data."""
_MOST_LEVELS = 300
"""Levels of nesting of plain data. What Python itself would read and write depends on its version."""
PLAIN_DATA = f"finite numbers, text, lists, and mappings whose keys are text; no bytes, no dates, {_MOST_LEVELS} levels at most"
"""The data that minutes can hold, as error texts describe it."""
ENCODE_ERRORS = (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError)
"""The exceptions that encoding raises for other data."""


class Transcript:
    """The minutes of a meeting so far. Immutable; iterating gives the utterances in order."""

    __slots__ = ("entries", "meeting", "topic", "utterances")

    def __init__(self, meeting: str, topic: str, entries: tuple[LogEntry, ...], utterances: tuple[Utterance, ...]) -> None:
        self.meeting = meeting
        self.topic = topic
        self.entries = entries
        """All log entries, in order."""
        self.utterances = utterances
        """The utterances, in order."""

    def __len__(self) -> int:
        return len(self.utterances)

    def __iter__(self) -> Iterator[Utterance]:
        return iter(self.utterances)

    def __getitem__(self, place: int) -> Utterance:
        return self.utterances[place]

    def to_json_lines(self) -> str:
        """Return the minutes as text with a line of JSON for each entry."""
        return "".join(json_line(entry) for entry in self.entries)

    def to_markdown(self) -> str:
        """Return the minutes as Markdown."""
        return markdown(self.meeting, self.topic, self.entries)


def stable_copy(content: Any) -> Any:
    """Return a copy of plain data, so that the caller cannot change an entry afterwards.

    Raises an error of msgspec for other data or data that is nested too deeply, and `ValueError` for data that JSON
    would change.
    """
    data = msgspec.msgpack.decode(msgspec.msgpack.encode(content))
    whole = data
    for _ in range(_DEPTH):
        whole = [whole]  # entries and messages are nested around it
    msgspec.json.encode(whole)
    if msgspec.json.decode(msgspec.json.encode(data)) != data:
        raise ValueError("it would not be the same, read from a line of JSON")
    if not _is_plain(content, data, _MOST_LEVELS):
        raise ValueError("a part of it, such as a set or an object, would become something else")
    return data


def _is_plain(content: Any, copy: Any, levels: int) -> bool:
    """Return whether a value is the same as its encoded copy, but that a sequence may have become a list.

    Raises `ValueError` if it has more levels.
    """
    if not levels and isinstance(content, Mapping | list | tuple):
        raise ValueError(f"it is nested deeper than {_MOST_LEVELS} levels")
    if isinstance(content, Mapping):
        # Keys are text, or the copy is refused for them.
        if not isinstance(copy, dict):
            return False
        return all(key in copy and _is_plain(value, copy[key], levels - 1) for key, value in content.items())
    if isinstance(content, list | tuple):
        return isinstance(copy, list) and all(map(_is_plain, content, copy, itertools.repeat(levels - 1)))
    return bool(content == copy)


def json_line(entry: LogEntry) -> str:
    """Return an entry as a line of JSON."""
    return msgspec.json.encode(entry).decode() + "\n"


def read_json_lines(text: str | bytes) -> list[LogEntry]:
    """Return the entries in a text by `to_json_lines`, without a last line that is cut off. Raises `DecodeFailed`."""
    # Not `splitlines`: utterances may contain line separators that JSON does not escape.
    *lines, _ = (text.encode() if isinstance(text, str) else text).split(b"\n")
    try:
        return [_DECODER.decode(line) for line in lines]
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DecodeFailed("the minutes of a meeting", error) from error


def read_minutes(path: Path | str) -> list[LogEntry]:
    """Return the entries in a file of minutes, without a last line that is cut off. Raises `DecodeFailed`, `OSError`."""
    return read_json_lines(Path(path).read_bytes())


def markdown(meeting: str, topic: str, entries: Iterable[LogEntry]) -> str:
    """Return minutes as Markdown."""
    lines = [f"# {_line(topic)}", "", f"Meeting {meeting}", ""]
    for entry in entries:
        line = entry_line(entry)
        if line:
            when = datetime.fromtimestamp(entry.at, UTC).strftime("%H:%M:%S")
            lines.append(f"- {entry.sequence}. {when} {line}")
    return "\n".join(lines) + "\n"


def entry_line(entry: LogEntry) -> str:
    """Return an entry as a line of Markdown; an empty text for events that the Markdown omits."""
    event: Any = entry.event
    by = f"**{_line(entry.by)}**"
    if isinstance(event, events.Spoke):
        whom = f" (to {', '.join(map(_line, event.to))})" if event.to else ""
        return f"{by}{whom}: {_line(event.content)}"
    tell = _LINES.get(type(event))
    return tell(by, event) if tell is not None else ""


def _line(value: Any) -> str:
    """Return a value as one line with Markdown's characters escaped."""
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    escaped = (
        "".join(f"\\{each}" if each in "\\`*_[]<>#|" else each for each in text) if isinstance(value, str) else f"`{text}`"
    )
    return " ".join(escaped.split())


def _opened_line(by: str, event: events.MeetingOpened) -> str:
    told = f"{by} opened the meeting with {', '.join(_line(place.name) for place in event.members)}"
    if event.declined:
        told += "; not coming: " + ", ".join(f"{_line(name)} ({_line(why)})" for name, why in event.declined.items())
    return told + (f"; within meeting {event.parent}" if event.parent else "")


def _closing_words(event: events.Closed) -> str:
    if event.reason:
        return f": {_line(event.reason)}"
    return "" if event.outcome is None else f": {_line(event.outcome)}"


_LINES: dict[type, Any] = {
    events.MeetingOpened: _opened_line,
    events.LeaderChanged: lambda by, _: f"{by} takes over the minutes",
    events.Invited: lambda by, event: f"{by} invited {_line(event.guest)}",
    events.Declined: lambda _, event: f"{_line(event.guest)} is not coming: {_line(event.reason)}",
    events.Joined: lambda _, event: f"**{_line(event.member.name)}** joined",
    events.Left: lambda _, event: f"**{_line(event.member)}** left" + (f": {_line(event.reason)}" if event.reason else ""),
    events.Crashed: lambda _, event: f"**{_line(event.member)}** crashed and is back: {_line(event.reason)}",
    events.Reacted: lambda by, event: f"{by} reacted to {event.to}: {_line(event.sign)}",
    events.HandRaised: lambda by, _: f"{by} raised a hand",
    events.HandLowered: lambda by, _: f"{by} lowered its hand",
    events.TurnGiven: lambda by, event: f"{by} gave the floor to {_line(event.member) or 'all members'}",
    events.TurnPassed: lambda by, _: f"{by} passed",
    events.TurnMissed: lambda _, event: f"**{_line(event.member)}** missed turn {event.turn}: {_line(event.reason)}",
    events.FloorFailed: lambda _, event: f"the floor policy failed: {_line(event.reason)}",
    events.MotionPut: lambda by, event: f"{by} put to the vote: {_line(event.motion)} ({', '.join(map(_line, event.choices))})",
    events.Voted: lambda by, event: f"{by} voted {_line(event.choice)} on {_line(event.motion)}",
    events.Announced: lambda by, event: f"{by} announced {_line(event.task)}",
    events.Bid: lambda by, event: f"{by} bid {_line(event.offer)}",
    events.Awarded: lambda by, event: f"{by} awarded it to {_line(event.to) or 'no bidder'}",
    events.Reported: lambda by, event: f"{by} reported {_line(event.result)}",
    events.Nested: lambda by, event: f"{by} called meeting {event.meeting} within this one: {_line(event.topic)}",
    events.Closed: lambda by, event: f"{by} closed the meeting" + _closing_words(event),
}


class MinutesFile:
    """Writes the minutes of one meeting to a folder. Only the thread of the meeting's replica host uses it.

    With a `name` the file has that name, and replaces the file of a run that was killed. Without, the name is made of the
    meeting's number and topic, and files of other runs stay.
    """

    def __init__(self, folder: Path, meeting: str, topic: str, node: str, name: str | None = None) -> None:
        self.path = folder / f"{_slug(name)}.jsonl" if name is not None else None
        """None until the first write, if no name was given."""
        self._folder = folder
        self._meeting = meeting
        self._topic = topic
        self._node = node

    def write(self, entries: list[LogEntry]) -> None:
        """Append entries that follow the written ones. A failed write leaves no part of a line. Raises `OSError`."""
        self._folder.mkdir(parents=True, exist_ok=True)
        file = self._new() if self.path is None else FileIO(self.path, "w" if entries[0].sequence == 1 else "a")
        with file:
            before = file.seek(0, 2)
            try:
                _write_all(file, "".join(map(json_line, entries)).encode())
            except OSError:
                file.truncate(before)
                raise

    def finish(self, entries: list[LogEntry]) -> None:
        """Write the minutes of a meeting that is over as Markdown. Raises `OSError`."""
        if self.path is not None and self.path.is_file():
            text = markdown(self._meeting, self._topic, entries)
            self.path.with_suffix(".md").write_text(text, encoding="utf-8")

    def _new(self) -> FileIO:
        """Create a file with a name that is not taken."""
        number, _, node = self._meeting.partition("@")
        name = f"{int(number):04d}-{_slug(self._topic)}" + (f"-{node}" if node != self._node else "")
        for again in itertools.count(1):
            path = self._folder / f"{name}{f'-{again}' if again > 1 else ''}.jsonl"
            try:
                file = FileIO(path, "x")
            except FileExistsError:
                continue
            self.path = path
            return file
        raise AssertionError  # pragma: no cover - there is always a further number


def _slug(text: str) -> str:
    """Return a text as a file name."""
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-").lower()[:60] or "meeting"


def _write_all(file: FileIO, data: bytes) -> None:
    while data:
        data = data[file.write(data) :]
