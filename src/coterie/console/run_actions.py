"""Actions on runs: pause, step, go on, stop, adjust, resume, replay."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from coterie.console.commands import RunCommands
from coterie.console.page import ConsoleAction, Visit
from coterie.console.problems import ConsoleProblem
from coterie.console.runs import RunPages
from coterie.orchestrator import RunCommand, run_status, send_command
from coterie.orchestrator.control import Command

_DONE: dict[Command, str] = {
    "pause": "The run pauses after its current step.",
    "step": "The run does one step.",
    "go on": "The run goes on.",
    "stop": "The run stops after its current step. It can be resumed.",
}


class RunActions:
    """The actions on runs. Safe from any thread."""

    def __init__(self, runs: RunPages, commands: RunCommands) -> None:
        self._runs = runs
        self._commands = commands

    def all(self) -> list[ConsoleAction]:
        """Return the actions."""
        plain: dict[str, Command] = {"pause": "pause", "step": "step", "go-on": "go on", "stop": "stop"}
        made = [
            ConsoleAction(f"/runs/{{id}}/{path}", f"{command} run", partial(self._send, command))
            for path, command in plain.items()
        ]
        return [
            *made,
            ConsoleAction("/runs/{id}/adjust", "adjust run", self._adjust),
            ConsoleAction("/runs/{id}/resume", "resume run", lambda visit: self._start(visit, "resume")),
            ConsoleAction("/runs/{id}/replay", "replay run", lambda visit: self._start(visit, "replay")),
        ]

    def _folder(self, visit: Visit) -> Path:
        path = self._runs.folder(visit.path["id"])
        if path is None:
            raise ConsoleProblem(404, f"The run {visit.path['id']} is gone; this page is out of date.")
        return path

    def _send(self, command: Command, visit: Visit) -> str:
        send_command(self._folder(visit), RunCommand(command, by="console"))
        return _DONE[command]

    def _adjust(self, visit: Visit) -> str:
        name, text = visit.text("name"), visit.text("value")
        try:
            value = float(text)
        except ValueError:
            raise ConsoleProblem(400, f"{name} must be a number, not {text!r}.") from None
        send_command(self._folder(visit), RunCommand("adjust", name, value, by="console"))
        return f"{name} is {value:g} from the next step on."

    def _start(self, visit: Visit, command: str) -> str:
        path = self._folder(visit)
        status = run_status(path)
        if status is not None and status.live:
            raise ConsoleProblem(409, "The run goes on; stop it first.")
        self._commands.start(command, path)
        return f"{command} has begun; its output appears on this page."
