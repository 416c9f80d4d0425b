"""Resume and replay runs, each in a process of its own, and keep the last lines that they print."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import msgspec

from coterie.concurrency import Rank, new_lock
from coterie.console.problems import ConsoleProblem
from coterie.kernel import Clock

_TAIL = 4_000
"""Bytes of the output that are shown."""
_MAIN = "from coterie.cli import main; main()"


class CommandState(msgspec.Struct, frozen=True):
    """One command on a run."""

    command: str
    running: bool
    status: int
    """The status with which the process ended; 0 while it runs."""
    output: str
    """The last lines that it printed."""
    began: float


class RunCommands:
    """The latest command of each run. Safe from any thread: `_lock` guards the table."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = new_lock(Rank.RECORDS)
        self._started: dict[Path, tuple[str, float, subprocess.Popen[bytes], IO[bytes]]] = {}

    def start(self, command: str, path: Path) -> None:
        """Start a command of the command line on a run. Raises `ConsoleProblem` if one goes on there."""
        with self._lock:
            before = self._started.get(path)
            if before is not None and before[2].poll() is None:
                raise ConsoleProblem(409, f"{before[0]} of {path.name} has not ended yet.")
            options = ["--quiet"] if command == "resume" else []
            output = TemporaryFile()  # noqa: SIM115 - closed with the next command, or with the console
            process = subprocess.Popen(  # noqa: S603 - our own command line, on a folder that the operator gave
                [sys.executable, "-c", _MAIN, command, str(path), *options],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self._started[path] = (command, self._clock.time(), process, output)
        if before is not None:
            before[3].close()

    def state(self, path: Path) -> CommandState | None:
        """Return the state of the latest command on a run, or None."""
        with self._lock:
            found = self._started.get(path)
            if found is None:
                return None
            command, began, process, output = found
            status = process.poll()
            end = output.seek(0, 2)
            output.seek(max(0, end - _TAIL))
            text = output.read().decode("utf-8", "replace")
        return CommandState(command, status is None, status or 0, text.strip(), began)

    def close(self) -> None:
        """Leave processes that still run to themselves: they write into the folders of their runs."""
        with self._lock:
            for _, _, _, output in self._started.values():
                output.close()
            self._started = {}
