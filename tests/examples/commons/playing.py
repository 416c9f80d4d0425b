"""The commons through the public functions, with its own types."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import msgspec

from coterie.orchestrator import RunContext, RunRecord, Scenario, load_run, replay_run
from coterie.orchestrator import load_scenario as load
from coterie.orchestrator import run_scenario as run
from coterie.orchestrator.folder import RunFolder
from coterie.orchestrator.scenario import check_scenario
from coterie.rounds import Result
from coterie_examples.commons.fishing import Month
from coterie_examples.commons.kind import CommonsKind
from coterie_examples.commons.run import CommonsOutcome, outcome_of
from coterie_examples.commons.scenario import CommonsScenario

__all__ = ["RunContext"]


class Observer(Protocol):
    def month(self, month: Month) -> None: ...


class Recorded(msgspec.Struct):
    months: list[Month]
    digest: str


def scenario_of(parameters: CommonsScenario) -> Scenario:
    return Scenario(CommonsKind(), parameters, Path(), Path())


def load_scenario(path: Path) -> CommonsScenario:
    return commons(load(path))


def commons(scenario: Scenario) -> CommonsScenario:
    assert isinstance(scenario.parameters, CommonsScenario)
    return scenario.parameters


def check_commons(data: dict[str, Any]) -> CommonsScenario:
    return commons(check_scenario(data))


def _on_step(observer: Observer | None) -> Callable[[Any], object]:
    return observer.month if observer is not None else str


def play(parameters: CommonsScenario, observer: Observer | None = None) -> tuple[list[Month], Result]:
    record: RunRecord = run(scenario_of(parameters), None, _on_step(observer))
    return list(record.steps), record.result


def run_scenario(
    parameters: CommonsScenario, folder: RunFolder, observer: Observer | None = None, *, resume: bool = False
) -> CommonsOutcome:
    record = run(scenario_of(parameters), folder, _on_step(observer), resume=resume)
    return outcome_of(parameters, list(record.steps), record.digest)


def recorded(path: Path) -> Recorded:
    record = load_run(path)[1]
    return Recorded(list(record.steps), record.digest)


def replay(path: Path, observer: Callable[[str], object] = str) -> RunRecord:
    return replay_run(path, observer)
