"""The file of a meeting's minutes: JSON lines as entries are committed, and Markdown beside it at the end."""

from __future__ import annotations

import itertools
import re
from io import FileIO
from pathlib import Path

from coterie.meetings.state.events import LogEntry
from coterie.meetings.transcript import json_line, markdown


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
