"""The folder of a run."""

from __future__ import annotations

import itertools
import logging
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
from pythonjsonlogger.json import JsonFormatter

from coterie.errors.orchestrator import RunFolderFailed, RunUnknown
from coterie.runtime import AgentLogFilter

SCENARIO = "scenario.json"
"""The scenario with all of its settings, as it was run."""
LOG = "run.db"
MEETINGS = "meetings"
"""The folder of the minutes of meetings."""


DATA = "data"
"""The folder of the collected tables."""


class RunLog(logging.FileHandler):
    """The log of a run. It counts the records that it cannot write, and prints nothing about each of them."""

    lost = 0

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name in the standard library
        """Count a record that could not be written; report any other error as usual."""
        if isinstance(sys.exception(), OSError):
            self.lost += 1
        else:
            super().handleError(record)

    def close(self) -> None:
        """Close the file, also if the last records cannot be written."""
        try:
            super().close()
        except OSError:
            self.lost += 1


class RunFolder:
    """A folder of its own for one run: the scenario file, events and logs as JSON lines, metrics, event log, report.

    When `event` returns, the system has the event, so the folder of a killed process has all events so far. Used by one
    thread, except for the log. Use it in a ``with`` block.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._events = (path / "events.jsonl").open("ab", buffering=0)
        self._log = RunLog(path / "log.jsonl", encoding="utf-8", delay=True)
        self._log.setFormatter(JsonFormatter(["asctime", "levelname", "name", "threadName", "message"]))
        self._log.addFilter(AgentLogFilter())
        self._encoder = msgspec.json.Encoder()

    @classmethod
    def create(cls, parent: Path, name: str, scenario: str) -> RunFolder:
        """Return a new folder under `parent`, named for the run and the moment, with a copy of the scenario.

        Raises `RunFolderFailed` if that cannot be written.
        """
        moment = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
        base = f"{name.replace(' ', '-')}-{moment}"
        try:
            parent.mkdir(parents=True, exist_ok=True)
            path = next(path for path in _candidates(parent, base) if _made(path))
            (path / "scenario.toml").write_text(scenario, encoding="utf-8")
            return cls(path)
        except OSError as error:
            raise RunFolderFailed(parent, error) from error

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """Return the opened folder of an earlier run, to resume it. Its file of events is written again.

        Raises `RunUnknown`, `RunFolderFailed`.
        """
        if not (path / SCENARIO).is_file():
            raise RunUnknown(path, f"there is no {SCENARIO} in it")
        try:
            (path / "events.jsonl").unlink(missing_ok=True)
            return cls(path)
        except OSError as error:
            raise RunFolderFailed(path, error) from error

    @property
    def log(self) -> Path:
        """The database of the world's events and the checkpoints."""
        return self.path / LOG

    def write_text(self, name: str, text: str) -> Path:
        """Write a file, whole or not at all, and return its path."""
        temporary = self.path / f".{name}.part"
        temporary.write_text(text, encoding="utf-8")
        return temporary.replace(self.path / name)

    def event(self, kind: str, /, **fields: Any) -> None:
        """Append an event. Raises `RunFolderFailed`."""
        line = self._encoder.encode({"event": kind, **fields}) + b"\n"
        try:
            self._events.write(line)
        except OSError as error:
            raise RunFolderFailed(self.path / "events.jsonl", error) from error

    def write(self, name: str, value: Any) -> None:
        """Write a value as a JSON file, whole or not at all. Raises `RunFolderFailed`."""
        temporary = self.path / f".{name}.part"
        data = msgspec.json.format(self._encoder.encode(value), indent=2) + b"\n"
        try:
            temporary.write_bytes(data)
            temporary.replace(self.path / name)
        except OSError as error:
            raise RunFolderFailed(self.path / name, error) from error

    @property
    def unlogged(self) -> int:
        """Return the number of log records that could not be written."""
        return self._log.lost

    def __enter__(self) -> Self:
        logging.getLogger("coterie").addHandler(self._log)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        logging.getLogger("coterie").removeHandler(self._log)
        self._log.close()
        self._events.close()


def _candidates(parent: Path, base: str) -> Iterator[Path]:
    return (parent / (base if number == 1 else f"{base}-{number}") for number in itertools.count(1))


def _made(path: Path) -> bool:
    try:
        path.mkdir()
    except FileExistsError:
        return False
    return True
