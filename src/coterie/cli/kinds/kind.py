"""What a kind of scenario is to the command line."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from rich.console import Console
from rich.markup import escape

from coterie.errors import ScenarioError
from coterie.orchestrator import AnyScenario, RunFolder, check_scenario
from coterie.orchestrator.writing import write_report

S = TypeVar("S", bound=AnyScenario)
_RUNTIME = ("dispatcher", "threads", "delay")
"""Settings that stand under `runtime` in a scenario."""


@dataclass(frozen=True, slots=True)
class Watching:
    """How a run is done, and what is shown of it."""

    beside: Path
    """Where the scenario's paths begin."""
    resume: bool = False
    """Whether to go on with a run that was begun."""
    pace: float = 0.0
    """Seconds to pause after each month."""
    quiet: bool = False
    """Whether only the result is shown."""
    report: bool = True
    """Whether a report is written."""


class Kind(ABC, Generic[S]):
    """What the commands do with one kind of scenario. Keeps nothing; one entry in `KINDS` makes all of them know it."""

    called: str
    """What scenarios of the kind are called where a command refuses something."""
    settings: tuple[str, ...] = ("seed", "dispatcher")
    """What can be set on the command line."""

    def changed(self, scenario: S, given: Mapping[str, Any]) -> S:
        """Return a scenario with settings changed, as far as they are given. Raises `ScenarioError` for what it has not."""
        data = scenario.model_dump()
        for key, value in given.items():
            if value is None:
                continue
            if key not in self.settings:
                raise ScenarioError(scenario.name, [f"--{key}: {self.called} have no such setting; leave it out"])
            (data["runtime"] if key in _RUNTIME else data)[key] = value
        changed = check_scenario(data, scenario.name)
        assert isinstance(changed, type(scenario))
        return changed

    def check(self, scenario: S, beside: Path) -> None:
        """See that what the scenario names is there, before a folder is made. Raises what is wrong with it."""

    @abstractmethod
    def run(self, console: Console, scenario: S, folder: RunFolder, watching: Watching) -> None:
        """Run a scenario to its end, or go on with it, and show how it ended. Ends the process with 1 for a surprise."""

    @abstractmethod
    def replay(self, console: Console, scenario: S, run: Path) -> None:
        """Do a run again from its record, and say that it came to the same."""

    @abstractmethod
    def show(self, console: Console, scenario: S, run: Path) -> None:
        """Show what is recorded of a run."""


def told_where(console: Console, folder: RunFolder, digest: str, watching: Watching) -> None:
    """Say what a run came to and where it is, and write its report if one is wanted."""
    console.print(f"digest {digest}", soft_wrap=True)
    console.print(f"What happened is in {escape(str(folder.path))}", soft_wrap=True)
    if watching.report:
        console.print(f"The report is {escape(str(write_report(folder.path)))}", soft_wrap=True)


def told_unfinished(console: Console, run: Path) -> None:
    """Say how a run that did not come to its end goes on."""
    console.print(f"not finished; go on with: coterie resume {escape(str(run))}", soft_wrap=True)
