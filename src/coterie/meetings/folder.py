"""Where minutes are kept: a folder with a file of JSON lines for each meeting, and Markdown beside it when it is over."""

from __future__ import annotations

import itertools
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

from coterie.errors import InvalidSetting
from coterie.meetings.desk.options import slug
from coterie.meetings.minutes.events import Entry
from coterie.meetings.transcript import json_line, markdown

if TYPE_CHECKING:
    from coterie.meetings.desk.desk import Desk


class MinutesFolder:
    """Writes minutes as they become final. Each meeting's clerk writes its own file; `claim` is called under a lock."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def claim(self, name: str, others: list[Path | None]) -> Path:
        """Return the file of a meeting that is to have this name. Raises `InvalidSetting` if one of `others` is that."""
        path = self.path / f"{slug(name)}.jsonl"
        if path in others:
            raise InvalidSetting("call.record", name, f"a name of its own: a meeting that is going on writes {path.name}")
        return path

    def write(self, desk: Desk, entries: list[Entry]) -> None:
        """Write entries that follow those that are written. What fails leaves no part of a line. Raises `OSError`."""
        self.path.mkdir(parents=True, exist_ok=True)
        first = entries[0].sequence == 1
        if desk.path is None:
            desk.path, file = self._new(desk)
        else:
            # A name that was asked for: what is there is from a run that was killed in the middle of that meeting.
            file = FileIO(desk.path, "w" if first else "a")
        with file:
            before = file.seek(0, 2)
            try:
                _write_all(file, "".join(map(json_line, entries)).encode())
            except OSError:
                file.truncate(before)
                raise

    def finish(self, desk: Desk) -> None:
        """Write the minutes of a meeting that is over as Markdown. Raises `OSError`."""
        if desk.path is not None and desk.path.is_file():
            text = markdown(desk.meeting, desk.topic, desk.minutes())
            desk.path.with_suffix(".md").write_text(text, encoding="utf-8")

    def _new(self, desk: Desk) -> tuple[Path, FileIO]:
        """Make a file for a meeting without a name of its own; what other runs left in the folder stays."""
        number, _, node = desk.meeting.partition("@")
        name = f"{int(number):04d}-{slug(desk.topic)}" + (f"-{node}" if node != desk.runtime.node else "")
        for again in itertools.count(1):
            path = self.path / f"{name}{f'-{again}' if again > 1 else ''}.jsonl"
            try:
                return path, FileIO(path, "x")
            except FileExistsError:
                continue
        raise AssertionError  # pragma: no cover - there is always a further number


def _write_all(file: FileIO, data: bytes) -> None:
    while data:
        data = data[file.write(data) :]
