"""Steer a run from other threads and processes: pause, step, go on, stop, and change its adjustable parameters.

Commands are lines of a file in the folder of the run, which the run reads between its steps. A second file tells the state of
the run. So the folder is all that a console needs, and its log of commands stays with the record.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias, TypeVar

import msgspec
import psutil

from coterie.errors import CoterieError, describe
from coterie.errors.orchestrator import CommandRefused, RunFolderFailed, RunStopped, RunUnknown
from coterie.orchestrator.folder import SCENARIO, RunFolder
from coterie.world import World

CONTROL = "control.jsonl"
STATUS = "status.json"
PARAMETERS = "parameters/"
"""The prefix of the keys of the world that have changed parameters."""
ADJUSTED = "adjusted"
"""The kind of the event that changes a parameter."""
_LOOK = 0.05
"""Seconds between two looks for commands while the run is paused."""
_CLOCK_ERROR = 2.0
"""Seconds by which two readings of the start of a process may differ."""

T = TypeVar("T")
Command: TypeAlias = Literal["pause", "step", "go on", "stop", "adjust"]


class Adjustable(msgspec.Struct, frozen=True):
    """A number of a scenario that may be changed while the run goes on."""

    value: float
    """Its value at the beginning."""
    least: float
    most: float
    description: str = ""


class RunCommand(msgspec.Struct, frozen=True, omit_defaults=True):
    """One command to a run. `name` and `value` are those of a parameter to adjust; `by` names the sender."""

    command: Command
    name: str = ""
    value: float | None = None
    by: str = ""


class RunStatus(msgspec.Struct, frozen=True):
    """The state of a run."""

    state: Literal["running", "paused", "ended", "stopped", "failed", "interrupted"]
    pid: int
    began: float
    """The start of the process, in seconds since 1970: a number of a process may be used again."""
    planned: int = 0
    """Steps at most; 0 if that is not known."""
    adjustable: dict[str, Adjustable] = {}
    error: str = ""

    @property
    def live(self) -> bool:
        """Whether the run goes on, or is paused, in a living process."""
        return self.state in ("running", "paused")


def run_status(path: Path) -> RunStatus | None:
    """Return the state of the run in a folder; None if it was made by a version that told none. Raises `RunUnknown`."""
    try:
        status = msgspec.json.decode((path / STATUS).read_bytes(), type=RunStatus)
    except FileNotFoundError:
        if not (path / SCENARIO).is_file():
            raise RunUnknown(path, f"there is no {SCENARIO} in it") from None
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise RunUnknown(path, f"its {STATUS} cannot be read: {error}") from error
    if status.live and not _alive(status):
        return msgspec.structs.replace(status, state="interrupted")
    return status


def send_command(path: Path, command: RunCommand) -> None:
    """Send a command to the run in a folder, which follows it after its current step.

    Raises `CommandRefused` if the run does not go on, or the parameter or its value is not possible, `RunUnknown`, and
    `RunFolderFailed`.
    """
    status = run_status(path)
    if status is None or not status.live:
        raise CommandRefused(path, f"the run has {status.state if status else 'ended'}; a run that goes on takes commands")
    if command.command == "adjust":
        _check(path, command, status.adjustable)
    line = msgspec.json.encode(command) + b"\n"
    try:
        with (path / CONTROL).open("ab") as file:
            file.write(line)
    except OSError as error:
        raise RunFolderFailed(path / CONTROL, error) from error


def adjusted(view: Mapping[str, Any], name: str, default: T) -> T:
    """Return the value of an adjustable parameter in a view of the world: the changed value, or `default`."""
    value: T = view.get(PARAMETERS + name, default)
    return value


class RunControl:
    """The side of the run: it writes the state, and follows the commands between two steps. Used by the thread that runs.

    Use it in a ``with`` block around the run.
    """

    def __init__(self, folder: RunFolder, adjustable: Mapping[str, Adjustable], *, paused: bool = False) -> None:
        self._folder = folder
        self._file = folder.path / CONTROL
        self._read = 0
        self._paused = paused
        self._steps = 0
        """Steps to do before the next pause; 0 for no pause."""
        self._adjust: Callable[[RunCommand], object] = lambda _: None
        process = psutil.Process()
        self._status = RunStatus("running", process.pid, process.create_time(), adjustable=dict(adjustable))

    def __enter__(self) -> Self:
        # The commands to an earlier life of the run are over.
        with contextlib.suppress(OSError):
            self._file.unlink(missing_ok=True)
        self._tell("running")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        with contextlib.suppress(CoterieError):
            if error is None:
                self._tell("ended")
            elif isinstance(error, RunStopped):
                self._tell("stopped")
            elif isinstance(error, Exception):
                self._tell("failed", describe(error))
            else:
                self._tell("interrupted")

    def begin(self, planned: int, world: World) -> None:
        """Begin a simulation of so many rounds; wait if the run is to begin with a pause."""

        def adjust(command: RunCommand) -> None:
            change = {PARAMETERS + command.name: command.value}
            told = {"parameter": command.name, "value": command.value, "by": command.by}
            world.update(change, kind=ADJUSTED, reason=f"{command.name} = {command.value:g}", details=told)

        self._adjust = adjust
        self._status = msgspec.structs.replace(self._status, planned=planned)
        self._tell(self._status.state)
        self.between()

    def between(self) -> None:
        """Follow the commands, and return when the run may go on. Raises `RunStopped`."""
        self._follow()
        if self._steps:
            self._steps -= 1
            self._paused = self._paused or not self._steps
        if not self._paused:
            return
        self._tell("paused")
        while self._still_paused():
            time.sleep(_LOOK)
        self._tell("running")

    def _still_paused(self) -> bool:
        self._follow()
        return self._paused

    def _follow(self) -> None:
        try:
            size = os.stat(self._file).st_size  # noqa: PTH116 - this is once a step, and the cheapest look
        except OSError:
            return
        if size <= self._read:
            return
        with self._file.open("rb") as file:
            file.seek(self._read)
            lines = file.read()
        whole = lines[: lines.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.splitlines():
            with contextlib.suppress(msgspec.MsgspecError):
                self._do(msgspec.json.decode(line, type=RunCommand))

    def _do(self, command: RunCommand) -> None:
        if command.command == "stop":
            raise RunStopped(self._folder.path)
        if command.command == "pause":
            self._paused, self._steps = True, 0
        elif command.command == "step":
            # After a pause exactly one step follows; a run that is not paused does one more.
            self._steps = 1 if self._paused else 2
            self._paused = False
        elif command.command == "go on":
            self._paused, self._steps = False, 0
        elif command.name in self._status.adjustable:
            with contextlib.suppress(CommandRefused):
                _check(self._folder.path, command, self._status.adjustable)
                self._adjust(command)

    def _tell(self, state: Any, error: str = "") -> None:
        self._status = msgspec.structs.replace(self._status, state=state, error=error)
        self._folder.write(STATUS, self._status)


def _check(path: Path, command: RunCommand, adjustable: Mapping[str, Adjustable]) -> None:
    found = adjustable.get(command.name)
    if found is None:
        known = ", ".join(adjustable) or "none at all"
        raise CommandRefused(path, f"the scenario does not mark {command.name!r} as adjustable, only {known}")
    if command.value is None or not found.least <= command.value <= found.most:
        raise CommandRefused(path, f"{command.name} must be a number from {found.least:g} to {found.most:g}")


def _alive(status: RunStatus) -> bool:
    try:
        return abs(psutil.Process(status.pid).create_time() - status.began) < _CLOCK_ERROR
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True
